"""A version goes out step by step: checked by every gate, approved by another person, published, one day retired."""

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from config.models import User
from consent.services import actor_of
from messaging.faults import mended_by_publishing, mended_by_retiring
from messaging.gates import problems_of
from messaging.inlining import inline
from messaging.models import Message, Template, TemplateBody, TemplateVersion
from messaging.snapshots import Difference, differences, taken

State = TemplateVersion.State


@transaction.atomic
def check(version: TemplateVersion, *, reason: str = "", by: User | str) -> TemplateVersion:
    """Send a draft through every gate, and keep how each sample reads. Raises ValidationError with what it lacks."""
    version = _locked(version)
    if version.state != State.DRAFT:
        raise ValidationError(f"Only a draft can be checked: {version} is {version.get_state_display()}.")
    if problems := problems_of(version):
        raise ValidationError(problems)
    bodies = list(version.bodies.all())
    for body in bodies:
        body.inlined = inline(body.html)
    TemplateBody.objects.bulk_update(bodies, ["inlined"])
    version.snapshots = taken(version.context_schema, version.samples, bodies)
    version.save(update_fields=["snapshots"])
    version.content_hash = content_hash(version)
    version.state, version.checked_at, version.checked_by = State.CHECKED, timezone.now(), actor_of(by)
    version.checked_reason = reason
    version.save()
    return version


@transaction.atomic
def approve(version: TemplateVersion, *, reason: str, by: User | str) -> TemplateVersion:
    """Somebody who wrote nothing of it read it and agrees to this content, and to no other. Raises ValidationError."""
    version, actor = _locked(version), actor_of(by)
    if version.state != State.CHECKED:
        raise ValidationError(f"Only a checked version can be approved: {version} is {version.get_state_display()}.")
    if actor in version.writers:
        raise ValidationError("You wrote on this version: ask a colleague who did not to read and approve it.")
    _say_why(reason, "approved")
    _as_checked(version)
    version.state, version.approved_at, version.approved_by = State.APPROVED, timezone.now(), actor
    version.approved_reason = reason
    version.save()
    return version


@transaction.atomic
def publish(version: TemplateVersion, *, reason: str, by: User | str) -> TemplateVersion:
    """Make an approved version the text that is sent from now on. Raises ValidationError with what is in its way."""
    version, actor = _locked(version), actor_of(by)
    if version.state != State.APPROVED:
        raise ValidationError(
            f"Only an approved version can be published: {version} is {version.get_state_display()}. "
            "Check it, and have a colleague approve it."
        )
    _say_why(reason, "published")
    _as_checked(version)
    version.state = State.PUBLISHED
    version.published_at, version.published_by, version.published_reason = timezone.now(), actor, reason
    version.save()
    mended_by_publishing(version, actor)
    # What could not be rendered for want of a good text is tried with this one.
    Message.objects.filter(template_key=version.template_id, state=Message.State.RENDER_FAILED).update(
        state=Message.State.PENDING, not_before=timezone.now()
    )
    return version


@transaction.atomic
def back_to_draft(version: TemplateVersion, *, reason: str, by: User | str) -> TemplateVersion:
    """Take the check and the approval away, so that the text can be changed. Raises ValidationError."""
    version = _locked(version)
    if version.state not in (State.CHECKED, State.APPROVED):
        raise ValidationError("Only a version that is checked or approved, and not yet published, goes back to draft.")
    _say_why(reason, "a draft again")
    version.state, version.content_hash = State.DRAFT, None
    version.checked_at = version.approved_at = None
    version.checked_by = version.checked_reason = version.approved_by = version.approved_reason = ""
    version.returned_at, version.returned_by, version.returned_reason = timezone.now(), actor_of(by), reason
    version.save()
    return version


@transaction.atomic
def retire(version: TemplateVersion, *, by: User | str, reason: str) -> TemplateVersion:
    """Stop using a published version; the one before it is used again. Raises ValidationError for the last one."""
    version = _locked(version)
    if version.state != State.PUBLISHED:
        raise ValidationError("Only a published version can be retired.")
    _say_why(reason, "retired")
    if not TemplateVersion.objects.published(version.template_id).exclude(pk=version.pk).exists():
        raise ValidationError("This is the only published version. Publish another one first; messages need a text.")
    version.state = State.RETIRED
    version.retired_at, version.retired_by, version.retired_reason = timezone.now(), actor_of(by), reason
    version.save()
    mended_by_retiring(version, actor_of(by))
    return version


@transaction.atomic
def draft_from(version: TemplateVersion, *, by: User | str) -> TemplateVersion:
    """A new draft with the same texts, to be changed, checked and approved."""
    Template.objects.select_for_update().get(pk=version.template_id)
    numbers = TemplateVersion.objects.filter(template=version.template_id).aggregate(Max("number"))
    draft = TemplateVersion.objects.create(
        template_id=version.template_id,
        number=numbers["number__max"] + 1,
        context_schema=version.context_schema,
        samples=version.samples,
        created_by=actor_of(by),
        writers=[actor_of(by)],
    )
    TemplateBody.objects.bulk_create(
        TemplateBody(version=draft, locale=body.locale, subject=body.subject, text=body.text, html=body.html)
        for body in version.bodies.all()
    )
    return draft


def changes_of(version: TemplateVersion) -> tuple[TemplateVersion | None, list[Difference]]:
    """The newest published version before this one, and what reads differently since. Raises RenderError for a draft
    that cannot be rendered.
    """
    before = TemplateVersion.objects.filter(
        template=version.template_id, state__in=[State.PUBLISHED, State.RETIRED], number__lt=version.number
    )
    last = before.order_by("-number").first()
    if last is None:
        return None, []
    return last, differences(last.snapshots, version.snapshots if version.checked_at else _snapshots(version))


def content_hash(version: TemplateVersion) -> bytes:
    """SHA-256 of schema, samples and every language, as the database computes it and checks it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT messaging_content_hash(%s)", [version.pk])
        return bytes(cursor.fetchone()[0])


def _locked(version: TemplateVersion) -> TemplateVersion:
    return TemplateVersion.objects.select_for_update(of=("self",)).select_related("template").get(pk=version.pk)


def _say_why(reason: str, what: str) -> None:
    if not reason.strip():
        raise ValidationError(f"Say why this version is {what}.")


def _as_checked(version: TemplateVersion) -> None:
    """Every gate again, the styles written in again, every sample rendered again: it must be what was checked."""
    if problems := problems_of(version):
        raise ValidationError(problems)
    bodies = list(version.bodies.all())
    is_same = all(body.inlined == inline(body.html) for body in bodies) and _snapshots(version) == version.snapshots
    if not is_same or content_hash(version) != bytes(version.content_hash or b""):
        raise ValidationError(
            f"{version} no longer reads as it did when it was checked: back to draft, check it again."
        )


def _snapshots(version: TemplateVersion) -> list[dict[str, object]]:
    bodies = [
        TemplateBody(locale=body.locale, subject=body.subject, text=body.text, inlined=inline(body.html))
        for body in version.bodies.all()
    ]
    return taken(version.context_schema, version.samples, bodies)
