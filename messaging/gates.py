"""What stands between a text and its people: the gates that a version passes to be checked and published."""

import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from jsonschema import Draft202012Validator, SchemaError

from messaging.inlining import inline
from messaging.marketing import leads_back_in, sales_link, sales_talk
from messaging.models import Template, TemplateBody, TemplateVersion
from messaging.models.template import ENDABLE, PLAIN_NEWS
from messaging.rendering import (
    ALWAYS,
    Compiled,
    Rendered,
    RenderError,
    compile_body,
    has_reason,
    names_in,
    names_used,
    render_body,
    values_of,
)
from messaging.septets import length_of

SAMPLE_TOKEN = "sample".ljust(75, "-")  # as long as those of real links: a text message has room for little else
SECOND_STEP = "opt_in_second_step"  # the one text that is a way back in: who gets it asked for it
# In plain text, where mail programs make links themselves. A sentence may end with one.
LINK = re.compile(r"\b(?:(?:https?|ftp)://|mailto:|www\.)[^\s<>\"')]*[^\s<>\"').,;:!?]", re.IGNORECASE)
# With \ a style spells url( in ways that only a browser reads.
LOADS = re.compile(r"\\|url\s*\(|@(?!media\b)[a-z-]+|expression\s*\(|behavior\s*:|image-set", re.IGNORECASE)
TAGS = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "style",
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
        "dl",
        "dt",
        "dd",
        "span",
        "table",
        "tbody",
        "tr",
        "th",
        "td",
    ]
)
WITHIN_LINES = frozenset({"a", "strong", "em", "span"})
ATTRIBUTES = frozenset(
    [
        "lang",
        "dir",
        "style",
        "class",
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
        "scope",
    ]
)


def problems_of(version: TemplateVersion) -> list[str]:
    """What stands in the way of the texts, in words for their author; empty when they are good."""
    bodies = list(version.bodies.all())
    problems = [*_of_schema(version)]
    if "en" not in {body.locale for body in bodies}:
        problems.append("Add a text in English (en): it is used where a person's language is missing.")
    if not version.samples:
        problems.append("Add at least one sample context, so that the texts can be tried.")
    if problems:
        return problems
    for body in bodies:
        try:
            problems += _of_source(version, body)
            for sample in version.samples:
                problems += _of_rendered(version.template, render_sample(version, sample, body))
        except RenderError as error:
            problems.append(str(error))
    return list(dict.fromkeys(problems))


def problems_of_facts(version: TemplateVersion, context: Mapping[str, Any]) -> list[str]:
    """What stands in the way of a published text with facts that people wrote, in each language: they pass the gates
    that its samples passed.
    """
    problems: list[str] = []
    for body in version.bodies.order_by("locale"):
        try:
            problems += _of_rendered(version.template, render_sample(version, dict(context), body))
        except RenderError as error:
            problems.append(f"{body.locale}: {error}")
    return list(dict.fromkeys(problems))


def as_sent(body: TemplateBody) -> TemplateBody:
    """The body with its HTML as it would be sent, whatever state its version is in. Raises RenderError."""
    return TemplateBody(locale=body.locale, subject=body.subject, text=body.text, inlined=inline(body.html))


def render_sample(version: TemplateVersion, sample: dict[str, Any], body: TemplateBody) -> Rendered:
    """A sample as a person would get it, with a link that leads nowhere. Raises RenderError."""
    return render_body(
        as_sent(body),
        values_of(version.context_schema, sample),
        preferences_url=f"{settings.PUBLIC_URL}/preferences/{SAMPLE_TOKEN}/",
    )


def promised(schema: dict[str, Any]) -> set[str]:
    """The names that a context always has: what is required, and what has a default."""
    properties = schema.get("properties", {}).items()
    return set(schema.get("required", ())) | {name for name, rule in properties if "default" in rule}


def _of_schema(version: TemplateVersion) -> Iterator[str]:
    schema, samples = version.context_schema, version.samples
    if not isinstance(schema, dict) or schema.get("type") != "object":
        yield 'The context schema is a JSON Schema with "type": "object".'
        return
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        yield f"The context schema is no valid JSON Schema: {error.message}"
    if not isinstance(samples, list) or not all(isinstance(sample, dict) for sample in samples):
        yield "Samples are a list of contexts."


