"""What was found before and still burns: an invariant stays broken until the incident that tells of it is contained.

A broken history cannot be mended and a mail cannot be called back, so the rows of a breach are found for ever. Once
people have contained its incident it counts as dealt with.
"""

from dataclasses import dataclass, field

from django.db.models import Count

from incidents.models import Alarm, DriftRepair, Incident

BURNING = (Incident.Status.TRIAGE, Incident.Status.DECLARED)
MAY_BURN = (*BURNING, Incident.Status.MERGED)


@dataclass(frozen=True, slots=True)
class Standing:
    """`keys`: at most twenty of them."""

    count: int = 0
    refs: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


def burns(incident: Incident) -> bool:
    """Open, and not contained; a merged one burns where it goes on."""
    return incident.survivor.status in BURNING


def standing(code: str) -> Standing:
    """The alarms of an invariant whose incident burns."""
    told = Alarm.objects.filter(key__startswith=f"{code}:", incident__status__in=MAY_BURN).order_by()
    counts = dict(told.values_list("incident").annotate(count=Count("pk")))
    burning = {i.pk: i for i in Incident.objects.filter(pk__in=counts).select_related("duplicate_of") if burns(i)}
    if not burning:
        return Standing()
    keys = told.filter(incident__in=burning).order_by("-pk").values_list("key", flat=True)[:20]
    refs = sorted({incident.survivor.ref for incident in burning.values()})
    return Standing(sum(counts[pk] for pk in burning), refs, list(keys))


def drift() -> list[DriftRepair]:
    """What was put right, or could not be, and whose incident burns; the newest first."""
    found = DriftRepair.objects.filter(incident__status__in=MAY_BURN).select_related("incident__duplicate_of")
    return [repair for repair in found.order_by("-pk")[:200] if burns(repair.incident)]
