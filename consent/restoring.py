"""Opt-outs and erasures recorded again after a database went back in time: 11 CCR 7022(d) and common sense.

Each line of the journal is looked up in the log; what is not there is recorded with its original facts and the reason
`restored`, under a key of its own, so that a second run changes nothing. A person whom the older copy does not know
gets back their number and addresses. An opt-out that its person took back later stands where that was lost too.
"""

import base64
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

from django.db import connection, transaction

from config.statements import blobs, plain, prepared, texts
from consent import opt_out_journal, subjects
from consent.models import ANY, Batch, Choice, Decision, ExitPath, Purpose, Subject
from consent.opt_out_journal import RESTORED, OptOut
from consent.recording import NewDecision
from consent.services import erase, open_batch, record

REASON = "restored"
BATCH = "restore"  # the kind of the batch that holds what no person chose
BY = "system:restore"
AT_ONCE = 1000
IS_RESTORED = f"coalesce(d.idempotency_key, '') LIKE '{RESTORED}%%'"  # `is_restored` of a row `d`, with parameters
MOST_REASONS = 10

THERE = """
    SELECT d.id FROM consent_decision d
      JOIN unnest(%s::bigint[], %s::bigint[], %s::timestamptz[]) AS l(id, tx, received_at)
     USING (id, tx, received_at)
"""
MAKE_PEOPLE = """
    INSERT INTO consent_subject (id, locale, created_at)
    SELECT id, locale, now() FROM unnest(%s::uuid[], %s::text[]) AS new(id, locale) ORDER BY id ON CONFLICT DO NOTHING
"""
MAKE_ADDRESSES = """
    INSERT INTO consent_identifier (kind, digest, sealed, subject_id, created_at)
    SELECT kind, digest, sealed, subject_id, now()
      FROM unnest(%s::text[], %s::bytea[], %s::bytea[], %s::uuid[]) AS new(kind, digest, sealed, subject_id)
     ORDER BY kind, digest
    ON CONFLICT (kind, digest) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The journal held against the database: its lines, what of them is not there, and how many do not open. In each
    of its `files` a crash may have cut one off, which was written again."""

    lines: int = 0
    missing: int = 0
    erasures_missing: int = 0
    unreadable: int = 0
    files: int = 0

    @property
    def is_equal(self) -> bool:
        return not self.missing and not self.erasures_missing


@dataclass(frozen=True, slots=True)
class PutBack:
    """What was put back of some lines: how many opt-outs, whose they are, how many people the database did not know,
    and when the newest of the opt-outs had been received."""

    opt_outs: int = 0
    people: frozenset[str] = frozenset()
    people_made: int = 0
    newest_at: datetime | None = None


def compare() -> Comparison:
    """Nothing is changed. Reads the whole journal."""
    lines = missing = unreadable = 0
    for some in _portions():
        found = [line for line in some if line]
        lines, unreadable = lines + len(found), unreadable + len(some) - len(found)
        missing += len(missing_of(found))
    return Comparison(lines, missing, len(_to_erase()), unreadable, opt_out_journal.file_count())


def is_restored(decision: Decision) -> bool:
    """It was said, counted and confirmed once already."""
    return (decision.idempotency_key or "").startswith(RESTORED)


def missing_of(lines: Sequence[OptOut]) -> list[OptOut]:
    """Those whose row the log does not have, and that were not restored either. Two statements."""
    by_key = {_key(line): line for line in lines}
    with connection.cursor() as cursor:
        rows = [(line.id, line.tx, line.received_at) for line in by_key.values()]
        cursor.execute(THERE, [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], []])
        there = {number for (number,) in cursor.fetchall()}
    gone = {key: line for key, line in by_key.items() if line.id not in there}
    if not gone:
        return []
    done = set(Decision.objects.filter(idempotency_key__in=gone).values_list("idempotency_key", flat=True))
    return [line for key, line in gone.items() if key not in done]


def portions() -> Iterator[list[OptOut]]:
    """The journal's lines, as many at once as one transaction takes."""
    for some in _portions():
        yield [line for line in some if line]


@transaction.atomic
def put_back(lines: Sequence[OptOut], why: str) -> PutBack:
    """Record those that the database does not have. A second call changes nothing. What no person chose gets into a
    batch with that reason, so that it can be undone as one.
    """
    missing = missing_of(lines)
    if not missing:
        return PutBack()
    _register(missing)
    made = _make_people(missing)
    record(_drafts(missing, None if all(line.explicit for line in missing) else _batch(why)))
    newest = datetime.fromisoformat(max(line.received_at for line in missing))
    return PutBack(len(missing), frozenset(line.subject for line in missing), made, newest)


def erase_again() -> int:
    """Whoever asked to be forgotten, and is known again; returns how many people."""
    found = _to_erase()
    for subject_id in found:
        erase(subject_id, by=BY)
    return len(found)


