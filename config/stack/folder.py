"""The folder of a running stack: what it keeps there, and the secrets that are made once."""

import fcntl
import json
import os
import secrets
import socket
import stat
from base64 import b64encode
from pathlib import Path
from typing import Any

from config.roles import LOGINS

READABLE = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that is mistaken for something else
ROLES = ("officer", "support", "responder", "auditor", "administrator")


class Folder:
    """`var/`, or what HOLDFAST_VAR names. Only its owner may look in."""

    def __init__(self, base: Path) -> None:
        self.path = Path(os.environ.get("HOLDFAST_VAR") or base / "var").resolve()
        self.postgres = self.path / "postgres"
        self.valkey = self.path / "valkey"
        self.inbox = self.path / "inbox"
        self._lock: int | None = None

    def make(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Where root runs it, a server that still runs under another name has to get at its files until it is stopped.
        self.path.chmod(0o700 | self.path.stat().st_mode & stat.S_IXOTH)
        for folder in (self.inbox, self.path / "static"):
            folder.mkdir(exist_ok=True, mode=0o700)

    def lock(self) -> bool:
        """Whether this process is now the only launcher of this folder. The kernel lets go when it dies."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._lock = descriptor  # kept open until the process ends
        return True

    def read(self, name: str) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads((self.path / f"{name}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return content

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Whole or not at all, and for the owner's eyes only."""
        target = self.path / f"{name}.json"
        draft = target.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        draft.replace(target)

    def secrets(self) -> dict[str, Any]:
        """Made at the first start and never again: data sealed with them must stay readable."""
        known = self.read("secrets")
        wanted = {
            "SECRET_KEY": secrets.token_urlsafe(48),
            "PRIVACY_KEY": secrets.token_urlsafe(48),
            "TEXT_GATEWAY": b64encode(secrets.token_bytes(30)).decode(),
            "logins": {login: secrets.token_hex(16) for login in LOGINS},
            "demo": {role: "".join(secrets.choice(READABLE) for _ in range(16)) for role in ROLES},
        }
        if missing := {name: value for name, value in wanted.items() if name not in known}:
            known.update(missing)
            self.write("secrets", known)
        return known


def free_port(wanted: int, taken: set[int]) -> int:
    """The wanted port of the loopback interface, or the next one that is free."""
    for port in range(wanted, min(wanted + 200, 65536)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one in TIME_WAIT is free; a listener is not
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in taken:
            taken.add(port)
            return port
    raise OSError(f"No free port from {wanted} on. Choose another with PORT=…")
