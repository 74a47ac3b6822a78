"""What people say about a change set: written, edited, submitted, approved or declined, given a time, or given up."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.utils import timezone

from config.models import User
from consent.services import actor_of
from incidents.changes.allowing import APPROVES, AUTHORS, locked, not_permitted
from incidents.changes.operations import kind_of, problems_of
from incidents.changes.planning import forget
from incidents.changes.policy import PLAN_HOLDS, review_due
from incidents.changes.policy import problems_of as policy_problems_of
from incidents.changes.staging import bring_file, file_of
from incidents.changes.staleness import stale_because
from incidents.changes.telling import LONGEST, move, raise_near_miss, save, tell
from incidents.changing import why
from incidents.models import ChangeApproval, ChangeSet, Incident, PlannedWrite

State = ChangeSet.State
WRITTEN = (
    "title",
    "reason",
    "incident",
    "operations",
    "selector",
    "leaves_protected",
    "batch_size",
    "validation_policy",
)


@transaction.atomic
def write(
    title: str, *, reason: str, operations: list[dict[str, Any]], by: User | str, incident: Incident | None = None,
    is_scripted: bool = False, **facts: Any,
) -> ChangeSet:  # fmt: skip
    """A draft, with the rows of the import that it names. `facts`: selector, leaves_protected, batch_size,
    validation_policy. Raises ValidationError."""
    if words := not_permitted(AUTHORS, by):
        raise ValidationError(words)
    change = ChangeSet(title=title, reason=why(reason), incident=incident, created_by=actor_of(by))
    _set(change, {"operations": operations, **facts}, is_scripted=is_scripted)
    change.save_as(actor_of(by), "Written")
    if file_of(change):
        bring_file(change)
    tell(change, f"written. {change.reason}", by=by, new=change.state)
    return change


@transaction.atomic
def edit(change: ChangeSet, *, by: User | str, **facts: Any) -> ChangeSet:
    """Change any of WRITTEN: a new revision, back in draft, without a plan and without what was granted. Whoever edits
    it wrote it too, and does not approve it."""
    change = locked(change, "edit", by)
    old, change.state, change.revision = change.state, State.DRAFT, change.revision + 1
    file = file_of(change)
    forget(change)
    change.scheduled_for, change.scheduled_by, change.next_at = None, "", None
    change.ended_at, change.ended_by, change.ended_reason = None, "", ""
    if actor_of(by) not in change.authors:
        change.editors = [*change.editors, actor_of(by)]
    _set(change, facts)
    save(change, by, f"Edited: revision {change.revision}")
    PlannedWrite.objects.filter(change_set=change).delete()
    if file_of(change) not in ("", file):
        bring_file(change)
    tell(change, f"edited: revision {change.revision}. Approvals of the one before count no more.", by=by, old=old,
         new=change.state)  # fmt: skip
    return change


def submit(change: ChangeSet, *, by: User | str) -> ChangeSet:
    """Ask others to read and approve the plan. Raises ValidationError where it is stale, or would touch people's own
    opt-outs: that is a near miss, and is told as one."""
    with transaction.atomic():
        change = locked(change, "submit", by)
        _still_holds(change)
        touched = change.protected_touched and not change.leaves_protected
        if not touched:
            change.submitted_at, change.submitted_by = timezone.now(), actor_of(by)
            move(change, State.IN_REVIEW, f"submitted; it takes {change.required_approvals} to approve it.", by=by)
            if change.required_approvals == 0:
                move(change, State.APPROVED, "needs no approval here: it was read as code.", by=by)
            return change
        words = (
            f"{change.protected_touched:,} people opted out themselves and would be opted in. They are never written. "
            "Select without them (explicit: false), or say that they are left out knowingly."
        )
        raise_near_miss(change, words, "The plan, which counted people's own opt-outs before anything was written")
    raise ValidationError(words, code="protected")


@transaction.atomic
def approve(change: ChangeSet, *, by: User | str, comment: str = "", plan_digest: bytes | None = None) -> ChangeSet:
    """Agree to this plan and to no other. `plan_digest`: the one that was read. Raises ValidationError."""
    change = locked(change, "approve", by)
    _as_read(change, plan_digest)
    if words := stale_because(change):
        return mark_stale(change, words, by)
    _answer(change, ChangeApproval.Verdict.APPROVE, comment, by)
    given = approvals_of(change).filter(verdict=ChangeApproval.Verdict.APPROVE).count()
    if given >= change.required_approvals:
        move(change, State.APPROVED, f"approved by {given}. {comment}".strip(), by=by)
    else:
        tell(change, f"approved by {given} of {change.required_approvals}. {comment}".strip(), by=by)
    return change


@transaction.atomic
def decline(change: ChangeSet, *, by: User | str, comment: str, plan_digest: bytes | None = None) -> ChangeSet:
    """No: whatever others said, it is rejected, until it is edited. Raises ValidationError."""
    change = locked(change, "decline", by)
    _as_read(change, plan_digest)
    comment = why(comment)
    _answer(change, ChangeApproval.Verdict.DECLINE, comment, by)
    change = _give_up(change, State.REJECTED, f"declined. {comment}", comment, by)
    if change.protected_touched:
        words = f"{change.protected_touched:,} people who opted out themselves were among those selected."
        raise_near_miss(change, f"{words} {comment}", f"{actor_of(by)} declined it before it was applied")
    return change


@transaction.atomic
def schedule(change: ChangeSet, at: datetime, *, by: User | str) -> ChangeSet:
    """Apply it by itself at that time, if its plan still holds then. Raises ValidationError."""
    change = locked(change, "schedule", by)
    if at.tzinfo is None or at <= timezone.now():
        raise ValidationError({"scheduled_for": "Give a time that lies ahead, with its offset."})
    if change.planned_at and at > (holds_until := change.planned_at + PLAN_HOLDS):
        words = f"Its plan holds until {holds_until:%Y-%m-%d %H:%M %Z}: choose a time before, or plan it again later."
        raise ValidationError({"scheduled_for": words})
    change.scheduled_for = change.next_at = at
    change.scheduled_by = actor_of(by)
    move(change, State.SCHEDULED, f"scheduled for {at:%Y-%m-%d %H:%M %Z}.", by=by)
    return change


@transaction.atomic
def unschedule(change: ChangeSet, *, by: User | str) -> ChangeSet:
    change = locked(change, "unschedule", by)
    change.scheduled_for, change.scheduled_by, change.next_at = None, "", None
    move(change, State.APPROVED, "not scheduled any more.", by=by)
    return change


@transaction.atomic
def cancel(change: ChangeSet, *, by: User | str, reason: str) -> ChangeSet:
    """Give it up; nothing of it was written."""
    change = locked(change, "cancel", by)
    reason = why(reason)
    return _give_up(change, State.CANCELLED, f"cancelled. {reason}", reason, by)


@transaction.atomic
def bypass(change: ChangeSet, *, by: User | str, reason: str, second: User) -> ChangeSet:
    """In an emergency: this plan, without approvals, once the second person confirms it, who is named here. The
    database's guards stand. Somebody else looks at it within three working days. Raises ValidationError."""
    change = locked(change, "bypass", by)
    if second.actor in (actor_of(by), *change.authors):
        raise ValidationError({"second": "Name a second person, neither yourself nor whoever wrote or edited it."})
    if not_permitted(APPROVES, second, by_person=True):
        raise ValidationError({"second": f"{second} may not confirm it: name somebody who may approve change sets."})
    reason = why(reason)
    if words := stale_because(change):
        return mark_stale(change, words, by)
    change.bypass_reason, change.second_person = reason[:LONGEST], second.actor
    change.bypassed_at, change.bypassed_by = timezone.now(), actor_of(by)
    change.bypass_digest = change.plan_digest
    change.review_due_at = review_due(change.bypassed_at)
    save(change, by, f"Approvals bypassed: {change.bypass_reason}")
    tell(change, f"APPROVALS BYPASSED by {change.bypassed_by}; {second.actor} must confirm it. {reason}", by=by)
    return change


