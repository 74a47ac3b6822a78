"""A choice changed by somebody else's hand, or an opt-out that was lifted, is told to its person; a bulk is not."""

import pytest

from consent.services import confirm_reversal, record, request_reversal
from messaging.confirmations import owe_all
from messaging.delivery import deliver_due
from messaging.models import Message
from tests.factories import opt_in, opt_out

pytestmark = pytest.mark.usefixtures("committed", "newsletter")


def updates():
    return Message.objects.filter(template_key="consent_update")


def lifted():
    """An opt-out that two of staff lifted with evidence."""
    [out] = record([opt_out("anna@example.org", "newsletter")])
    asked = request_reversal(
        out.subject_id, "newsletter", "email", reason="Called", evidence="Ticket 1", by="user:anna"
    )
    confirm_reversal(asked.pk, by="user:bela")
    return out


def test_a_lifted_opt_out_is_told_once_by_a_mail_that_shows_the_way_out(relay_inbox):
    out = lifted()

    owe_all()
    owe_all()
    deliver_due(transport=relay_inbox.relay())

    message = updates().get()
    assert (message.state, message.subject_id, message.context["choice"]) == ("accepted", out.subject_id, "opt_in")
    content = next(mail.content for mail in relay_inbox.mails if b"has changed" in mail.content)
    assert b"List-Unsubscribe-Post" in content
    assert b"/preferences/" in content


def test_what_was_overtaken_by_an_opt_out_is_not_told():
    lifted()
    record([opt_out("anna@example.org", "newsletter")])

    owe_all()

    assert not updates().exists()


def test_an_import_and_a_first_opt_in_by_oneself_tell_nobody():
    record(
        [
            opt_in("in@example.org", "newsletter"),
            opt_in("import@example.org", "newsletter", explicit=False, cause="import"),
            opt_out("anna@example.org", "newsletter"),
        ]
    )

    owe_all()

    assert not updates().exists()


def test_what_staff_wrote_into_a_record_is_told():
    record([opt_in("anna@example.org", "newsletter", explicit=False, cause="support", actor="user:bela")])

    owe_all()

    assert updates().get().context["by_staff"] is True
