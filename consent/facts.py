"""What consent itself knows of a person's story: choices with what they changed, steps back in, merges, requests.

Each source is one statement, whatever the number of subjects, and looks at its newest rows only.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from uuid import UUID

from django.db.models import Q
from django.urls import reverse

from consent.models import (
    ANY,
    Channel,
    Consent,
    Decision,
    DecisionVoid,
    RequestEvent,
    Reveal,
    Reversal,
    SubjectMerge,
)
from consent.story import Entry

NEWEST = 500  # of each kind
LATE = timedelta(minutes=5)
STATES = {"opt_in": "opted in", "opt_out": "opted out", None: "nothing decided"}
CHANNELS = dict(Channel.choices) | {ANY: "all channels"}


def told(subject_ids: list[UUID]) -> Iterable[Entry]:
    """The provider that consent registers with `consent.story`."""
    yield from _decisions(subject_ids)
    yield from _reversals(subject_ids)
    yield from _merges(subject_ids)
    yield from _requests(subject_ids)
    yield from _reveals(subject_ids)


def scope_in_words(purpose: str, channel: str) -> str:
    return f"{'all purposes' if purpose == ANY else purpose} by {CHANNELS.get(channel, channel)}"


def _decisions(ids: list[UUID]) -> Iterator[Entry]:
    decisions = list(Decision.objects.filter(subject__in=ids).order_by("-pk")[:NEWEST])
    numbers = [decision.pk for decision in decisions]
    versions = Consent.history.filter(subject__in=ids, decision__in=numbers).order_by("history_id")
    changes = {version.decision_id: version for version in versions}
    voids = {void.decision_id: void for void in DecisionVoid.objects.filter(decision__in=numbers)}
    for decision in decisions:
        url = reverse("admin:consent_decision_change", args=[decision.pk])
        yield Entry(decision.decided_at, "choice", _choice(decision, changes), decision.actor, decision.pk, url)
        if void := voids.get(decision.pk):
            text = f"Declared the {decision.get_choice_display()} of decision #{decision.pk} bad: {void.reason}"
            yield Entry(void.voided_at, "void", text, void.voided_by, decision.pk, url)


def _choice(decision: Decision, changes: dict[int, Consent]) -> str:
    """`Opted out of marketing by e-mail (the person's choice): opted in → opted out`"""
    verb = "Opted out of" if decision.choice == "opt_out" else "Opted in to"
    cause = decision.get_cause_display()
    said = "" if decision.explicit else ", not said by the person"
    version = changes.get(decision.pk)
    text = f"{verb} {scope_in_words(decision.purpose, decision.channel)} ({cause}{said})"
    if decision.exit_path:
        text += f" by way of {decision.exit_path}"
    if decision.received_at - decision.decided_at > LATE:
        text += f", recorded on {decision.received_at:%Y-%m-%d %H:%M} UTC"
    if version is None:
        return f"{text}: kept, and changed nothing"
    return f"{text}: {STATES[version.previous]} → {STATES[version.state]}"


def _reversals(ids: list[UUID]) -> Iterator[Entry]:
    reversals = Reversal.objects.filter(subject__in=ids).select_related("confirmation").order_by("-requested_at")
    for reversal in reversals[:NEWEST]:
        scope = scope_in_words(reversal.purpose, reversal.channel)
        url = reverse("admin:consent_reversal_change", args=[reversal.pk])
        text = f"Asked to lift the opt-out of {scope}"
        text += f": {reversal.reason}" if reversal.reason else ""
        yield Entry(reversal.requested_at, "reversal", text, reversal.requested_by, url=url)
        if confirmation := getattr(reversal, "confirmation", None):
            text = f"Agreed to lift the opt-out of {scope}"
            yield Entry(confirmation.confirmed_at, "reversal", text, confirmation.confirmed_by, url=url)


def _merges(ids: list[UUID]) -> Iterator[Entry]:
    merges = SubjectMerge.objects.filter(Q(into__in=ids) | Q(merged__in=ids)).order_by("-pk")[:NEWEST]
    for merge in merges:
        text = f"Found to be the same person as {str(merge.merged_id)[:8]}…: {merge.reason}"
        yield Entry(merge.merged_at, "merge", text, merge.merged_by)


def _requests(ids: list[UUID]) -> Iterator[Entry]:
    events = RequestEvent.objects.filter(request__subject__in=ids).select_related("request").order_by("-pk")
    for event in events[:NEWEST]:
        request = event.request
        text = f"{request.ref} ({request.get_kind_display()}): {event.get_kind_display()}"
        if event.text and event.kind != RequestEvent.Kind.ANSWERED:
            text += f". {event.text}"
        url = reverse("admin:consent_privacyrequest_change", args=[request.pk])
        yield Entry(event.recorded_at, "request", text, event.recorded_by, url=url)


def _reveals(ids: list[UUID]) -> Iterator[Entry]:
    reveals = Reveal.objects.filter(identifier__subject__in=ids).select_related("identifier").order_by("-pk")
    for reveal in reveals[:NEWEST]:
        text = f"Looked at the {reveal.identifier.get_kind_display()}: {reveal.reason}"
        yield Entry(reveal.revealed_at, "reveal", text, reveal.revealed_by)