@transaction.atomic
def second(change: ChangeSet, *, by: User | str, comment: str = "", plan_digest: bytes | None = None) -> ChangeSet:
    """The second person confirms the bypass for the plan that was read: it may be applied. Raises ValidationError."""
    change = locked(change, "second", by)
    _as_read(change, plan_digest)
    if words := stale_because(change):
        return mark_stale(change, words, by)
    change.seconded_at, change.seconded_by = timezone.now(), actor_of(by)
    text = f"bypass of approvals confirmed; to be reviewed by {change.review_due_at:%Y-%m-%d}. {comment}"
    move(change, State.APPROVED, text.strip(), by=by)
    return change


@transaction.atomic
def review(change: ChangeSet, *, by: User | str, result: str) -> ChangeSet:
    """What somebody who had no part in the bypass found afterwards."""
    change = locked(change, "review", by)
    change.review_result = why(result)[:LONGEST]
    change.reviewed_at, change.reviewed_by = timezone.now(), actor_of(by)
    save(change, by, "Bypass reviewed")
    tell(change, f"its bypass was reviewed. {result}", by=by)
    return change


def approvals_of(change: ChangeSet) -> Any:
    """What was answered to the plan that stands now."""
    return change.approvals.filter(revision=change.revision, plan_digest=change.plan_digest)


