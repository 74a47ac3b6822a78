"""A message whose text was approved is rendered when it is owed: what is published later does not reach it."""

import hashlib

from messaging.composing import compose, preferences_url
from messaging.models import Message, TemplateVersion
from messaging.rendering import render_version


def freeze(message: Message, version: TemplateVersion) -> None:
    """Give a new message its bytes. Raises RenderError."""
    rendered = render_version(version, message.context, locale=message.locale, preferences_url=preferences_url(message))
    message.raw = compose(message, rendered, version)
    message.render_hash = hashlib.sha256(message.raw).digest()
    message.template_version, message.state = version, Message.State.READY
