"""From a template's text to a message's: strict, so that a missing name is an error here and not a hole in a mail."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, NoReturn, cast

from django.conf import settings
from django.template import Context, Engine, Template, TemplateSyntaxError
from django.template.base import FilterExpression, Node, NodeList, TextNode, Variable, VariableNode
from django.template.defaulttags import CommentNode, ForNode, IfNode
from django.utils import timezone, translation
from jsonschema import Draft202012Validator

from config.text import CONTROL
from messaging.faults import note_fault
from messaging.models import TemplateBody, TemplateVersion
from messaging.models.template import TEXT_WILL_DO
from messaging.words import Reason

# Names that every text may use, besides those of its version's context_schema.
ALWAYS = frozenset({"acknowledge_url", "organisation", "organisation_address", "preferences_url", "public_url"})
LITERALS = frozenset({"True", "False", "None"})
# What a schema's `format` says. A day is a day in every zone; a moment is told in UTC.
FORMATS: dict[str | None, tuple[Callable[[str], object], str]] = {
    "date": (date.fromisoformat, "a day like 2026-11-23"),
    "date-time": (datetime.fromisoformat, "a moment like 2026-11-23T14:00:00+00:00"),
}


class RenderError(Exception):
    """A text that cannot become a message, in words for its author."""


class _Raises(str):
    """Django prints a missing variable as `string_if_invalid % name`; this one refuses to be printed."""

    def __contains__(self, part: object) -> bool:
        return True

    def __mod__(self, name: object) -> NoReturn:
        raise RenderError(f"The text names {name}, which this message does not have.")


class StrictEngine(Engine):
    """Only the tags and filters of messaging/words.py; no loading, no including, no missing names."""

    default_builtins = ["messaging.words"]


ENGINE = StrictEngine(string_if_invalid=_Raises("%s"))  # what is escaped, a part's Context says


@dataclass(frozen=True, slots=True)
class Rendered:
    subject: str
    text: str
    html: str
    locale: str


@dataclass(frozen=True, slots=True)
class Compiled:
    """A body, compiled once and used for many messages."""

    locale: str
    subject: Template
    text: Template
    html: Template | None

    def parts(self) -> Iterator[Template]:
        yield from (part for part in (self.subject, self.text, self.html) if part is not None)

    def render(self, values: Mapping[str, Any]) -> Rendered:
        """In its language and in UTC, whoever's request or worker it is made in. Raises RenderError."""
        try:
            with translation.override(self.locale), timezone.override(UTC):
                subject = self.subject.render(Context(values, autoescape=False))
                text = self.text.render(Context(values, autoescape=False))
                html = self.html.render(Context(values)) if self.html else ""
        except RenderError:
            raise
        except Exception as error:  # whatever a filter makes of a value: the message is what matters, not its class
            raise RenderError(f"The text in {self.locale} cannot be rendered: {error}") from error
        if "\r" in subject or "\n" in subject or not subject.strip():
            raise RenderError(f"The subject in {self.locale} must be one line, and not empty.")
        if not text.strip():
            raise RenderError(f"The plain text in {self.locale} is empty.")
        return Rendered(CONTROL.sub(" ", subject).strip(), text, html, self.locale)  # no header takes one, whole


def compile_body(body: TemplateBody) -> Compiled:
    """Of its HTML, what is sent: `inlined`. Raises RenderError where a part is no template, or uses what
    messaging/words.py does not offer.
    """
    try:
        return Compiled(
            body.locale,
            Template(body.subject, engine=ENGINE),
            Template(body.text, engine=ENGINE),
            Template(body.inlined, engine=ENGINE) if body.inlined else None,
        )
    except TemplateSyntaxError as error:
        raise RenderError(f"The text in {body.locale} is not a template: {error}") from error


def names_used(compiled: Compiled) -> set[str]:
    """Every name that the texts look up: `{% if %}` and `|default` would swallow one that is missing."""
    return {name for part in compiled.parts() for name in names_in(part)}


def names_in(part: Template) -> set[str]:
    return set(_names(part.nodelist, LITERALS))


def has_reason(part: Template) -> bool:
    """It says why it is sent: a `{% reason %}` with something in it, not behind a condition."""
    return any(isinstance(node, Reason) and node.says_something() for node in part.nodelist)


