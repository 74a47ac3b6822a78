"""What an incident taught: owed by a policy, its numbers filled in, approved by a second person."""

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.models import User
from consent.services import actor_of
from incidents import narrative, timeline
from incidents.changing import locked, why
from incidents.deadlines import review_due
from incidents.models import Incident, PostIncidentReview, SeverityPolicy
from incidents.timeline import Kind, Source

State = PostIncidentReview.State


def owe(
    incident: Incident, policy: SeverityPolicy, needs_review: bool | None, *, reason: str, by: User | str
) -> PostIncidentReview:
    """As the incident is closed: decide whether it is reviewed, and by when. A review that was written stays."""
    found = PostIncidentReview.objects.filter(incident=incident).first()
    if found and found.state in (State.SUBMITTED, State.APPROVED):
        return found
    review = found or PostIncidentReview(incident=incident)
    is_needed = policy.needs_review if needs_review is None else needs_review
    review.state = State.DUE if is_needed else State.WAIVED
    closed_at = incident.closed_at or timezone.now()
    review.due_at = review_due(closed_at, policy.review_days, policy.holidays_of) if is_needed else None
    review.save_as(actor_of(by), reason)
    return review


@transaction.atomic
def write(
    incident: Incident, *, reason: str, by: User | str, source: str = Source.UI, **sections: str
) -> PostIncidentReview:
    """Write on any of the sections; the numbers are counted anew. A submitted review goes back to its author.

    Raises ValidationError by field, and for one that was approved.
    """
    incident, reason = locked(incident), why(reason)
    review = _of(incident)
    if review.state == State.APPROVED:
        raise ValidationError("This review was approved: what it says stays. Add a note to the story.", code="state")
    for name, text in sections.items():
        if name not in PostIncidentReview.SECTIONS:
            raise ValidationError({name: "There is no such section."})
        setattr(review, name, text.replace("\r\n", "\n").strip())
    _fill_in(review)
    review.state, review.submitted_at, review.submitted_by = State.DUE, None, ""
    review.full_clean(exclude=["incident"])
    review.save_as(actor_of(by), reason)
    timeline.append(incident, Kind.REVIEW, f"Review written on. {reason}", source=source, actor=actor_of(by))
    return review


@transaction.atomic
def submit(incident: Incident, *, by: User | str, source: str = Source.UI) -> PostIncidentReview:
    """Hand it to a second person. Raises ValidationError while it says nothing, or the incident is open."""
    incident = locked(incident)
    review = _of(incident)
    if incident.is_open:
        raise ValidationError(f"{incident.ref} is still open: a review looks back.", code="status")
    if review.state in (State.SUBMITTED, State.APPROVED):
        raise ValidationError(f"It is {review.get_state_display()} already.", code="state")
    missing = [name for name in ("what_happened", "causes", "lessons") if not getattr(review, name)]
    if missing:
        names = [PostIncidentReview.words_for(name) for name in missing]
        raise ValidationError(f"Still to be written: {', '.join(names)}.", code="empty")
    _fill_in(review)
    review.state, review.submitted_at, review.submitted_by = State.SUBMITTED, timezone.now(), actor_of(by)
    review.save_as(actor_of(by), "Submitted")
    timeline.append(incident, Kind.REVIEW, "Review submitted.", source=source, actor=actor_of(by), new=State.SUBMITTED)
    return review


@transaction.atomic
def approve(incident: Incident, *, by: User | str, source: str = Source.UI) -> PostIncidentReview:
    """By another person than who submitted it. Raises ValidationError."""
    incident = locked(incident)
    review = _of(incident)
    if review.state != State.SUBMITTED:
        raise ValidationError(f"It is {review.get_state_display()}: only a submitted review is approved.", code="state")
    if review.submitted_by == actor_of(by):
        raise ValidationError("A second person approves it, not the one who submitted it.", code="same_person")
    review.state, review.approved_at, review.approved_by = State.APPROVED, timezone.now(), actor_of(by)
    review.save_as(actor_of(by), "Approved")
    timeline.append(incident, Kind.REVIEW, "Review approved.", source=source, actor=actor_of(by), new=State.APPROVED)
    return review


def _of(incident: Incident) -> PostIncidentReview:
    found = PostIncidentReview.objects.filter(incident=incident).first()
    return found or PostIncidentReview(incident=incident)


def _fill_in(review: PostIncidentReview) -> None:
    review.narrative_as_of = timezone.now()
    review.narrative = narrative.tell(review.incident, review.narrative_as_of)
