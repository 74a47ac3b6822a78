"""The bytes of a message are made once: when it is owed, so that nothing but a relay is needed to send it; or later,
where that had to wait for a text that can be rendered.
"""

import hashlib
from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidTag

from messaging.composing import compose, preferences_url
from messaging.models import Message, TemplateVersion
from messaging.rendering import RenderError, render

Texts = Callable[[str], list[TemplateVersion]]
FROZEN = ("sealed_raw", "render_hash", "template_version", "is_degraded")
UNREADY = (RenderError, InvalidTag)  # one that cannot be made ready must not keep the others waiting


def freeze(message: Message, versions: Sequence[TemplateVersion]) -> None:
    """From the first of them that can be rendered; what is published later does not reach it. Raises one of UNREADY."""
    rendered, version, message.is_degraded = render(
        versions,
        message.template_key,
        message.context,
        locale=message.locale,
        preferences_url=preferences_url(message),
    )
    message.raw = raw = compose(message, rendered, version)
    message.render_hash = hashlib.sha256(raw).digest()
    message.template_version = version


def why_not(error: Exception) -> str:
    """In words for staff."""
    return (str(error) or "The address cannot be opened: was PRIVACY_KEY changed since it was stored?")[:500]
