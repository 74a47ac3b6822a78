"""What a confirmation or a notice must not carry: an offer, a link that counts who follows it, a way back in.

An offer is said with words: an invitation to buy, to save, to subscribe, to tell friends. Each pattern below is one
that no plain sentence about a choice, a request or a breach needs, in the languages that the product ships with. A text
that was refused for a good sentence is written in other words; a text that sells is not (47 CFR 64.1200(a)(12): "does
not include any marketing or promotional information"; Civ. Code 1798.135(c)(4): no request to opt back in).
"""

import re
from collections.abc import Iterator
from unicodedata import category, normalize
from urllib.parse import parse_qsl, urlsplit

TRACKING = re.compile(r"^(?:utm_\w+|mc_[ce]id|gclid|dclid|fbclid|msclkid|_hsenc|_hsmi|campaign|promo|coupon|voucher)$")
SHOP = re.compile(
    r"/(?:shop|store|cart|checkout|offers?|deals?|sale|promo\w*|angebote?|ofertas?|offres?|tienda|boutique)(?:/|$)"
)
BACK_IN = re.compile(r"opt-?_?in(?![a-z])|re-?subscribe|(?<!un)subscribe|[?&]confirm=", re.I)
OFFER = (
    r"(?:shop|buy|order|save)\s+(?:now|today)",
    r"\d+\s?%\s+(?:off|discount|rabatt|nachlass|de descuento|de dto|de réduction|de remise)",
    r"(?:special|exclusive|limited)[- ](?:offer|deal|time)s?",
    r"(?:promo|coupon|voucher|discount)\s+code",
    r"free\s+(?:shipping|trial|gift)",
    r"jetzt\s+(?:kaufen|bestellen|shoppen|sparen|sichern|zugreifen)",
    r"(?:sonderangebot|rabattcode|gutscheincode|gratisversand)\w*",
    r"(?:compr[ae]|pid[ae]|ahorr[ae]|aprovech[ae])\s+(?:ahora|ya|hoy)",
    r"(?:oferta|promoción)\s+(?:especial|exclusiva|limitada)",
    r"código\s+(?:promocional|de descuento)",
    r"envío\s+gratis",
    r"(?:achete[zr]|commande[zr]|profite[zr])(?:[- ]en)?\s+(?:maintenant|vite|dès|aujourd[’']hui)",
    r"offre\s+(?:spéciale|exclusive|limitée)",
    r"code\s+promo",
    r"livraison\s+(?:gratuite|offerte)",
)
INVITATION = (
    r"(?<!un)subscribe\s+(?:now|today|again|to\s+our)",
    r"sign\s+up\s+(?:now|today|for|again)",
    r"re-?subscribe",
    r"join\s+(?:us|now|our)",
    r"come\s+back(?!\s+to\s+you)",
    r"we\s+miss\s+you",
    r"changed\s+your\s+mind",
    r"tell\s+(?:a\s+friend|your\s+friends)",
    r"follow\s+us",
    r"(?:jetzt|wieder|hier)\s+(?:anmelden|abonnieren)",
    r"newsletter\s+(?:abonnieren|bestellen)",
    r"wir\s+vermissen\s+(?:sie|dich)",
    r"folgen\s+sie\s+uns",
    r"(?:meinung|entschluss)\s+geändert",
    r"kommen\s+sie\s+(?:zurück|wieder)",
    r"suscríbase|suscríbete|regístrese|regístrate",
    r"vuelva\s+a\s+suscribirse",
    r"le\s+echamos\s+de\s+menos",
    r"ha\s+cambiado\s+de\s+opinión",
    r"síganos",
    r"(?:abonnez|inscrivez|réabonnez|réinscrivez)-(?:vous|toi)",
    r"vous\s+nous\s+manquez",
    r"changé\s+d[’']avis",
    r"revenez",
    r"suivez-nous",
)
WORDS = {
    what: re.compile(rf"\b(?:{'|'.join(patterns)})\b", re.I)
    for what, patterns in (("an offer", OFFER), ("an invitation to subscribe", INVITATION))
}


def sales_talk(text: str) -> Iterator[str]:
    """What in a text reads like marketing, in words for its author. Letters count as what they look like, and what
    nobody sees between them does not.
    """
    text = "".join(letter for letter in normalize("NFKC", text) if category(letter) != "Cf")
    for what, words in WORDS.items():
        if found := words.search(text):
            yield f"“{found[0]}” reads like {what}: a confirmation or notice carries no marketing."


def sales_link(url: str) -> Iterator[str]:
    """What in a link counts or sells, in words for its author."""
    parts = urlsplit(url)
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if TRACKING.match(name.lower()):
            yield f"{url}: {name} counts who follows a link: a confirmation or notice carries no marketing."
    if SHOP.search(parts.path.lower()):
        yield f"{url} leads to a shop: a confirmation or notice carries no marketing."


def leads_back_in(text: str) -> bool:
    """Of a name or a link's path: it is a way to opt in."""
    return bool(BACK_IN.search(text))
