"""What must still be done so that it does not happen again: by whom, by when, and how it ended."""

from datetime import date

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.models import User
from consent.services import actor_of
from incidents import timeline
from incidents.changing import locked, why
from incidents.models import FollowUp, Incident
from incidents.scope import said
from incidents.timeline import Kind, Source

State = FollowUp.State


@transaction.atomic
def add_follow_up(
    incident: Incident,
    title: str,
    *,
    kind: str,
    owner: User,
    due_on: date,
    by: User | str,
    source: str = Source.UI,
) -> FollowUp:
    """Also for an incident that is over: most are found in its review. Raises ValidationError by field."""
    incident = locked(incident)
    _check(owner, due_on)
    work = FollowUp(
        incident=incident, title=said(title, "title", "Say what has to be done."), kind=kind, owner=owner, due_on=due_on
    )
    work.full_clean(exclude=["incident", "owner"])
    work.save_as(actor_of(by), "Added")
    text = f"To do by {due_on:%Y-%m-%d}, {owner}: {work.title}"
    timeline.append(incident, Kind.FOLLOW_UP, text, source=source, actor=actor_of(by), new=State.OPEN)
    return work


def finish(work: FollowUp, *, outcome: str, by: User | str, source: str = Source.UI) -> FollowUp:
    """Done; `outcome` says what was done."""
    return _settle(work, State.DONE, said(outcome, "outcome", "Say what was done."), by, source)


def drop(work: FollowUp, *, reason: str, by: User | str, source: str = Source.UI) -> FollowUp:
    """It will not be done, and why."""
    return _settle(work, State.DROPPED, why(reason), by, source)


@transaction.atomic
def reassign(
    work: FollowUp, *, owner: User, due_on: date, reason: str, by: User | str, source: str = Source.UI
) -> FollowUp:
    """Another owner, another day, or both."""
    work, reason = _open(work), why(reason)
    _check(owner, due_on)
    old, work.owner, work.due_on = f"{work.owner}, {work.due_on:%Y-%m-%d}", owner, due_on
    work.save_as(actor_of(by), reason)
    text = f"{work.title}: now {owner}, by {due_on:%Y-%m-%d}. {reason}"
    timeline.append(work.incident, Kind.FOLLOW_UP, text, source=source, actor=actor_of(by), old=old[:200])
    return work


@transaction.atomic
def _settle(work: FollowUp, state: str, outcome: str, by: User | str, source: str) -> FollowUp:
    work = _open(work)
    work.state, work.outcome = state, outcome
    work.settled_at, work.settled_by = timezone.now(), actor_of(by)
    work.full_clean(exclude=["incident", "owner"])
    work.save_as(actor_of(by), outcome)
    text = f"{work.title} is {work.get_state_display()}: {outcome}"
    timeline.append(work.incident, Kind.FOLLOW_UP, text, source=source, actor=actor_of(by), old=State.OPEN, new=state)
    return work


def _open(work: FollowUp) -> FollowUp:
    locked(work.incident)
    work = FollowUp.objects.select_related("incident", "owner").get(pk=work.pk)
    if work.state != State.OPEN:
        raise ValidationError(f"It is {work.get_state_display()} already.", code="state")
    return work


def _check(owner: User, due_on: date) -> None:
    if owner.is_service or not owner.is_active:
        raise ValidationError({"owner": "A follow-up belongs to a person whose account is active."})
    if due_on < timezone.now().date():
        raise ValidationError({"due_on": "This day has passed. Give one that is still to come."})
