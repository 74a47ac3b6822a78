"""The queue of letters and the list of suppressions: who takes what, and what a person may decide."""

import pytest
from django.core.exceptions import ValidationError

from consent.models import Decision
from messaging import suppressing
from messaging.inbound import desk
from messaging.inbound.wordings import Class, Reason, Verdict
from messaging.models import Suppression
from tests.factories import InboundMessageFactory, SubjectFactory, SuppressionFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_a_letter_is_taken_by_one_and_closed_with_what_was_done():
    row = InboundMessageFactory()

    desk.take(row, by="user:anna")
    with pytest.raises(ValidationError, match="user:anna has taken it already"):
        desk.take(row, by="user:bert")
    done = desk.answered(row, reason="Told her why", by="user:anna")

    assert (done.state, done.handled_by, done.handled_reason) == ("answered", "user:anna", "Told her why")
    with pytest.raises(ValidationError, match="It waits for nobody"):
        desk.close(row, reason="Twice", by="user:anna")


def test_what_was_done_is_said():
    with pytest.raises(ValidationError, match="Say what was done"):
        desk.close(InboundMessageFactory(), reason=" ", by="user:anna")


def test_a_person_may_read_a_letter_as_the_no_that_it_is():
    row = InboundMessageFactory(subject_id=SubjectFactory().pk)

    done = desk.was_a_no(row, reason="She wrote: please no more", by="user:anna")

    decision = Decision.objects.get()
    assert (decision.pk, decision.explicit, decision.cause) == (done.decision_id, True, "support")
    assert (decision.reasons, done.state) == (["read_by_staff"], "closed")


def test_a_letter_of_nobody_known_is_no_opt_out_of_anybody():
    with pytest.raises(ValidationError, match="Find the person first"):
        desk.was_a_no(InboundMessageFactory(), reason="No", by="user:anna")


def test_a_complaint_is_not_weakened_by_a_bounce_and_strengthens_one():
    digest, verdict = b"d" * 32, Verdict(Class.PERMANENT, Reason.DISABLED, "5.2.1")
    suppressing.for_bounce(digest, verdict)
    suppressing.suppress(digest, Suppression.Reason.COMPLAINT)

    suppressing.for_bounce(digest, verdict)

    row = Suppression.objects.get()
    assert (row.reason, row.expires_at) == ("spam complaint", None)


def test_a_suppression_is_lifted_in_the_admin_with_a_reason(client):
    row = SuppressionFactory()
    client.force_login(UserFactory(role="Support", username="anna"))

    client.post(
        f"/admin/messaging/suppression/{row.pk}/lift/", {"reason": "They told us it works", "_form_submitted": "1"}
    )

    row.refresh_from_db()
    version = row.history.first()
    assert (version.history_user_id, version.history_change_reason) in [("user:anna", "They told us it works")]
    assert not row.holds()


def test_a_letter_is_shown_as_plain_text(client):
    row = InboundMessageFactory(raw=b"Content-Type: text/html\n\n<p>Hi</p><script>alert(1)</script><img src=http://x/>")
    client.force_login(UserFactory(role="Support"))

    text = client.get(f"/admin/messaging/inboundmessage/{row.pk}/change/").content.decode()

    assert "Hi" in text
    assert "alert(1)" not in text
    assert "http://x/" not in text


def test_an_auditor_sees_that_a_letter_came_and_not_what_it_says(client):
    row = InboundMessageFactory(subject="Secret question")
    client.force_login(UserFactory(role="Auditor"))

    text = client.get(f"/admin/messaging/inboundmessage/{row.pk}/change/").content.decode()

    assert "Secret question" not in text
    assert "Why me?" not in text
