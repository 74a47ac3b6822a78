"""The doors of consent: record a choice, ask, lift an opt-out in two steps, set the guard, undo what nobody chose."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connection, transaction
from django.db.models import QuerySet

from config.models import User
from consent import feed, subjects
from consent.answers import Answer, Query, check
from consent.identifiers import Identity
from consent.models import (
    Batch,
    Cause,
    Choice,
    Consent,
    Decision,
    Evidence,
    GuardChange,
    Identifier,
    ImportRow,
    InterruptedOptOut,
    Reversal,
    ReversalConfirmation,
    Subject,
    SubjectMerge,
)
from consent.recording import Effective, NewDecision, Recorded, write
from consent.refusals import DecisionsRefused, Problem, SecondPersonNeeded, from_database, is_passing
from consent.validation import problems_of

__all__ = [
    "Answer", "DecisionsRefused", "Effective", "NewDecision", "Problem", "Query", "Recorded", "actor_of", "check",
    "confirm_reversal", "erase", "guard_level", "may_contact", "merge", "open_batch", "record", "request_reversal",
    "set_guard", "void",
]  # fmt: skip
ALONE = 1_000  # decisions that nobody chose, and that one person may void without a second


def actor_of(by: User | str) -> str:
    """Who did it, as records keep it: `user:anna`, `service:shop`, `subject`, `system:feed`."""
    return by if isinstance(by, str) else by.actor


def record(decisions: Sequence[NewDecision], *, savepoint: bool = True) -> list[Recorded]:
    """Write choices down, all or none, and say what holds now: the one door through which a choice enters.

    A fixed number of statements, whatever the count. An opt-out is taken at every guard level. Raises DecisionsRefused
    with a problem per bad entry, and then stores nothing. `savepoint=False` is for a caller whose own transaction ends
    with a refusal anyway: it saves two statements.
    """
    if problems := problems_of(decisions):
        raise DecisionsRefused(problems)
    if not decisions:
        return []
    try:
        return _settled(decisions, savepoint)
    except DatabaseError as error:
        raise from_database(error, decisions) from error.__cause__


def may_contact(subject: UUID | Identity, purpose: str, channel: str) -> bool:
    """The gate before every contact. Fails closed: an unknown purpose, and never having asked, are not a yes."""
    return check([Query(subject, purpose, channel)])[0].allowed


def request_reversal(
    subject_id: UUID, purpose: str, channel: str, *, by: User | str = "subject", reason: str = "", evidence: str = ""
) -> Reversal:
    """The first step back in; changes nothing yet. Staff say why, and where the proof of the person's wish is."""
    kind = Reversal.Kind.STAFF if actor_of(by).startswith("user:") else Reversal.Kind.SUBJECT
    reversal = Reversal(
        subject_id=subjects.roots([subject_id])[subject_id],
        purpose=purpose,
        channel=channel,
        kind=kind,
        reason=reason,
        evidence=evidence,
        requested_by=actor_of(by),
    )
    reversal.full_clean(exclude=["subject"])
    reversal.save()
    return reversal


@transaction.atomic
def confirm_reversal(
    reversal_id: UUID, *, by: User | str = "subject", exit_path: str = "", locale: str = ""
) -> Recorded:
    """The second step: the person again, or a second of staff. Records the opt-in.

    Raises DecisionsRefused when the first step is unknown, used, older than seven days or by the same member of staff.
    """
    try:
        reversal = Reversal.objects.get(pk=reversal_id)
    except Reversal.DoesNotExist as error:
        raise DecisionsRefused([Problem(0, "reversal", "unknown", "No such request to opt back in.")]) from error
    if ReversalConfirmation.objects.filter(pk=reversal_id).exists():
        raise DecisionsRefused([Problem(0, "reversal", "used", "This opt-in was confirmed already.")])
    try:
        with transaction.atomic():
            ReversalConfirmation.objects.create(reversal=reversal, confirmed_by=actor_of(by))
    except DatabaseError as error:
        raise from_database(error, []) from error.__cause__
    staff = reversal.kind == Reversal.Kind.STAFF
    return record(
        [
            NewDecision(
                subject=reversal.subject_id,
                purpose=reversal.purpose,
                channel=reversal.channel,
                choice=Choice.OPT_IN,
                cause=Cause.SUPPORT if staff else Cause.SUBJECT_CHOICE,
                is_now=True,
                actor=actor_of(by),
                exit_path=exit_path,
                locale=locale,
                reversal_id=reversal.pk,
            )
        ]
    )[0]


