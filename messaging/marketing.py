"""What a confirmation or a notice must not carry: an offer, a link that counts who follows it, a way back in.

An offer is said with words: an invitation to buy, to save, to subscribe, to tell friends. Each pattern below is one that
no plain sentence about a choice, a request or a breach needs, in the languages that the product ships with. A text that
was refused for a good sentence is written in other words; a text that sells is not (47 CFR 64.1200(a)(12): "does not
include any marketing or promotional information"; Civ. Code 1798.135(c)(4): no request to opt back in).
"""

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

TRACKING = re.compile(r"^(?:utm_\w+|mc_[ce]id|gclid|dclid|fbclid|msclkid|_hsenc|_hsmi|campaign|promo|coupon|voucher)$")
SHOP = re.compile(
    r"/(?:shop|store|cart|checkout|offers?|deals?|sale|promo\w*|angebote?|ofertas?|offres?|tienda|boutique)(?:/|$)"
)
BACK_IN = re.compile(r"opt-?_?in(?![a-z])|re-?subscribe|(?<!un)subscribe|confirm_path", re.I)
WORDS = {
    "an offer": re.compile(
        r"\b(?:shop|buy|order|save)\s+(?:now|today)\b|\b\d+\s?%\s+(?:off|discount|rabatt|nachlass|de descuento|de dto|de réduction|de remise)\b"
        r"|\b(?:special|exclusive|limited)[- ](?:offer|deal|time)s?\b|\b(?:promo|coupon|voucher|discount)\s+code\b|\bfree\s+(?:shipping|trial|gift)\b"
        r"|\bjetzt\s+(?:kaufen|bestellen|shoppen|sparen|sichern|zugreifen)\b|\b(?:sonderangebot|rabattcode|gutscheincode|gratisversand)\w*"
        r"|\b(?:compr[ae]|pid[ae]|ahorr[ae]|aprovech[ae])\s+(?:ahora|ya|hoy)\b|\b(?:oferta|promoción)\s+(?:especial|exclusiva|limitada)\b"
        r"|\bcódigo\s+(?:promocional|de descuento)\b|\benvío\s+gratis\b"
        r"|\b(?:achete[zr]|commande[zr]|profite[zr])(?:[- ]en)?\s+(?:maintenant|vite|dès|aujourd)|\boffre\s+(?:spéciale|exclusive|limitée)\b"
        r"|\bcode\s+promo\b|\blivraison\s+(?:gratuite|offerte)\b",
        re.I,
    ),
    "an invitation to subscribe": re.compile(
        r"(?<!un)\bsubscribe\s+(?:now|today|again|to\s+our)\b|\bsign\s+up\s+(?:now|today|for|again)\b|\bre-?subscribe\b|\bjoin\s+(?:us|now|our)\b"
        r"|\bcome\s+back\b|\bwe\s+miss\s+you\b|\bchanged\s+your\s+mind\b|\btell\s+(?:a\s+friend|your\s+friends)\b|\bfollow\s+us\b"
        r"|\b(?:jetzt|wieder|hier)\s+(?:anmelden|abonnieren)\b|\bnewsletter\s+(?:abonnieren|bestellen)\b|\bwir\s+vermissen\s+(?:sie|dich)\b|\bfolgen\s+sie\s+uns\b"
        r"|\b(?:meinung|entschluss)\s+geändert\b|\bkommen\s+sie\s+(?:zurück|wieder)\b"
        r"|\b(?:suscríbase|suscríbete|regístrese|regístrate)\b|\bvuelva\s+a\s+suscribirse\b|\ble\s+echamos\s+de\s+menos\b|\bha\s+cambiado\s+de\s+opinión\b|\bsíganos\b"
        r"|\b(?:abonnez|inscrivez|réabonnez|réinscrivez)-(?:vous|toi)\b|\bvous\s+nous\s+manquez\b|\bchangé\s+d[’']avis\b|\brevenez\b|\bsuivez-nous\b",
        re.I,
    ),
}


def sales_talk(text: str) -> Iterator[str]:
    """What in a text reads like marketing, in words for its author."""
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
