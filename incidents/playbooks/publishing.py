"""A version from draft to use: written, approved by another person, published, retired. Reviews of a playbook."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.models import User
from consent.services import actor_of
from incidents.changing import why
from incidents.models import Playbook, PlaybookVersion
from incidents.playbooks.definition import digest_of, problems_of

State = PlaybookVersion.State


@transaction.atomic
def write(
    playbook: Playbook, steps: Sequence[Mapping[str, Any]], attached: Mapping[str, Any], *, by: User | str
) -> PlaybookVersion:
    """A draft, also one that could not be published yet: see `definition.problems_of`."""
    Playbook.objects.select_for_update().get(pk=playbook.pk)
    last = PlaybookVersion.objects.filter(playbook=playbook).order_by("-number").first()
    return PlaybookVersion.objects.create(
        playbook=playbook,
        number=last.number + 1 if last else 1,
        steps=list(steps),
        attached=dict(attached),
        digest=digest_of(steps, attached),
        created_by=actor_of(by),
    )


@transaction.atomic
def approve(version: PlaybookVersion, *, by: User | str) -> PlaybookVersion:
    """A second person agrees to exactly these steps. Raises ValidationError for whoever wrote them, and for steps
    that could not be done."""
    version = _locked(version, State.DRAFT, "be approved")
    _check(version)
    version.state, version.approved_at, version.approved_by = State.APPROVED, timezone.now(), actor_of(by)
    version.validate_constraints()
    version.save()
    return version


@transaction.atomic
def publish(version: PlaybookVersion, *, by: User | str) -> PlaybookVersion:
    """From now on new runs follow it; the one before is retired, and runs that are open go on with their own copy."""
    version = _locked(version, State.APPROVED, "be published")
    _check(version)  # an app that brought an action may be gone since
    for before in PlaybookVersion.objects.filter(playbook=version.playbook, state=State.PUBLISHED):
        _retire(before, by)
    version.state, version.published_at, version.published_by = State.PUBLISHED, timezone.now(), actor_of(by)
    version.save()
    return version


@transaction.atomic
def retire(version: PlaybookVersion, *, by: User | str) -> PlaybookVersion:
    """It is started no more."""
    version = _locked(version, (State.DRAFT, State.APPROVED, State.PUBLISHED), "be retired")
    return _retire(version, by)


@transaction.atomic
def review(playbook: Playbook, *, reason: str, by: User | str) -> Playbook:
    """Somebody has read it and says that it is still right; the time until the next look starts again."""
    playbook = Playbook.objects.select_for_update().get(pk=playbook.pk)
    playbook.last_reviewed_at, playbook.last_reviewed_by = timezone.now(), actor_of(by)
    playbook.save_as(actor_of(by), why(reason))
    return playbook


def published(playbook: Playbook) -> PlaybookVersion | None:
    return PlaybookVersion.objects.filter(playbook=playbook, state=State.PUBLISHED).first()


def _check(version: PlaybookVersion) -> None:
    if problems := problems_of(version.steps, version.attached):
        raise ValidationError(problems, code="steps")
    if bytes(version.digest) != digest_of(version.steps, version.attached):
        raise ValidationError("Its steps are not those that its digest is of. Write a new version.", code="digest")


def _locked(version: PlaybookVersion, states: str | tuple[str, ...], words: str) -> PlaybookVersion:
    version = PlaybookVersion.objects.select_for_update(of=("self",)).select_related("playbook").get(pk=version.pk)
    if version.state not in ((states,) if isinstance(states, str) else states):
        raise ValidationError(f"{version} is {version.get_state_display()}: it cannot {words}.", code="state")
    return version


def _retire(version: PlaybookVersion, by: User | str) -> PlaybookVersion:
    version.state, version.retired_at, version.retired_by = State.RETIRED, timezone.now(), actor_of(by)
    version.save()
    return version