def guard_level() -> str:
    """How strict the database is now with opt-ins that no person made."""
    level = GuardChange.objects.order_by("-pk").values_list("level", flat=True).first()
    return level or GuardChange.Level.OBSERVE


def set_guard(level: str, *, reason: str, by: User | str) -> GuardChange:
    """Observe, protect or freeze. Opt-outs pass at every level. Raises ValidationError without a reason."""
    change = GuardChange(level=level, reason=reason, changed_by=actor_of(by))
    change.full_clean()
    change.save()
    return change


def open_batch(kind: str, *, reason: str, by: User | str) -> Batch:
    """A unit of writes that nobody chose, so that they can be undone as one."""
    return Batch.objects.create(kind=kind, reason=reason, created_by=actor_of(by))


def takes_two(decisions: QuerySet[Decision], by: User | str) -> bool:
    """Whether one person or service alone may not void these: opt-outs count among them, or more than ALONE do. What
    this product takes back of its own writes, `system:…`, waits for nobody."""
    if not actor_of(by).startswith(("user:", "service:")):
        return False
    counting = decisions.filter(explicit=False, void=None)
    return counting.filter(choice=Choice.OPT_OUT).exists() or counting.count() > ALONE


def void(decisions: Sequence[int], *, reason: str, by: User | str, confirmed_by: str = "") -> int:
    """Declare non-explicit decisions bad. Their keys are projected again at once; returns how many were voided now.

    Raises SecondPersonNeeded where that takes two and nobody is named who confirmed it, and DecisionsRefused where one
    of them is explicit: only a later choice of the person supersedes that.
    """
    if not confirmed_by and takes_two(Decision.objects.filter(pk__in=decisions), by):
        raise SecondPersonNeeded("of its batch")
    rows = [(number, reason, actor_of(by), confirmed_by) for number in sorted(set(decisions))]
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO consent_decisionvoid (decision_id, reason, voided_by, confirmed_by) SELECT * FROM "
                "unnest(%s::bigint[], %s::text[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING",
                [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], [], []],
            )
            return cursor.rowcount
    except DatabaseError as error:
        raise from_database(error, []) from error.__cause__


@transaction.atomic
def merge(subject_id: UUID, into: UUID, *, reason: str, by: User | str) -> Subject:
    """Two subjects are one person: `into` speaks for both, and every opt-out of either stands. Returns it.

    A second call with the same two changes nothing.
    """
    of = subjects.roots([subject_id, into])
    merged_id, root_id = of[subject_id], of[into]
    # Locked in one order by everybody; a choice under way for either holds a share lock that this waits for.
    found = {s.pk: s for s in Subject.objects.select_for_update().filter(pk__in={merged_id, root_id}).order_by("pk")}
    merged, root = found[merged_id], found[root_id]
    if merged == root or merged.merged_into_id or root.merged_into_id:
        return root
    # Restated first: the database refuses a merge that would hide an opt-out.
    record(
        [
            NewDecision(
                subject=root_id,
                purpose=consent.purpose,
                channel=consent.channel,
                choice=Choice.OPT_OUT,
                explicit=consent.explicit,
                cause=Cause.REPAIR,
                is_now=True,
                actor=actor_of(by),
                reasons=["subjects_merged"],
                restates_id=consent.decision_id,
            )
            for consent in Consent.objects.opted_out().filter(subject=merged)
        ]
    )
    Subject.objects.filter(pk=merged_id).update(merged_into=root)
    Subject.objects.filter(merged_into=merged).update(merged_into=root)
    Identifier.objects.filter(subject=merged).update(subject=root)
    SubjectMerge.objects.create(merged=merged, into=root, reason=reason, merged_by=actor_of(by))
    return root


