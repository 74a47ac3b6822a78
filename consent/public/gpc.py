"""Global Privacy Control: a browser that sends `Sec-GPC: 1` says no for its user (w3c/gpc; 11 CCR 7025).

The signal is the choice itself, so it is recorded on every method, GET too. That is no contradiction to "looking at a
page changes nothing": mail scanners and link previews send no Sec-GPC, and the request carries a token of its person.
"""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.http import HttpRequest
from django.utils import timezone

from consent import causes
from consent.exit_paths import GPC
from consent.models import ANY, Cause, Choice, Decision, Purpose
from consent.public.opting_out import opt_out_once
from consent.public.pages import agent_class
from consent.recording import NewDecision


@dataclass(slots=True)
class Honoured:
    """What became of a signal, to be shown (11 CCR 7025(c)(6)).

    `overruled`: purposes with a yes of the person that the signal ended; `kept`: with a yes that they gave after an
    earlier signal, so knowing of it. Each with the moment of that yes: neither is settled in silence.
    """

    out: list[Purpose] = field(default_factory=list)
    overruled: list[tuple[Purpose, datetime]] = field(default_factory=list)
    kept: list[tuple[Purpose, datetime]] = field(default_factory=list)


def is_sent(request: HttpRequest) -> bool:
    """Exactly `1`; with several headers, which the server joins by commas, any of them. Absence says nothing."""
    return any(value.strip(" \t") == "1" for value in request.headers.get("Sec-GPC", "").split(","))


def honour(subject_id: UUID, request: HttpRequest, locale: str) -> Honoured:
    """Opt the person out of every purpose that the signal covers: once while that stands."""
    covered = list(Purpose.objects.filter(is_covered_by_gpc=True).exclude(regime=Purpose.Regime.MANDATORY))
    decisions = _explicit_decisions(subject_id, [purpose.code for purpose in covered])
    honoured, now = Honoured(), timezone.now()
    for purpose in covered:
        yes, is_kept = _own_yes([d for d in decisions if d.purpose in (purpose.code, ANY)])
        if yes and is_kept:
            honoured.kept.append((purpose, yes))
            continue
        opt_out_once(
            NewDecision(
                subject=subject_id,
                purpose=purpose.code,
                channel=ANY,
                choice=Choice.OPT_OUT,
                cause=Cause.PREFERENCE_SIGNAL,
                exit_path=GPC,
                decided_at=now,
                is_now=True,
                locale=locale,
                reasons=causes.said("sec_gpc", agent=agent_class(request.headers.get("User-Agent", ""))),
                evidence={"header": "Sec-GPC: 1", "agent": agent_class(request.headers.get("User-Agent", ""))},
                idempotency_key=f"{GPC}:{subject_id}:{purpose.code}",
            )
        )
        honoured.out.append(purpose)
        if yes:
            honoured.overruled.append((purpose, yes))
    return honoured


def _own_yes(decisions: list[Decision]) -> tuple[datetime | None, bool]:
    """When the person themselves last said yes, if that is their last word; and whether they said so after a signal."""
    own = [d for d in decisions if d.cause != Cause.PREFERENCE_SIGNAL]
    if not own or own[-1].choice != Choice.OPT_IN:
        return None, False
    yes = own[-1].decided_at
    return yes, any(d.cause == Cause.PREFERENCE_SIGNAL and d.decided_at < yes for d in decisions)


def _explicit_decisions(subject_id: UUID, purposes: list[str]) -> list[Decision]:
    return list(
        Decision.objects.filter(subject=subject_id, purpose__in=[*purposes, ANY], explicit=True)
        .only("purpose", "choice", "cause", "decided_at")
        .order_by("decided_at", "pk")
    )
