"""What an incident is called: our own types, and the words of the W3C Data Privacy Vocabulary (DPV 2.3, `risk`).

A regulator's form asks in DPV's words, a colleague in ours; each of our types says which of theirs it usually is.
"""

from django.db import models


class DpvType(models.TextChoices):
    """https://w3id.org/dpv/risk: several may hold at once."""

    INCIDENT = "Incident", "Incident"
    CONFIDENTIALITY = "ConfidentialityIncident", "ConfidentialityIncident"
    INTEGRITY = "IntegrityIncident", "IntegrityIncident"
    AVAILABILITY = "AvailabilityIncident", "AvailabilityIncident"
    ACCIDENTAL = "AccidentalIncident", "AccidentalIncident"
    DELIBERATE = "DeliberateIncident", "DeliberateIncident"
    CROSS_BORDER = "CrossBorderIncident", "CrossBorderIncident"


class IncidentType(models.TextChoices):
    LOST = "opt_out_lost", "an opt-out was lost"
    NOT_HONOURED = "opt_out_not_honoured", "an opt-out was not honoured"
    LATE = "opt_out_late", "an opt-out was honoured late"
    PROPAGATION = "propagation_failed", "others were not told"
    RESUBSCRIBED = "bulk_resubscribe", "many were opted back in"
    SIGNAL_IGNORED = "signal_ignored", "a browser's signal was ignored"
    UNAVAILABLE = "mechanism_unavailable", "a way out did not work"
    CONFIRMATION = "wrong_confirmation", "a confirmation was wrong"
    OVER_SUPPRESSION = "over_suppression", "messages were held back that were owed"
    IDENTITY = "identity_merge", "two people were taken for one"
    SCANNER = "scanner_opt_outs", "machines pressed the links"
    LEAKED = "suppression_list_leaked", "addresses or choices leaked"
    SURGE = "surge", "many people leave at once"
    SLUMP = "slump", "nobody leaves any more"
    DRIFT = "drift", "records disagree"
    OTHER = "other", "something else"


USUALLY: dict[str, tuple[str, ...]] = {
    IncidentType.LOST: (DpvType.INTEGRITY,),
    IncidentType.NOT_HONOURED: (DpvType.INTEGRITY,),
    IncidentType.LATE: (DpvType.AVAILABILITY,),
    IncidentType.PROPAGATION: (DpvType.INTEGRITY, DpvType.AVAILABILITY),
    IncidentType.RESUBSCRIBED: (DpvType.INTEGRITY,),
    IncidentType.SIGNAL_IGNORED: (DpvType.INTEGRITY,),
    IncidentType.UNAVAILABLE: (DpvType.AVAILABILITY,),
    IncidentType.CONFIRMATION: (DpvType.INTEGRITY,),
    IncidentType.OVER_SUPPRESSION: (DpvType.AVAILABILITY,),
    IncidentType.IDENTITY: (DpvType.INTEGRITY, DpvType.CONFIDENTIALITY),
    IncidentType.SCANNER: (DpvType.INTEGRITY, DpvType.ACCIDENTAL),
    IncidentType.LEAKED: (DpvType.CONFIDENTIALITY,),
    IncidentType.DRIFT: (DpvType.INTEGRITY,),
}

STATUS = {
    "triage": "IncidentSuspected",
    "declared": "IncidentOngoing",
    "contained": "IncidentHalted",
    "recovering": "IncidentMitigated",
    "monitoring": "IncidentMitigated",
    "closed": "IncidentConcluded",
    "declined": "IncidentTerminated",
    "merged": "IncidentTerminated",
}
NEAR_MISS = "IncidentNearMiss"


def dpv_types_of(type_: str) -> list[str]:
    """DPV's words for one of our types; `Incident` where nothing narrower is meant."""
    return [str(word) for word in USUALLY.get(type_, (DpvType.INCIDENT,))]


def dpv_status(status: str, *, is_near_miss: bool) -> str:
    """DPV's word for where an incident stands; a near miss is one whatever became of it."""
    return NEAR_MISS if is_near_miss else STATUS[status]