def values_of(schema: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """A stored context as the texts see it: moments as moments, days as days, what may be missing as its default.

    Raises RenderError where it breaks the schema.
    """
    if error := next(Draft202012Validator(schema).iter_errors(context), None):
        raise RenderError(f"The context does not fit: {error.message}")
    rules = {name: rule for name, rule in schema.get("properties", {}).items() if isinstance(rule, dict)}
    values = {name: rule["default"] for name, rule in rules.items() if "default" in rule} | dict(context)
    for name, rule in rules.items():
        if (kind := FORMATS.get(rule.get("format"))) and values.get(name):
            read, like = kind
            try:
                values[name] = read(values[name])
            except (TypeError, ValueError) as error:
                raise RenderError(f"{name} is not {like}.") from error
    return values


def published(key: str) -> list[TemplateVersion]:
    """The versions that may be used, newest first, with their bodies."""
    return list(TemplateVersion.objects.published(key).prefetch_related("bodies"))


def render(
    versions: Sequence[TemplateVersion], key: str, context: Mapping[str, Any], *, locale: str, preferences_url: str
) -> tuple[Rendered, TemplateVersion, bool]:
    """The first of the versions that can be rendered, and whether it is less than the newest one's whole.

    A version that fails leaves a TemplateFault for staff. Where the HTML of each fails, the plain text goes alone if
    the class allows it. Raises RenderError where none can be rendered.
    """
    failed: RenderError | None = None
    for version in versions:
        try:
            rendered = render_version(version, context, locale=locale, preferences_url=preferences_url)
        except RenderError as error:
            note_fault(version, locale, error)
            failed = failed or error
            continue
        return rendered, version, failed is not None
    for version in versions:
        if version.template.message_class in TEXT_WILL_DO:
            with suppress(RenderError):
                rendered = render_version(
                    version, context, locale=locale, preferences_url=preferences_url, with_html=False
                )
                return rendered, version, True
    raise failed or RenderError(f"No version of {key} is published. Publish one; messages that wait are then sent.")


def render_version(
    version: TemplateVersion, context: Mapping[str, Any], *, locale: str, preferences_url: str, with_html: bool = True
) -> Rendered:
    """Raises RenderError."""
    body = choose({body.locale: body for body in version.bodies.all()}, locale)
    values = values_of(version.context_schema, context)
    return render_body(body, values, preferences_url=preferences_url, with_html=with_html)


def render_body(
    body: TemplateBody, values: Mapping[str, Any], *, preferences_url: str, with_html: bool = True
) -> Rendered:
    """One language, with what every text may name. Reads nothing but its arguments and settings. Raises RenderError."""
    everywhere = {
        "organisation": settings.ORGANISATION,
        "organisation_address": settings.ORGANISATION_ADDRESS,
        "public_url": settings.PUBLIC_URL,
        "preferences_url": preferences_url,
        "acknowledge_url": preferences_url.replace("/preferences/", "/read/"),  # one token opens every door
    }
    compiled = _compiled(body.locale, body.subject, body.text, body.inlined if with_html else "")
    return compiled.render({**values, **everywhere})


def choose(bodies: Mapping[str, TemplateBody], locale: str) -> TemplateBody:
    """`de-AT`, else `de`, else English, else whatever there is."""
    for candidate in (locale, locale.partition("-")[0], "en", *bodies):
        if candidate in bodies:
            return bodies[candidate]
    raise RenderError("The version has no text in any language.")


@lru_cache(maxsize=256)
def _compiled(locale: str, subject: str, text: str, inlined: str) -> Compiled:
    """Keyed by the text itself, so that no change of a draft can be missed."""
    return compile_body(TemplateBody(locale=locale, subject=subject, text=text, inlined=inlined))


def _names(nodes: Iterable[Node], bound: frozenset[str]) -> Iterator[str]:
    for node in nodes:
        match node:
            case TextNode() | CommentNode():
                pass
            case VariableNode():
                yield from _in_expression(node.filter_expression, bound)
            case Reason():
                yield from _names(node.nodelist, bound)
            case IfNode():
                for condition, inner in node.conditions_nodelists:
                    yield from _in_condition(condition, bound)
                    yield from _names(inner, bound)
            case ForNode():
                yield from _in_expression(cast("FilterExpression", node.sequence), bound)
                yield from _names(cast("NodeList", node.nodelist_loop), bound | {*node.loopvars, "forloop"})
                yield from _names(cast("NodeList", node.nodelist_empty), bound)
            case _:
                raise RenderError(f"{type(node).__name__} has no place in a message.")


def _in_condition(condition: Any, bound: frozenset[str]) -> Iterator[str]:
    if condition is None:  # {% else %}
        return
    if isinstance(getattr(condition, "value", None), FilterExpression):
        yield from _in_expression(condition.value, bound)
        return
    for side in (condition.first, condition.second):
        yield from _in_condition(side, bound)


def _in_expression(expression: FilterExpression, bound: frozenset[str]) -> Iterator[str]:
    arguments = [value for _, given in expression.filters for is_variable, value in given if is_variable]
    for variable in (expression.var, *arguments):
        if not isinstance(variable, Variable) or not variable.lookups:
            continue
        name, *rest = variable.lookups
        if rest and name != "forloop":
            raise RenderError(f"{variable}: use plain names, without dots.")
        if name not in bound:
            yield name