def _of_source(version: TemplateVersion, body: TemplateBody) -> Iterator[str]:
    compiled = compile_body(as_sent(body))
    names = names_used(compiled)
    known = promised(version.context_schema) | ALWAYS
    for name in sorted(names - known):
        yield f"The text names {name}, which its context does not promise. Known: {', '.join(sorted(known))}."
    if _is_plain_news(version.template):
        for name in sorted(name for name in names if leads_back_in(name)):
            yield f"{name}: a confirmation or notice carries no way back in."
    yield from _of_blocks(version, body, compiled)
    source = _Page()
    source.feed(body.html)
    yield from source.problems


def _of_blocks(version: TemplateVersion, body: TemplateBody, compiled: Compiled) -> Iterator[str]:
    """Who writes, why, and where to one's choices: in the plain text and in the HTML, each of which is read alone.

    A text message has room for who writes, and that is all it must say.
    """
    if version.template.is_text_message:
        if body.html:
            yield f"A text message has no HTML: empty it in {body.locale}."
        if "organisation" not in names_in(compiled.text):
            yield f"The text in {body.locale} does not say who writes: name {{{{ organisation }}}}."
        return
    for part, words in ((compiled.text, "plain text"), (compiled.html, "HTML")):
        if part is None:
            continue
        names = names_in(part)
        if "organisation" not in names:
            yield f"The {words} in {body.locale} does not say who writes: name {{{{ organisation }}}}."
        if not has_reason(part):
            yield (
                f"The {words} in {body.locale} does not say why it is sent: "
                "{% reason %}You get this because …{% endreason %}."
            )
        if version.template.message_class in ENDABLE and "preferences_url" not in names:
            yield f"The {words} in {body.locale} shows no way to one's choices: link {{{{ preferences_url }}}}."


def _of_rendered(template: Template, rendered: Rendered) -> Iterator[str]:
    page = _Page()
    page.feed(rendered.html)
    yield from page.problems
    if template.is_text_message:
        yield from _of_length(rendered)
    hosts = {urlsplit(settings.PUBLIC_URL)[:2], *(("https", host) for host in settings.MAIL_LINK_HOSTS)}
    is_plain_news = _is_plain_news(template)
    for link in sorted({*LINK.findall(rendered.text), *page.links}):
        if urlsplit(link)[:2] not in hosts:
            allowed = ", ".join(sorted(f"{scheme}://{host}" for scheme, host in hosts))
            yield f"{link}: links lead to {allowed} only. MAIL_LINK_HOSTS names more hosts."
        elif is_plain_news and leads_back_in(urlsplit(link)._replace(scheme="", netloc="").geturl()):
            yield f"{link}: a confirmation or notice carries no way back in."
        if template.message_class in PLAIN_NEWS:
            yield from sales_link(link)
    if template.message_class in PLAIN_NEWS:
        # An element within a line stands between words, or within one: both readings are tried.
        for text in (rendered.subject, rendered.text, " ".join(page.words), "".join(page.words)):
            yield from sales_talk(text)


def _of_length(rendered: Rendered) -> Iterator[str]:
    takes, room, odd = length_of(rendered.text.strip())
    if takes > room:
        one = f"one message with “{odd}” in it" if odd else "one message"
        yield (
            f"The text in {rendered.locale} takes {takes} characters, and {one} has room for {room}: "
            "it would go out in pieces."
        )


def _is_plain_news(template: Template) -> bool:
    return template.message_class in PLAIN_NEWS and template.key != SECOND_STEP


class _Page(HTMLParser):
    """Collects links and words, and whatever has no place in a mail: pictures that tell who reads, forms, scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.words: list[str] = []
        self.problems: list[str] = []
        self.in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.in_style = tag == "style"
        self._break(tag)
        if tag not in TAGS:
            self.problems.append(f"<{tag}> has no place in a message: no pictures, scripts, forms or foreign styles.")
        for name, value in attrs:
            if name not in ATTRIBUTES and not name.startswith("aria-"):
                self.problems.append(f"The attribute {name} has no place in a message.")
            if name == "style" and LOADS.search(value or ""):
                self.problems.append("A style that loads something tells who reads: leave it out.")
            if name == "href":
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        self.in_style = False
        self._break(tag)

    def _break(self, tag: str) -> None:
        if tag not in WITHIN_LINES:
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        if not self.in_style:
            self.words.append(data)
        elif LOADS.search(data):
            self.problems.append("A style that loads something tells who reads: leave it out.")
