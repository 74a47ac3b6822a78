"""Keys for one use each, derived from PRIVACY_KEY, so that losing one use does not lose another."""

import secrets
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

NONCE_BYTES = 12


@cache
def derive(use: str, length: int = 32) -> bytes:
    """HKDF-SHA-256 of PRIVACY_KEY (RFC 5869), bound to what the key is used for."""
    kdf = HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=f"holdfast/{use}".encode())
    return kdf.derive(settings.PRIVACY_KEY.encode())


@cache
def _cipher(key: bytes) -> AESGCM:
    return AESGCM(key)


class Seal:
    """AES-256-GCM under a key of one use, a fresh nonce before each ciphertext."""

    def __init__(self, use: str) -> None:
        self.use = use

    def close(self, text: str, bound_to: str) -> bytes:
        """`bound_to` says whose it is: moved to another place, it does not open."""
        return self.close_bytes(text.encode(), bound_to)

    def open(self, sealed: bytes | memoryview, bound_to: str) -> str:
        """Raises cryptography's InvalidTag where the bytes were changed, moved, or sealed by another key."""
        return self.open_bytes(sealed, bound_to).decode()

    def close_bytes(self, clear: bytes, bound_to: str) -> bytes:
        """As `close`, for what need not be text."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + _cipher(derive(self.use)).encrypt(nonce, clear, bound_to.encode())

    def open_bytes(self, sealed: bytes | memoryview, bound_to: str) -> bytes:
        """As `open`."""
        sealed = bytes(sealed)
        return _cipher(derive(self.use)).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to.encode())