def _portions() -> Iterator[list[OptOut | None]]:
    lines = opt_out_journal.opt_outs()
    while some := list(islice(lines, AT_ONCE)):
        yield some


def _batch(why: str) -> Batch:
    known = Batch.objects.filter(kind=BATCH, reason=why).first()
    return known or open_batch(BATCH, reason=why, by=BY)


def _to_erase() -> list[UUID]:
    return list(Subject.objects.filter(pk__in=opt_out_journal.erased(), erased_at=None).values_list("pk", flat=True))


def _key(line: OptOut) -> str:
    text = f"{line.id}|{line.tx}|{line.received_at}|{line.subject}|{line.purpose}|{line.channel}"
    return f"{RESTORED}{hashlib.sha256(text.encode()).hexdigest()}"


def _register(lines: Sequence[OptOut]) -> None:
    """A purpose that the copy does not know is made again, hidden, to be contacted about only after an opt-in."""
    named = {line.purpose for line in lines} - {ANY}
    for code in sorted(named - set(Purpose.objects.filter(code__in=named).values_list("code", flat=True))):
        words = "Found in the journal of opt-outs after the database went back in time. Say what it is."
        Purpose(code=code, name=code, description=words, is_public=False).save_as(BY, "Opt-outs of it were put back")


def _make_people(lines: Sequence[OptOut]) -> int:
    """Numbers and addresses that the copy does not know, as they were; an address that belongs to somebody stays with
    them. Returns how many people were made."""
    owners = _owners(lines)
    known = set(Subject.objects.filter(pk__in={line.subject for line in lines}).values_list("pk", flat=True))
    new = {
        UUID(line.subject): line.locale
        for line in lines
        if UUID(line.subject) not in known and not owners.get(line.subject)
    }
    with prepared() as cursor:
        cursor.execute(MAKE_PEOPLE, [plain(new), texts(new.values())])
    roots = subjects.roots(known | new.keys())
    addresses = {
        (address.kind, bytes.fromhex(address.digest)): (address.sealed, roots[UUID(line.subject)])
        for line in lines
        if UUID(line.subject) in roots
        for address in line.addresses
    }
    with prepared() as cursor:
        cursor.execute(
            MAKE_ADDRESSES,
            [
                texts(kind for kind, _ in addresses),
                blobs(digest for _, digest in addresses),
                blobs(None if sealed is None else base64.b64decode(sealed) for sealed, _ in addresses.values()),
                plain(root for _, root in addresses.values()),
            ],
        )
    return len(new)


def _owners(lines: Sequence[OptOut]) -> dict[str, list[UUID]]:
    """Who has the addresses of a line's person now."""
    wanted = {(address.kind, bytes.fromhex(address.digest)) for line in lines for address in line.addresses}
    has = subjects.owners(wanted)
    owners: dict[str, list[UUID]] = defaultdict(list)
    for line in lines:
        for address in line.addresses:
            if owner := has.get((address.kind, bytes.fromhex(address.digest))):
                owners[line.subject].append(owner)
    return owners


def _drafts(lines: Sequence[OptOut], batch: Batch | None) -> list[NewDecision]:
    """One for each line's person, and one for everybody else who has one of their addresses now. Three statements."""
    owners = _owners(lines)
    wanted = {UUID(line.subject) for line in lines} | {owner for each in owners.values() for owner in each}
    roots = subjects.roots(wanted)
    paths = {line.exit_path for line in lines} - {""}
    known = set(ExitPath.objects.filter(pk__in=paths).values_list("pk", flat=True))
    drafts = []
    for line in lines:
        named = [UUID(line.subject), *sorted(owners.get(line.subject, ()))]
        people = dict.fromkeys(roots[person] for person in named if person in roots)
        key, exit_path = _key(line), line.exit_path if line.exit_path in known else ""
        for position, person in enumerate(people):
            drafts.append(_draft(line, person, f"{key}:{position}" if position else key, exit_path, batch))
    return drafts


def _draft(line: OptOut, person: UUID, key: str, exit_path: str, batch: Batch | None) -> NewDecision:
    return NewDecision(
        subject=person,
        purpose=line.purpose,
        channel=line.channel,
        choice=Choice.OPT_OUT,
        cause=line.cause,
        explicit=line.explicit,
        decided_at=datetime.fromisoformat(line.decided_at),
        actor=line.actor,
        exit_path=exit_path,
        confidence=line.confidence,
        reasons=[*[reason for reason in line.reasons if reason != REASON][: MOST_REASONS - 1], REASON],
        notice_version=line.notice_version,
        locale=line.locale,
        idempotency_key=key,
        batch_id=batch.pk if batch and not line.explicit else None,
    )
