"""How much fits into one text message: 160 characters of the alphabet that phones share (3GPP TS 23.038 section 6.2.1),
or 70 where a single one is not of it. What is longer goes out in pieces, each paid for, and may arrive in part.
"""

from typing import NamedTuple

ALPHABET = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
ESCAPED = frozenset("\f^{}\\[~]|€")  # of its extension: two septets each
ROOM, ROOM_IN_UCS2 = 160, 70


class Length(NamedTuple):
    """`odd` is the first character that is not of the alphabet; empty where all are."""

    takes: int
    room: int
    odd: str


def length_of(text: str) -> Length:
    """What a text takes, and what there is room for."""
    odd = next((character for character in text if character not in ALPHABET and character not in ESCAPED), "")
    if odd:
        return Length(len(text.encode("utf-16-be")) // 2, ROOM_IN_UCS2, odd)
    return Length(sum(2 if character in ESCAPED else 1 for character in text), ROOM, "")
