"""The timeline as a file: JSON for programs, CSV for tables, PDF for people. Each export is a line of the timeline too,
with the SHA-256 of its bytes, so that a file can be held against what was handed out."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typst
from django.core.exceptions import ValidationError
from django.utils import timezone

from config import csv_files
from config.models import User
from consent.services import actor_of
from incidents import affected, chain, timeline
from incidents.models import AffectedSet, Incident
from incidents.scope import told_scope, told_window
from incidents.timeline import Kind, Line, Source

MOST_ON_PAPER = 5000  # lines; more make a book that nobody reads, and a compiler that nobody waits for
COLUMNS = (
    "seq", "occurred_at", "recorded_at", "kind", "text", "actor", "source", "old", "new", "supersedes",
    "is_superseded", "evidence", "evidence_sha256", "skew_ms", "digest", "exit_path", "choice", "cause", "count",
)  # fmt: skip
PAPER = Path(__file__).parent / "papers" / "timeline.typ"


@dataclass(frozen=True, slots=True)
class Export:
    name: str
    content_type: str
    body: bytes

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.body).digest()


def export(incident: Incident, format: str, *, by: User | str, source: str = Source.UI) -> Export:
    """The whole story, oldest first, with the seal over its ties and whether its chain is whole.

    Nobody waits for the file: the seal and the line are a moment each, and it is read and written between them, with
    no transaction open. What is tied in between may be under the seal and not among the lines. `format` is json, csv
    or pdf. Raises ValidationError for another one, and for a story too long for paper.
    """
    if format not in FORMATS:
        raise ValidationError({"format": f"Ask for one of: {', '.join(FORMATS)}."})
    content_type, write, most = FORMATS[format]
    incident = Incident.objects.get(pk=incident.pk)
    lines = list(timeline.whole(incident))
    if most and len(lines) > most:
        raise ValidationError({"format": f"It has more than {most:,} lines: too many for paper. Take JSON or CSV."})
    sealed = affected.seal(incident, reason=f"Export as {format}", by=by)
    now = timezone.now()
    body = write(header(incident, sealed, now), lines)
    made = Export(f"{incident.ref}-timeline-{now:%Y%m%dT%H%M%SZ}.{format}", content_type, body)
    timeline.append(
        incident, Kind.EXPORT, f"Timeline exported as {format}, {len(body):,} bytes.", source=source,
        actor=actor_of(by), evidence=made.name, evidence_digest=made.digest,
    )  # fmt: skip
    return made


def row(line: Line) -> dict[str, Any]:
    """One line in the shape of COLUMNS; what does not apply is None."""
    entry = line.entry
    if entry is None:
        told = {"exit_path": line.exit_path, "choice": line.choice, "cause": line.cause, "count": line.count}
        facts = {"kind": "decisions", "text": line.text, "occurred_at": _iso(line.place.moment), "is_superseded": False}
        return dict.fromkeys(COLUMNS) | facts | told
    return dict.fromkeys(COLUMNS) | {
        "seq": entry.seq,
        "occurred_at": _iso(entry.occurred_at),
        "recorded_at": _iso(entry.recorded_at),
        "kind": entry.kind,
        "text": entry.text,
        "actor": entry.actor,
        "source": entry.source,
        "old": entry.old,
        "new": entry.new,
        "supersedes": entry.supersedes.seq if entry.supersedes else None,
        "is_superseded": line.is_superseded,
        "evidence": entry.evidence,
        "evidence_sha256": entry.evidence_hex or None,
        "skew_ms": entry.skew_ms,
        "digest": bytes(entry.digest).hex(),
    }


def header(incident: Incident, sealed: AffectedSet, now: datetime) -> dict[str, Any]:
    """What stands above the lines: which incident, whom it touched, and what holds the lines together."""
    faults = chain.verify(incident)
    return {
        "ref": incident.ref,
        "title": incident.title,
        "mode": incident.mode,
        "status": incident.status,
        "severity": incident.severity,
        "type": incident.type,
        "dpv_types": incident.dpv_types,
        "window": told_window(incident),
        "scope": told_scope(incident),
        "exported_at": _iso(now),
        "chain": {"is_whole": not faults, "faults": faults[:20]},
        "affected": seal_facts(sealed),
    }


def seal_facts(sealed: AffectedSet) -> dict[str, Any]:
    return {
        "as_of": _iso(sealed.as_of),
        "decisions": sealed.decisions,
        "decisions_sha256": sealed.decisions_hex,
        "subjects": sealed.subjects,
        "subjects_sha256": sealed.subjects_hex,
        "messages": sealed.messages,
        "messages_sha256": sealed.messages_hex,
    }


def _json(header: dict[str, Any], lines: Sequence[Line]) -> bytes:
    story = {"incident": header, "lines": [row(line) for line in lines]}
    return json.dumps(story, ensure_ascii=False, indent=1).encode()


def _csv(header: dict[str, Any], lines: Sequence[Line]) -> bytes:
    rows = (row(line).values() for line in lines)
    return "".join([csv_files.MARK, *csv_files.lines([COLUMNS, *rows])]).encode()


def _pdf(header: dict[str, Any], lines: Sequence[Line]) -> bytes:
    dated = [{**row(line), "when": f"{line.place.moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"} for line in lines]
    return paper({**header, "lines": dated})


def paper(facts: dict[str, Any]) -> bytes:
    """The same bytes for the same facts. What people wrote goes in as data, so none of it is markup, and the compiler
    reads no file and no font but its own."""
    return typst.compile(
        PAPER.read_bytes(),
        format="pdf",
        ignore_system_fonts=True,
        timestamp=0,
        sys_inputs={"facts": json.dumps(facts, ensure_ascii=False)},
    )


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


# How it is written, and how many lines it may have; None: as many as there are.
FORMATS: dict[str, tuple[str, Callable[[dict[str, Any], Sequence[Line]], bytes], int | None]] = {
    "json": ("application/json", _json, None),
    "csv": (csv_files.CONTENT_TYPE, _csv, None),
    "pdf": ("application/pdf", _pdf, MOST_ON_PAPER),
}
