"""A receipt for each choice: signed, so that its holder can show later that it was taken."""

import base64
import json
from functools import cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from config.keys import derive

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
FACTS = ("id", "subject", "purpose", "channel", "choice", "decided_at", "received_at")


def statement(facts: dict[str, Any]) -> bytes:
    """What is signed: the facts named in FACTS as JSON with sorted keys and no spaces, under a domain line."""
    return b"holdfast receipt v1\n" + _encode({name: facts[name] for name in FACTS}).encode()


def sign(facts: dict[str, Any]) -> str:
    """Ed25519 (RFC 8032), URL-safe base64."""
    return base64.urlsafe_b64encode(_key().sign(statement(facts))).decode()


def sign_all(facts: list[dict[str, Any]]) -> str:
    """One signature over many choices of one call: the list of what `sign` signs, in order, under the same line."""
    return base64.urlsafe_b64encode(_key().sign(_statements(facts))).decode()


def _statements(facts: list[dict[str, Any]]) -> bytes:
    return b"holdfast receipt v1\n" + _encode([{name: one[name] for name in FACTS} for one in facts]).encode()


def verify(facts: dict[str, Any], signature: str) -> bool:
    return _verifies(statement(facts), signature)


def verify_all(facts: list[dict[str, Any]], signature: str) -> bool:
    return _verifies(_statements(facts), signature)


def _verifies(text: bytes, signature: str) -> bool:
    try:
        _key().public_key().verify(base64.urlsafe_b64decode(signature), text)
    except (InvalidSignature, ValueError):
        return False
    return True


def public_key() -> str:
    """For verification elsewhere; base64 of the raw 32 bytes."""
    key: Ed25519PublicKey = _key().public_key()
    return base64.b64encode(key.public_bytes_raw()).decode()


@cache
def _key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(derive("receipt"))
