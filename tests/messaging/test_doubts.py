"""What may have been sent is never called withdrawn, expired or suppressed, however it came to be in doubt."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from consent.models import Decision
from consent.services import erase, record
from messaging import batches, mass, notices
from messaging.confirmations import confirmations_of
from messaging.delivery import deliver, deliver_due
from messaging.doubts import agree, propose
from messaging.models import DeliveryAttempt, Message
from messaging.services import cancel, enqueue, resend
from messaging.sweeping import sweep
from tests.factories import MessageFactory, opt_out
from tests.messaging.http import calls
from tests.messaging.smtp import fault_server
from tests.messaging.test_batches import started
from tests.messaging.test_notices import people

pytestmark = pytest.mark.usefixtures("newsletter")

LONG_AGO = timedelta(minutes=1)


def owe():
    [made] = record([opt_out("anna@example.org", "newsletter")])
    enqueue(confirmations_of(Decision.objects.filter(pk=made.id)))
    return Message.objects.get()


@pytest.fixture
def broken(sending_by):
    """A provider that answers 500 to everything: what it did with a message nobody knows."""
    with calls((500, {"Message": "Internal error"})) as server:
        sending_by(f"backup=anymail://postmark?server_token=x&api_url={server.url}/")
        yield server


@pytest.fixture
def doubted(broken):
    """A confirmation that waits to be sent again after such an answer."""
    message = owe()
    deliver_due()
    message.refresh_from_db()
    assert (message.state, message.attempts.get().phase) == ("in_doubt", "replied")
    resend(message, reason="The provider knows nothing of it", by="user:anna")
    return message


def send_again(message):
    """What the law asks for takes two."""
    agree(propose(message, "resend", reason="Not in their log", by="user:anna"), reason="I saw it", by="user:bela")


def state_of(message):
    message.refresh_from_db()
    return message.state


def test_it_cannot_be_withdrawn(doubted):
    with pytest.raises(ValidationError, match="may have been sent"):
        cancel(doubted, reason="Wrong text", by="user:anna")


def test_its_end_closes_it_as_unknown_whoever_notices_first(doubted):
    Message.objects.update(expires_at=timezone.now() - LONG_AGO)

    sweep()

    assert state_of(doubted) == "closed_unknown"
    assert doubted.last_error.endswith("An earlier attempt may have been sent.")
    assert doubted.settled_at


@pytest.mark.parametrize("facts", [{"expires_at": timezone.now() - LONG_AGO}, {"message_class": "operational"}])
def test_a_worker_that_may_not_send_it_any_more_closes_it_as_unknown(doubted, facts):
    Message.objects.update(**facts)

    assert deliver(doubted.pk) == "closed_unknown"


def test_a_notice_that_is_cancelled_closes_it_as_unknown_and_withdraws_the_others(broken):
    notice = started(people("anna", "bela").values())
    batches.send_all()
    deliver()
    doubtful = notice.messages.get(state="in_doubt")
    send_again(doubtful)

    notices.cancel(notice, reason="Sent to the wrong list", by="user:bela")

    assert state_of(doubtful) == "closed_unknown"
    assert notice.messages.exclude(pk=doubtful.pk).get().state == "cancelled"


def test_an_erasure_closes_it_as_unknown_and_does_not_write_again(broken):
    known = people("anna")
    notice = started(known.values())
    batches.send_all()
    deliver()
    send_again(notice.messages.get())
    erase(known["anna"], by="user:olga")

    assert mass.suppress_erased() == 1

    assert notice.messages.get().state == "closed_unknown"


def test_what_was_plainly_refused_for_now_was_not_sent_and_can_be_withdrawn():
    message = owe()
    with fault_server(dot="450 4.2.1 not now") as server:
        deliver(transport=server.relay())

    cancel(message, reason="Wrong text", by="user:anna")

    assert state_of(message) == "cancelled"


@pytest.mark.parametrize(
    ("phase", "outcome", "maybe"),
    [
        ("intent", "", False),
        ("ponr", "", True),
        ("ponr", "in_doubt", True),
        ("replied", "in_doubt", True),
        ("ponr", "retry_wait", False),
        ("replied", "retry_wait", False),
        ("replied", "rejected", False),
    ],
)
def test_an_attempt_may_have_been_sent_until_its_end_says_otherwise(phase, outcome, maybe):
    message = MessageFactory()
    now = timezone.now()
    DeliveryAttempt.objects.create(
        message=message, number=1, transport="a", lease=message.pk, phase=phase, outcome=outcome, started_at=now,
        ended_at=now if outcome else None,
    )  # fmt: skip

    assert Message.objects.maybe_sent().exists() is maybe
