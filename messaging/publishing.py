"""A version goes out only when every sample of it renders in every language, and when another person agrees."""

import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from config.models import User
from consent.services import actor_of
from messaging.models import Message, MessageClass, Template, TemplateBody, TemplateVersion
from messaging.rendering import ALWAYS, Rendered, RenderError, compile_body, names_used, render_version

SAMPLE_PREFERENCES = "/preferences/sample/"
LINK = re.compile(r"\b(?:https?|ftp)://[^\s<>\"')]+|\bmailto:[^\s<>\"')]+", re.IGNORECASE)
# A confirmation that leads back in turns a refusal into a sales pitch (47 CFR 64.1200(a)(12): no marketing in it).
BACK_IN = re.compile(r"opt-?_?in|re-?subscribe|(?<!un)subscribe|confirm_path", re.IGNORECASE)
TAGS = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "body",
        "div",
        "p",
        "h1",
        "h2",
        "h3",
        "a",
        "strong",
        "em",
        "br",
        "hr",
        "ul",
        "ol",
        "li",
        "span",
        "table",
        "tbody",
        "tr",
        "td",
    ]
)
ATTRIBUTES = frozenset(
    [
        "lang",
        "dir",
        "style",
        "href",
        "charset",
        "name",
        "content",
        "role",
        "width",
        "cellpadding",
        "cellspacing",
        "border",
        "align",
    ]
)


@transaction.atomic
def publish(version: TemplateVersion, *, reason: str, by: User | str) -> TemplateVersion:
    """Make a draft the text that is sent from now on. Raises ValidationError with everything that stands in its way."""
    version = TemplateVersion.objects.select_for_update().select_related("template").get(pk=version.pk)
    actor = actor_of(by)
    problems = [*_about_publishing(version, actor, reason), *problems_of(version)]
    if problems:
        raise ValidationError(problems)
    version.state = TemplateVersion.State.PUBLISHED
    version.content_hash = content_hash(list(version.bodies.all()))
    version.published_at, version.published_by, version.published_reason = timezone.now(), actor, reason
    version.save()
    # What could not be rendered for want of a good text is tried with this one.
    Message.objects.filter(template_key=version.template_id, state=Message.State.RENDER_FAILED).update(
        state=Message.State.PENDING, not_before=timezone.now()
    )
    return version


@transaction.atomic
def retire(version: TemplateVersion, *, by: User | str, reason: str) -> TemplateVersion:
    """Stop using a published version; the one before it is used again. Raises ValidationError for the last one."""
    version = TemplateVersion.objects.select_for_update().get(pk=version.pk)
    if version.state != TemplateVersion.State.PUBLISHED:
        raise ValidationError("Only a published version can be retired.")
    if not reason.strip():
        raise ValidationError("Say why this version is retired.")
    if not TemplateVersion.objects.published(version.template_id).exclude(pk=version.pk).exists():
        raise ValidationError("This is the only published version. Publish another one first; messages need a text.")
    version.state = TemplateVersion.State.RETIRED
    version.retired_at, version.retired_by, version.retired_reason = timezone.now(), actor_of(by), reason
    version.save()
    return version


@transaction.atomic
def draft_from(version: TemplateVersion, *, by: User | str) -> TemplateVersion:
    """A new draft with the same texts, to be changed and published."""
    Template.objects.select_for_update().get(pk=version.template_id)
    numbers = TemplateVersion.objects.filter(template=version.template_id).aggregate(Max("number"))
    draft = TemplateVersion.objects.create(
        template_id=version.template_id,
        number=numbers["number__max"] + 1,
        context_schema=version.context_schema,
        samples=version.samples,
        created_by=actor_of(by),
    )
    TemplateBody.objects.bulk_create(
        TemplateBody(version=draft, locale=body.locale, subject=body.subject, text=body.text, html=body.html)
        for body in version.bodies.all()
    )
    return draft


def content_hash(bodies: list[TemplateBody]) -> bytes:
    """SHA-256 of every language's texts, in the order of the languages."""
    parts = sorted([body.locale, body.subject, body.text, body.html] for body in bodies)
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()).digest()


def problems_of(version: TemplateVersion) -> list[str]:
    """What stands in the way of the texts themselves, in words for their author; empty when they are good."""
    bodies = list(version.bodies.all())
    problems = []
    if "en" not in {body.locale for body in bodies}:
        problems.append("Add a text in English (en): it is used where a person's language is missing.")
    if not version.samples:
        problems.append("Add at least one sample context, so that the texts can be tried.")
    for body in bodies:
        try:
            problems += _of_names(version, names_used(compile_body(body)))
            for sample in version.samples:
                problems += _of_rendered(version, render_sample(version, sample, body.locale))
        except RenderError as error:
            problems.append(str(error))
    return list(dict.fromkeys(problems))


def render_sample(version: TemplateVersion, sample: dict[str, object], locale: str) -> Rendered:
    """A sample as a person would get it, with a link that leads nowhere. Raises RenderError."""
    return render_version(version, sample, locale=locale, preferences_url=f"{settings.PUBLIC_URL}{SAMPLE_PREFERENCES}")


def _about_publishing(version: TemplateVersion, actor: str, reason: str) -> Iterator[str]:
    if version.state in (TemplateVersion.State.PUBLISHED, TemplateVersion.State.RETIRED):
        yield f"{version} was published already. Make a new draft of it."
    if version.created_by == actor and actor.startswith("user:"):
        yield "You wrote this version: ask a colleague to read and publish it."
    if not reason.strip():
        yield "Say why this version is published."


def _of_names(version: TemplateVersion, names: set[str]) -> Iterator[str]:
    known = set(version.context_schema.get("required", ())) | ALWAYS
    for name in sorted(names - known):
        yield f"The text names {name}, which its context does not promise. Known: {', '.join(sorted(known))}."
    if version.template.message_class == MessageClass.CONFIRMATION:
        for name in sorted(name for name in names if BACK_IN.search(name)):
            yield f"{name}: a confirmation of an opt-out carries no way back in."


def _of_rendered(version: TemplateVersion, rendered: Rendered) -> Iterator[str]:
    page = _Page()
    page.feed(rendered.html)
    yield from page.problems
    ours = urlsplit(settings.PUBLIC_URL)
    for link in {*LINK.findall(rendered.text), *page.links}:
        parts = urlsplit(link)
        if (parts.scheme, parts.netloc) != (ours.scheme, ours.netloc):
            yield f"{link}: links lead to {settings.PUBLIC_URL} only."
        elif version.template.message_class == MessageClass.CONFIRMATION and BACK_IN.search(parts.path):
            yield f"{link}: a confirmation of an opt-out carries no way back in."


class _Page(HTMLParser):
    """Collects links, and whatever has no place in a mail: pictures that tell who reads, forms, scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            self.problems.append(f"<{tag}> has no place in a message: no pictures, scripts or forms.")
        for name, value in attrs:
            if name not in ATTRIBUTES and not name.startswith("aria-"):
                self.problems.append(f"The attribute {name} has no place in a message.")
            if name == "style" and re.search(r"url\s*\(|@import|expression", value or "", re.IGNORECASE):
                self.problems.append("A style that loads something tells who reads: leave it out.")
            if name == "href":
                self.links.append(value or "")
