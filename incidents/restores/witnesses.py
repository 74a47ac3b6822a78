"""Marks outside the database: a sealed file on each host's disk, and a key in Valkey."""

import base64
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import redis
import structlog
from cryptography.exceptions import InvalidTag
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.keys import Seal
from incidents.restores.heads import Heads

log = structlog.get_logger(__name__)

SEAL = Seal("database-mark")
BOUND_TO = "database"
KEY = "holdfast:database-mark"
NAME = "database.mark"  # in SPOOL_DIR
TIMEOUT = 0.5  # seconds that Valkey is waited for
FILE, VALKEY = "file", "valkey"


def read() -> dict[str, Heads]:
    """What each witness that can be asked says. One that is away, empty, or does not open says nothing."""
    found = {}
    for name, ask in ((FILE, _read_file), (VALKEY, _read_valkey)):
        if heads := _asked(name, ask):
            found[name] = heads
    return found


def write(heads: Heads) -> list[str]:
    """Tell every witness; returns those that took it."""
    sealed = base64.b64encode(SEAL.close(json.dumps(heads.as_json()), BOUND_TO))
    took = []
    tell: tuple[tuple[str, Callable[[bytes], None]], ...] = ((FILE, _write_file), (VALKEY, _write_valkey))
    for name, put in tell:
        try:
            put(sealed)
            took.append(name)
        except (OSError, redis.RedisError) as error:
            log.warning("mark_not_written", witness=name, error=str(error))
    return took


def _asked(name: str, ask: Callable[[], bytes | None]) -> Heads | None:
    try:
        sealed = ask()
        return Heads.of(json.loads(SEAL.open(base64.b64decode(sealed), BOUND_TO))) if sealed else None
    except (OSError, redis.RedisError) as error:
        log.warning("mark_not_read", witness=name, error=str(error))
    except (InvalidTag, ValueError, KeyError, TypeError) as error:
        log.error("mark_does_not_open", witness=name, error=type(error).__name__)
    return None


def _path() -> Path:
    return Path(settings.SPOOL_DIR) / NAME


def _read_file() -> bytes | None:
    try:
        return _path().read_bytes()
    except FileNotFoundError:
        return None


def _write_file(sealed: bytes) -> None:
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with open(fresh, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(sealed)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _valkey() -> redis.Redis:
    """One try: the library's own retries would keep the look waiting."""
    options = {"socket_connect_timeout": TIMEOUT, "socket_timeout": TIMEOUT, "retry": Retry(NoBackoff(), 0)}
    return redis.Redis.from_url(settings.REDIS_URL, **options)


def _read_valkey() -> bytes | None:
    with _valkey() as broker:
        sealed = broker.get(KEY)
    return sealed if isinstance(sealed, bytes) else None


def _write_valkey(sealed: bytes) -> None:
    with _valkey() as broker:
        broker.set(KEY, sealed)