def _set(change: ChangeSet, facts: dict[str, Any], *, is_scripted: bool = False) -> None:
    if unknown := set(facts) - set(WRITTEN):
        raise ValidationError(f"Not to be written: {', '.join(sorted(unknown))}.")
    for name, value in facts.items():
        setattr(change, name, value)
    found = [*problems_of(change.operations, change.selector), *policy_problems_of(change.validation_policy)]
    if found:
        raise ValidationError(found)
    change.kind = kind_of(change.operations)
    if change.kind == ChangeSet.Kind.MIGRATION and not is_scripted:
        raise ValidationError("Rows of a script come with the script: incidents.changes.migrating.")
    change.full_clean(exclude=["created_by"])


def _still_holds(change: ChangeSet) -> None:
    if words := stale_because(change):
        raise ValidationError(f"{words} Plan it again.", code="stale")


def mark_stale(change: ChangeSet, words: str, by: User | str) -> ChangeSet:
    """Its plan holds no more. Locked by the caller."""
    change.scheduled_for, change.scheduled_by, change.next_at = None, "", None
    move(change, State.STALE, f"stale. {words}", by=by)
    return change


def _as_read(change: ChangeSet, plan_digest: bytes | None) -> None:
    if plan_digest is not None and plan_digest != bytes(change.plan_digest or b""):
        raise ValidationError("Another plan stands in review by now: read it again.", code="plan")


def _answer(change: ChangeSet, verdict: str, comment: str, by: User | str) -> None:
    answer = ChangeApproval(
        change_set=change, verdict=verdict, revision=change.revision, plan_digest=change.plan_digest,
        comment=comment.strip()[:LONGEST], given_by=actor_of(by),
    )  # fmt: skip
    answer.full_clean()
    try:
        with transaction.atomic():
            answer.save()
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", "") != "HF014":
            raise
        raise ValidationError(
            "This is not yours to approve, or no longer the plan in review: read it again."
        ) from error


def _give_up(change: ChangeSet, state: str, text: str, reason: str, by: User | str) -> ChangeSet:
    change.scheduled_for, change.scheduled_by, change.next_at = None, "", None
    change.ended_at, change.ended_by, change.ended_reason = timezone.now(), actor_of(by), reason[:LONGEST]
    move(change, state, text, by=by, reason=reason)
    return change
