"""What a message's text may use: a few tags and filters, all harmless. Whatever is not here does not compile."""

from django import template
from django.template import defaultfilters, defaulttags
from django.template.base import Node, NodeList, Parser, TextNode, Token
from django.utils import translation

register = template.Library()

register.tag("if", defaulttags.do_if)
register.tag("for", defaulttags.do_for)
register.tag("comment", defaulttags.comment)

register.filter("date", defaultfilters.date, expects_localtime=True, is_safe=False)
register.filter("capfirst", defaultfilters.capfirst, is_safe=True)
register.filter("lower", defaultfilters.lower, is_safe=True)
register.filter("upper", defaultfilters.upper, is_safe=False)
register.filter("join", defaultfilters.join, is_safe=True, needs_autoescape=True)
register.filter("linebreaks", defaultfilters.linebreaks_filter, is_safe=True, needs_autoescape=True)
register.filter("linebreaksbr", defaultfilters.linebreaksbr, is_safe=True, needs_autoescape=True)


class Reason(Node):
    """Why a person gets the message: {% reason %}You get this because …{% endreason %}. Publishing asks for one."""

    def __init__(self, nodelist: NodeList) -> None:
        self.nodelist = nodelist

    def render(self, context: template.Context) -> str:
        return str(self.nodelist.render(context))

    def says_something(self) -> bool:
        return any(not isinstance(node, TextNode) or node.s.strip() for node in self.nodelist)


@register.tag("reason")
def reason(parser: Parser, token: Token) -> Reason:
    nodelist = parser.parse(("endreason",))
    parser.delete_first_token()
    return Reason(nodelist)


BY_CHANNEL = {
    "en": {
        "email": "by e-mail",
        "sms": "by text message",
        "phone": "by telephone",
        "post": "by post",
        "push": "by push notification",
        "web": "on our websites",
        "*": "by any channel",
    },
    "de": {
        "email": "per E-Mail",
        "sms": "per SMS",
        "phone": "per Telefon",
        "post": "per Post",
        "push": "per Push-Nachricht",
        "web": "auf unseren Websites",
        "*": "auf jedem Weg",
    },
    "es": {
        "email": "por correo electrónico",
        "sms": "por SMS",
        "phone": "por teléfono",
        "post": "por correo postal",
        "push": "por notificación push",
        "web": "en nuestros sitios web",
        "*": "por cualquier medio",
    },
    "fr": {
        "email": "par e-mail",
        "sms": "par SMS",
        "phone": "par téléphone",
        "post": "par courrier postal",
        "push": "par notification push",
        "web": "sur nos sites web",
        "*": "par quelque moyen que ce soit",
    },
}
REQUEST = {
    "en": {
        "opt_out": "opt-out",
        "access": "access to your data",
        "deletion": "deletion of your data",
        "correction": "correction of your data",
    },
    "de": {
        "opt_out": "Widerspruch",
        "access": "Auskunft über Ihre Daten",
        "deletion": "Löschung Ihrer Daten",
        "correction": "Berichtigung Ihrer Daten",
    },
    "es": {
        "opt_out": "oposición",
        "access": "acceso a sus datos",
        "deletion": "supresión de sus datos",
        "correction": "rectificación de sus datos",
    },
    "fr": {
        "opt_out": "opposition",
        "access": "accès à vos données",
        "deletion": "effacement de vos données",
        "correction": "rectification de vos données",
    },
}


@register.filter
def by_channel(code: str) -> str:
    """`email` → by e-mail, in the language of the text."""
    return BY_CHANNEL[_language()][code]


@register.filter
def request_kind(code: str) -> str:
    """`access` → access to your data, in the language of the text."""
    return REQUEST[_language()][code]


def _language() -> str:
    language = (translation.get_language() or "en").partition("-")[0]
    return language if language in BY_CHANNEL else "en"