@transaction.atomic
def erase(subject_id: UUID, *, by: User | str) -> int:
    """Forget how to reach a person and what they showed us; the choices stay, and so does the blind index of each
    address, so that a re-import meets the opt-out. Returns how many identifiers were emptied.
    """
    root = subjects.roots([subject_id])[subject_id]
    people = Subject.objects.filter(pk=root) | Subject.objects.filter(merged_into=root)
    Evidence.objects.filter(decision__subject__in=people.values("pk")).delete()
    emptied = Identifier.objects.filter(subject=root, sealed__isnull=False).update(sealed=None)
    InterruptedOptOut.objects.filter(subject_id__in=people.values("pk")).update(sealed_identifier=None)
    ImportRow.objects.naming(root).update(sealed=None)
    people.filter(erased_at=None).update(erased_at=transaction_time())
    return emptied


def transaction_time() -> Any:
    """The database's clock, which orders what other sessions did."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


def _settled(decisions: Sequence[NewDecision], savepoint: bool) -> list[Recorded]:
    """Written, again where somebody came between: a merge of a subject after it was looked up, or a deadlock."""
    for attempts_left in (2, 1, 0) if savepoint else (0,):
        try:
            with transaction.atomic(savepoint=savepoint):
                drafts = _with_subjects(decisions)
                recorded = write(drafts)
                if reused := _reused_keys(drafts, recorded):
                    raise DecisionsRefused(reused)
                feed.nudge()
                return recorded
        except DatabaseError as error:
            if not attempts_left or not is_passing(error):
                raise
    raise AssertionError("The last attempt returns or raises.")


def _with_subjects(decisions: Sequence[NewDecision]) -> list[tuple[NewDecision, UUID]]:
    """Each draft with the subject that speaks for its person; people named together are merged on the way."""
    named = [d.subject for d in decisions if not isinstance(d.subject, UUID)]
    people = subjects.find_or_make(named) if named else subjects.People([])
    for same in people.to_merge():
        first, *others = sorted(same)
        for other in others:
            merge(other, first, reason="One call named both", by="system:record")
        for key, subject_id in people.subjects.items():
            if subject_id in others:
                people.subjects[key] = first
    given = {d.subject for d in decisions if isinstance(d.subject, UUID)}
    roots = subjects.roots(given) if given else {}
    if unknown := [i for i, d in enumerate(decisions) if isinstance(d.subject, UUID) and d.subject not in roots]:
        raise DecisionsRefused([Problem(i, "subject/id", "unknown", "No such subject.") for i in unknown])
    return [(d, roots[d.subject] if isinstance(d.subject, UUID) else people.of(d.subject[0])) for d in decisions]


def _reused_keys(drafts: Sequence[tuple[NewDecision, UUID]], recorded: Sequence[Recorded]) -> list[Problem]:
    """An idempotency key stands for one choice of one person; for another it is a mistake to be told."""
    replayed = [row.subject_id for row in recorded if row.replayed]
    person = subjects.roots(replayed) if replayed else {}  # merged since, perhaps
    return [
        Problem(i, "idempotency_key", "reused", "This idempotency key was used for another choice.")
        for i, ((draft, subject_id), row) in enumerate(zip(drafts, recorded, strict=True))
        if row.replayed
        and (subject_id, draft.purpose, draft.channel, draft.choice)
        != (person[row.subject_id], row.purpose, row.channel, row.choice)
    ]


def void_batch(batch: Batch, *, reason: str, by: User | str, confirmed_by: str = "") -> int:
    """Undo a unit of writes as one. Choices that arrived meanwhile stay. Raises as `void` does."""
    numbers = list(Decision.objects.filter(batch=batch).values_list("pk", flat=True))
    return void(numbers, reason=reason, by=by, confirmed_by=confirmed_by)
