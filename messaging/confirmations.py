"""Each explicit opt-out owes its person one confirmation, read from the log of decisions.

One mail per decision, also where somebody leaves five channels on one page: each can then be proved, sent again and
found by itself, and no clock decides which choices belong together.
"""

from collections.abc import Sequence

from consent import feed
from consent.models import ANY, Cause, Channel, Choice, DeadlineRule, Decision, Purpose, Subject
from consent.restoring import is_restored
from messaging.deadlines import confirmation_due
from messaging.services import NewMessage, enqueue
from messaging.updates import updates_of

READER = "confirmations"
TEMPLATE = "opt_out_confirmation"
TEXT_TEMPLATE = "opt_out_confirmation_sms"
RULES = "confirmation"  # the kind of the deadline rules that say by when


def owe(limit: int = 1000) -> int:
    """Write down the confirmations that the log has news of, and the updates beside them (messaging/updates.py);
    returns how many decisions were looked at.
    """
    with feed.reading(READER, limit) as decisions:
        owed = confirmations_of([decision for decision in decisions if is_owed(decision)])
        enqueue([*owed, *updates_of(decisions)])
        return len(decisions)


def owe_all(limit: int = 1000) -> int:
    """Until the log has no more news."""
    total = 0
    while seen := owe(limit):
        total += seen
    return total


def is_owed(decision: Decision) -> bool:
    """A person's own opt-out. What a merge carried over from another record was confirmed when it was made; so was what
    is put back after the database went back in time, as far as anybody can know: two confirmations are one too many.
    """
    return (
        decision.explicit
        and decision.choice == Choice.OPT_OUT
        and decision.cause != Cause.REPAIR
        and not is_restored(decision)
    )


def is_by_text(decision: Decision) -> bool:
    """A STOP is confirmed by the one text that 47 CFR 64.1200(a)(12) allows, on the way it came, and by no mail."""
    return decision.cause == Cause.KEYWORD and decision.channel == Channel.SMS


def confirmations_of(decisions: Sequence[Decision]) -> list[NewMessage]:
    names = dict(Purpose.objects.values_list("code", "name"))
    rule = DeadlineRule.objects.filter(request_kind=RULES, is_default=True).first()
    locales = dict(
        Subject.objects.filter(pk__in={d.subject_id for d in decisions}).exclude(locale="").values_list("pk", "locale")
    )
    return [
        NewMessage(
            template_key=TEXT_TEMPLATE if is_by_text(decision) else TEMPLATE,
            channel="sms" if is_by_text(decision) else "email",
            subject_id=decision.subject_id,
            cause=f"decision:{decision.pk}",
            context={
                "purpose": "" if decision.purpose == ANY else names.get(decision.purpose, decision.purpose),
                "channel": decision.channel,
                "decided_at": decision.decided_at.isoformat(),
                "reference": str(decision.pk),
            },
            locale=decision.locale or locales.get(decision.subject_id, "en"),
            purpose=decision.purpose,
            decision_id=decision.pk,
            owed_by=confirmation_due(decision.received_at, by_text=is_by_text(decision), rule=rule),
        )
        for decision in decisions
    ]
