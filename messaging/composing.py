"""The bytes on the wire, made once: a message has one identity whatever is tried, and tells machines what it is."""

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from django.conf import settings
from django.utils import timezone

from consent.models import Channel
from consent.tokens import Token, issue
from messaging import verp
from messaging.models import Message, TemplateVersion
from messaging.models.template import ENDABLE
from messaging.rendering import Rendered


def compose(message: Message, rendered: Rendered, version: TemplateVersion) -> bytes:
    """MIME with CRLF line ends: plain text, and HTML where the version has it. A text message is its text alone."""
    if message.channel != Channel.EMAIL:
        return rendered.text.strip().encode()
    mail = EmailMessage(policy=SMTP)
    name, address = parseaddr(settings.MAIL_FROM)
    mail["From"] = Address(name, addr_spec=address)
    mail["To"] = Address(addr_spec=message.recipient)
    mail["Subject"] = rendered.subject
    mail["Date"] = format_datetime(timezone.now())
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail["Feedback-ID"] = f"{version.template_id}:v{version.number}:{message.message_class}:holdfast"
    mail.set_content(rendered.text, cte="quoted-printable")
    if rendered.html:
        mail.add_alternative(rendered.html, subtype="html", cte="quoted-printable")
    mail["Content-Language"] = rendered.locale  # last: setting the content would move it into a part
    return _one_line_each(message) + mail.as_bytes()


def message_id(message: Message) -> str:
    """The same on every try, so that a copy can be known for one."""
    return f"<{message.pk}@{settings.MAIL_DOMAIN}>"


def preferences_url(message: Message) -> str:
    return f"{settings.PUBLIC_URL}/preferences/{_token(message)}/"


def unsubscribe_url(message: Message) -> str:
    return f"{settings.PUBLIC_URL}/u/{_token(message)}/"


def _one_line_each(message: Message) -> bytes:
    """Headers that must not be folded: a folded List-Unsubscribe breaks DKIM at some relays, and the email package
    would encode an address longer than its line.
    """
    headers = {"Message-ID": message_id(message)}
    if address := verp.reply_address(message):
        headers["Reply-To"] = address
    if message.message_class in ENDABLE:
        ways = [f"<{unsubscribe_url(message)}>"]
        if address := verp.unsubscribe_address(message):
            ways.append(f"<mailto:{address}?subject=unsubscribe>")
        headers["List-Unsubscribe"] = ", ".join(ways)
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058 section 3.1
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("ascii")


def _token(message: Message) -> str:
    return issue(Token(message.subject_id, "*", "email", message.pk))
