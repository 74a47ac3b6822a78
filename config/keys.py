"""Keys for one use each, derived from PRIVACY_KEY, so that losing one use does not lose another."""

from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


@cache
def derive(use: str, length: int = 32) -> bytes:
    """HKDF-SHA-256 of PRIVACY_KEY (RFC 5869), bound to what the key is used for."""
    kdf = HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=f"holdfast/{use}".encode())
    return kdf.derive(settings.PRIVACY_KEY.encode())
