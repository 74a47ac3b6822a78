"""Ways to know a person: a canonical form, a blind index to find it by, and a seal that only this product opens."""

import hmac
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import phonenumbers
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from config.keys import Seal, derive
from config.text import CONTROL
from consent.models import Identifier

SEAL = Seal("identifier-seal")
# What nearly every address looks like; the rest is for Django's validator, which takes ten times as long.
PLAIN_EMAIL = re.compile(r"[a-z0-9_+-]+(\.[a-z0-9_+-]+)*@([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", re.ASCII)


def canonical_email(value: str) -> str:
    """Lower case throughout: two people who differ by a capital letter are rarer than one person who does."""
    address = unicodedata.normalize("NFC", value.strip()).lower()
    if len(address) > 254:
        raise ValidationError("An e-mail address has at most 254 characters.", code="too_long")
    local, _, domain = address.rpartition("@")
    if not domain.isascii():
        try:
            address = f"{local}@{domain.encode('idna').decode('ascii')}"
        except UnicodeError as error:
            raise ValidationError("Give an e-mail address like name@example.org.", code="invalid") from error
    if PLAIN_EMAIL.fullmatch(address):
        return address
    try:
        validate_email(address)
    except ValidationError as error:
        raise ValidationError("Give an e-mail address like name@example.org.", code="invalid") from error
    return address


def canonical_phone(value: str) -> str:
    """E.164. A number without a country code is read in PHONE_REGION, and refused where that is empty."""
    try:
        number = phonenumbers.parse(value, settings.PHONE_REGION or None)
    except phonenumbers.NumberParseException as error:
        raise ValidationError("Give the number with its country code, like +49 30 901820.", code="invalid") from error
    if not phonenumbers.is_valid_number(number):
        raise ValidationError("This is not a telephone number: check its digits and country code.", code="invalid")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def canonical_user_id(value: str) -> str:
    user_id = value.strip()
    if not 1 <= len(user_id) <= 200:
        raise ValidationError("A user id has 1 to 200 characters.", code="invalid")
    return user_id


CANONICAL: dict[str, Callable[[str], str]] = {
    Identifier.Kind.EMAIL: canonical_email,
    Identifier.Kind.PHONE: canonical_phone,
    Identifier.Kind.USER_ID: canonical_user_id,
}


@dataclass(frozen=True)
class Identity:
    """One identifier in canonical form."""

    kind: str
    value: str

    @classmethod
    def of(cls, kind: str, value: str) -> Self:
        """Raises ValidationError, in words for whoever typed it, when the value is none of its kind."""
        if CONTROL.search(value):
            raise ValidationError("Remove the control characters.", code="control_characters")
        return cls(kind, CANONICAL[kind](value))

    @cached_property
    def digest(self) -> bytes:
        """The blind index: equal for equal identifiers, useless without the key."""
        return hmac.digest(derive("blind-index"), f"{self.kind}\0{self.value}".encode(), "sha256")

    def seal(self) -> bytes:
        return SEAL.close(self.value, self.kind)


def unseal(kind: str, sealed: bytes) -> str:
    """The canonical value. Raises cryptography's InvalidTag where the bytes were changed or sealed by another key."""
    return SEAL.open(sealed, kind)


def masked(identity: Identity) -> str:
    """What a screen may show of it: a•••@example.org, +49•••20."""
    if identity.kind == Identifier.Kind.EMAIL:
        local, _, domain = identity.value.rpartition("@")
        return f"{local[:1]}•••@{domain}"
    return f"{identity.value[:3]}•••{identity.value[-2:]}"
