"""Key by key: what a service says that it holds, against what holds here; and what follows. Opt-out wins.

They would write, and here it is an opt-out: they are told again. They hold a no that nobody here knew: it is taken
down. Whatever else differs waits for a person. A key that changed here so shortly before their look that the news may
have been on its way is not measured.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from consent import subjects
from consent.answers import Answer
from consent.identifiers import Identity
from consent.models import ANY, Cause, Channel, Choice, Consent, Purpose
from consent.services import NewDecision, Query, Recorded, check, open_batch, record
from messaging.models import Difference, Endpoint, StateReport
from messaging.models.reconciling import TOLERANCE
from messaging.propagation.replaying import replay_keys

MOST = 1000
SAME, UNMEASURED = "same", "unmeasured"
BATCH = "reconciliation"
REASON = "reconciliation"
BY = "system:reconciliation"
Kind = Difference.Kind
Key = tuple[str, str, str]  # person, purpose, channel
DESCRIBED = [
    "last_report", "kind", "person", "subject_id", "purpose", "channel", "theirs", "theirs_at", "ours", "ours_at",
    "decision_id", "source_id", "times_seen", "told_again_at", "lasts_since", "settled_at", "settled_by",
    "settled_reason",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Held:
    """What a service holds about a person, purpose and channel: `opt_in`, it would write, or `opt_out`; since when,
    where it knows that."""

    subject: UUID | Identity
    purpose: str
    channel: str
    state: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Compared:
    held: Held
    person: str
    subject_id: UUID | None
    answer: Answer
    kind: str


def kind_of(held: Held, answer: Answer, *, is_known: bool, changed_at: datetime | None, held_at: datetime) -> str:
    """SAME, UNMEASURED or a kind of difference. `changed_at`: when the newest key here that covers it changed."""
    agree = answer.allowed if held.state == Choice.OPT_IN else answer.state == "opted_out"
    if agree or answer.reason == "mandatory":
        return SAME
    if changed_at is not None and changed_at > held_at - TOLERANCE:
        return UNMEASURED
    if held.state == Choice.OPT_IN:
        if answer.state == "opted_out":
            return Kind.CONTACTABLE
        return Kind.NO_YES if is_known else Kind.UNKNOWN
    if answer.reason == "explicit_opt_in" and answer.since is not None:
        is_older = held.since is not None and held.since < answer.since
        return Kind.OLDER if is_older else Kind.NEWER
    return Kind.UNHEARD


@transaction.atomic
def compare(report: StateReport, rows: Sequence[Held]) -> Counter[str]:
    """Compare some keys of a report and do what follows; returns how many of each kind. Sent twice, it finds the same.

    Raises ValidationError by position and field.
    """
    if faults := _faults(rows):
        raise ValidationError(faults)
    Endpoint.objects.select_for_update().get(pk=report.endpoint_id)  # one call at a time finds and settles
    locked = StateReport.objects.select_for_update().select_related("endpoint").get(pk=report.pk)
    if locked.finished_at:
        raise ValidationError("This report is finished. Begin another one under another name.")
    compared = _compared(rows, locked.held_at)
    recorded = _take_down(locked, [one for one in compared if one.kind == Kind.UNHEARD])
    _settle(locked, [one for one in compared if one.kind == SAME])
    found = _keep(locked, [one for one in compared if one.kind not in (SAME, UNMEASURED)], recorded)
    _tell_again(locked, found)
    counts = Counter(one.kind for one in compared)
    locked.rows, locked.same = locked.rows + len(rows), locked.same + counts[SAME]
    locked.unmeasured, locked.recorded = locked.unmeasured + counts[UNMEASURED], locked.recorded + len(recorded)
    locked.differing += sum(counts.values()) - counts[SAME] - counts[UNMEASURED]
    locked.save()
    return counts


def _faults(rows: Sequence[Held]) -> dict[str, str]:
    purposes = set(Purpose.objects.filter(code__in={row.purpose for row in rows}).values_list("code", flat=True))
    known = subjects.roots({row.subject for row in rows if isinstance(row.subject, UUID)})
    faults = {}
    for index, row in enumerate(rows):
        if row.purpose not in purposes:
            faults[f"{index}/purpose"] = "No such purpose. Register it first."
        if row.channel not in Channel.values:
            faults[f"{index}/channel"] = f"No such channel. Known: {', '.join(Channel.values)}."
        if row.state not in Choice.values:
            faults[f"{index}/state"] = "A state is opt_in or opt_out."
        if isinstance(row.subject, UUID) and row.subject not in known:
            faults[f"{index}/subject/id"] = "No such person. Send the address instead."
    return faults


def _compared(rows: Sequence[Held], held_at: datetime) -> list[_Compared]:
    """Four statements, whatever the count."""
    known = subjects.find(row.subject for row in rows if isinstance(row.subject, Identity))
    roots = subjects.roots({*known.values(), *(row.subject for row in rows if isinstance(row.subject, UUID))})
    answers = check([Query(row.subject, row.purpose, row.channel) for row in rows]) if rows else []
    changed: dict[UUID, list[tuple[str, str, datetime]]] = defaultdict(list)
    consents = Consent.objects.filter(subject__in=set(roots.values()))
    for person, purpose, channel, at in consents.values_list("subject_id", "purpose", "channel", "changed_at"):
        changed[person].append((purpose, channel, at))
    found = []
    for row, answer in zip(rows, answers, strict=True):
        named = row.subject if isinstance(row.subject, UUID) else known.get((row.subject.kind, row.subject.digest))
        subject_id: UUID | None = roots[named] if named else None
        rows_of_person = changed[subject_id] if subject_id else []
        moments = [at for p, c, at in rows_of_person if p in (row.purpose, ANY) and c in (row.channel, ANY)]
        kind = kind_of(
            row, answer, is_known=subject_id is not None, changed_at=max(moments, default=None), held_at=held_at
        )
        found.append(_Compared(row, _person(row, subject_id), subject_id, answer, kind))
    return found


def _person(row: Held, subject_id: UUID | None) -> str:
    if subject_id is not None:
        return subject_id.hex
    return row.subject.hex if isinstance(row.subject, UUID) else row.subject.digest.hex()


def _take_down(report: StateReport, unheard: Sequence[_Compared]) -> dict[Key, Recorded]:
    """Their no counts here from now on. By person, purpose and channel: the decision."""
    if not unheard:
        return {}
    if report.batch_id is None:
        words = f"What {report.endpoint} holds: {report.name}"
        report.batch_id = open_batch(BATCH, reason=words[:200], by=BY).pk
    now = timezone.now()
    recorded = record(
        [
            NewDecision(
                subject=one.subject_id or _address(one.held),
                purpose=one.held.purpose,
                channel=one.held.channel,
                choice=Choice.OPT_OUT,
                explicit=False,
                cause=Cause.IMPORT,
                actor=BY,
                reasons=[REASON, report.endpoint.name],
                decided_at=_since(one, now),
                batch_id=report.batch_id,
            )
            for one in unheard
        ]
    )
    keys = ((one.person, one.held.purpose, one.held.channel) for one in unheard)
    return dict(zip(keys, recorded, strict=True))


def _address(held: Held) -> list[Identity]:
    return [held.subject] if isinstance(held.subject, Identity) else []


def _since(one: _Compared, now: datetime) -> datetime:
    """As they say; but no older than what it must outweigh here, and not from the future."""
    since = one.held.since
    if since is None or since > now or (one.answer.since is not None and since <= one.answer.since):
        return now
    return since


def _settle(report: StateReport, same: Sequence[_Compared]) -> None:
    standing = _standing(report, same)
    right = [standing[key] for one in same for key in _keys(one) if key in standing]
    Difference.objects.filter(pk__in=[difference.pk for difference in right]).update(
        settled_at=timezone.now(), settled_by=BY, settled_reason=f"Right in {report.name}"[:200], last_report=report
    )


def _keep(report: StateReport, differing: Sequence[_Compared], recorded: dict[Key, Recorded]) -> list[Difference]:
    """Each key has one finding while it differs; what was taken down is the same on both sides, and settled at once."""
    standing, now = _standing(report, differing), timezone.now()
    kept: dict[Key, Difference] = {}
    for one in differing:
        key = _keys(one)[0]
        found = kept.get(key) or next((standing[k] for k in _keys(one) if k in standing), None)
        if found is None:
            found = Difference(endpoint=report.endpoint, first_report=report, found_at=now, times_seen=0)
        _describe(found, report, one, recorded.get(key))
        if one.kind == Kind.UNHEARD:
            found.settled_at, found.settled_by, found.settled_reason = now, BY, "Taken down here"
        kept[key] = found
    known = [found for found in kept.values() if found.pk is not None]
    Difference.objects.bulk_create([found for found in kept.values() if found.pk is None])
    Difference.objects.bulk_update(known, DESCRIBED)
    return list(kept.values())


def _describe(found: Difference, report: StateReport, one: _Compared, taken_down: Recorded | None) -> None:
    if found.last_report_id != report.pk:
        found.times_seen += 1
    if found.kind != one.kind:
        found.told_again_at = found.lasts_since = found.source_id = None
    elif found.told_again_at and report.held_at > found.told_again_at + TOLERANCE:
        found.lasts_since = found.lasts_since or report.held_at
    found.last_report, found.kind = report, one.kind
    found.person, found.subject_id = one.person, one.subject_id
    found.purpose, found.channel = one.held.purpose, one.held.channel
    found.theirs, found.theirs_at = one.held.state, one.held.since
    found.ours, found.ours_at = one.answer.state, one.answer.since
    found.decision_id = one.answer.decision
    if taken_down is not None:
        found.subject_id, found.decision_id = taken_down.subject_id, taken_down.id


def _tell_again(report: StateReport, found: Sequence[Difference]) -> None:
    """The newest version of the key that decides, under the id that it was told by first."""
    wanted = [difference for difference in found if difference.kind in Difference.TOLD_AGAIN]
    if not wanted:
        return
    standing = Consent.objects.filter(decision__in=[difference.decision_id for difference in wanted])
    by_decision = {row.decision_id: row for row in standing}
    rows = {difference.pk: by_decision.get(difference.decision_id) for difference in wanted}
    keys, now = [row.pk for row in rows.values() if row], timezone.now()
    told = replay_keys(report.endpoint, keys, reason=f"Differs in {report.name}", by=BY)
    for difference in wanted:
        row = rows[difference.pk]
        if row is not None and row.pk in told:
            difference.source_id, difference.told_again_at = told[row.pk], difference.told_again_at or now
    Difference.objects.bulk_update(wanted, ["source_id", "told_again_at"])


def _keys(one: _Compared) -> list[Key]:
    """By person; and by the address, for what was found before the person was known."""
    people = [one.person]
    if one.subject_id is not None and isinstance(one.held.subject, Identity):
        people.append(one.held.subject.digest.hex())
    return [(person, one.held.purpose, one.held.channel) for person in people]


def _standing(report: StateReport, compared: Sequence[_Compared]) -> dict[Key, Difference]:
    people = {key[0] for one in compared for key in _keys(one)}
    rows = Difference.objects.open().filter(endpoint=report.endpoint, person__in=people)
    return {(row.person, row.purpose, row.channel): row for row in rows}
