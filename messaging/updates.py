"""A choice that changed by somebody else's hand, or an opt-out that was lifted, is told to its person.

That is: an opt-in that took two steps, and what staff wrote into one person's record. An import, a default, a batch or
a merge tells nobody: it may touch everybody at once, and is undone as one. What was overtaken meanwhile is not told.
"""

from collections.abc import Sequence

from consent.models import ANY, Cause, Choice, Consent, Decision, Purpose, Subject
from messaging.services import NewMessage

TEMPLATE = "consent_update"
SILENT = frozenset({Cause.REPAIR, Cause.IMPORT, Cause.DEFAULT})


def is_told(decision: Decision) -> bool:
    """An explicit opt-out has a confirmation of its own."""
    if decision.cause in SILENT or decision.batch_id or (decision.explicit and decision.choice == Choice.OPT_OUT):
        return False
    return decision.reversal_id is not None or decision.actor.startswith("user:")


def updates_of(decisions: Sequence[Decision]) -> list[NewMessage]:
    """Three statements, whatever their number; none without such decisions."""
    told = [decision for decision in decisions if is_told(decision)]
    if not told:
        return []
    effective = set(Consent.objects.filter(decision__in=[d.pk for d in told]).values_list("decision", flat=True))
    names = dict(Purpose.objects.values_list("code", "name"))
    subjects = Subject.objects.filter(pk__in={d.subject_id for d in told}).exclude(locale="")
    locales = dict(subjects.values_list("pk", "locale"))
    return [
        NewMessage(
            template_key=TEMPLATE,
            subject_id=decision.subject_id,
            cause=f"decision:{decision.pk}",
            context={
                "purpose": "" if decision.purpose == ANY else names.get(decision.purpose, decision.purpose),
                "channel": decision.channel,
                "choice": decision.choice,
                "by_staff": decision.actor.startswith("user:"),
                "decided_at": decision.decided_at.isoformat(),
                "reference": str(decision.pk),
            },
            locale=decision.locale or locales.get(decision.subject_id, "en"),
            purpose=decision.purpose,
            decision_id=decision.pk,
        )
        for decision in told
        if decision.pk in effective
    ]
