"""The chain through a timeline: each line's digest is over what it says and over the digest of the line before it.

Whoever reads the lines of an incident can compute it again: SHA-256 over the bytes of `prev_digest` and of a JSON list
in UTF-8, without blanks, of incident id, seq, kind, text, old, new, source, actor, the seq that it supersedes, the seq
that it pins, evidence, evidence digest in hex, skew in ms, and both times in ISO 8601 at UTC with microseconds.
"""

import hashlib
import json
from datetime import UTC, datetime

from django.db.models import OuterRef, Subquery

from incidents.models import Incident, TimelineEntry


def digest_of(entry: TimelineEntry) -> bytes:
    """What `entry.digest` must be, given its `prev_digest`."""
    facts = [
        entry.incident_id,
        entry.seq,
        entry.kind,
        entry.text,
        entry.old,
        entry.new,
        entry.source,
        entry.actor,
        entry.supersedes.seq if entry.supersedes else None,
        entry.pins.seq if entry.pins else None,
        entry.evidence,
        bytes(entry.evidence_digest).hex() if entry.evidence_digest is not None else None,
        entry.skew_ms,
        _told(entry.occurred_at),
        _told(entry.recorded_at),
    ]
    text = json.dumps(facts, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(bytes(entry.prev_digest) + text.encode()).digest()


def verify(incident: Incident) -> list[str]:
    """What is wrong with the chain, in words; nothing when it is whole. Reads every line of the incident."""
    faults, expected_seq, prev = [], 1, b""
    lines = TimelineEntry.objects.filter(incident=incident).select_related("supersedes", "pins").order_by("seq")
    for entry in lines.iterator(chunk_size=1000):
        if entry.seq != expected_seq:
            faults.append(f"Line {expected_seq} is missing: {entry.seq} follows.")
        if bytes(entry.prev_digest) != prev:
            faults.append(f"Line {entry.seq} does not follow the line before it.")
        if bytes(entry.digest) != digest_of(entry):
            faults.append(f"Line {entry.seq} was not written by this product, or was changed.")
        expected_seq, prev = entry.seq + 1, bytes(entry.digest)
    return faults


def faults(after: int, last: int) -> list[tuple[int, datetime, str]]:
    """Of the lines whose numbers lie in between: number, when it was recorded, and what is wrong, for whoever asks
    unasked. Lines are read as they are needed; a missing line is another question."""
    lines = TimelineEntry.objects.filter(pk__gt=after, pk__lte=last)
    before = TimelineEntry.objects.filter(incident=OuterRef("incident"), seq=OuterRef("seq") - 1).values("digest")
    found = []
    for entry in lines.annotate(before=Subquery(before)).select_related("supersedes", "pins").iterator(chunk_size=1000):
        name = f"line {entry.seq} of incident {entry.incident_id}"
        if bytes(entry.digest) != digest_of(entry):
            found.append((entry.pk, entry.recorded_at, f"{name} was not written by this product, or was changed"))
        elif entry.before is not None and bytes(entry.prev_digest) != bytes(entry.before):
            found.append((entry.pk, entry.recorded_at, f"{name} does not follow the line before it"))
    return found


def _told(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
