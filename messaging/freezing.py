"""The bytes of a message are made once: when it is owed, where its text was approved for it, else when first sent."""

import hashlib
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag

from messaging.composing import compose, preferences_url
from messaging.models import Message, TemplateVersion
from messaging.rendering import Rendered, RenderError, render, render_version

UNREADY = (RenderError, InvalidTag)  # one that cannot be made ready must not keep the others waiting


def freeze(message: Message, version: TemplateVersion) -> None:
    """From this version and no other: what is published later does not reach it. Raises one of UNREADY."""
    rendered = render_version(version, message.context, locale=message.locale, preferences_url=preferences_url(message))
    _fix(message, rendered, version)


def freeze_from(message: Message, versions: Sequence[TemplateVersion]) -> None:
    """From the first of them that can be rendered. Raises one of UNREADY."""
    rendered, version, message.is_degraded = render(
        versions,
        message.template_key,
        message.context,
        locale=message.locale,
        preferences_url=preferences_url(message),
    )
    _fix(message, rendered, version)


def why_not(error: Exception) -> str:
    """In words for staff."""
    return (str(error) or "The address cannot be opened: was PRIVACY_KEY changed since it was stored?")[:500]


def _fix(message: Message, rendered: Rendered, version: TemplateVersion) -> None:
    message.raw = compose(message, rendered, version)
    message.render_hash = hashlib.sha256(message.raw).digest()
    message.template_version = version
