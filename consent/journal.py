"""A journal of lines: each is on disk before the call returns, also when several processes write at once.

A reader takes the journal over by renaming it; whoever wrote into the old name meanwhile writes again into the new.
What a reader cannot use is put aside in a file of its own, for people to look at.
"""

import base64
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import structlog
from cryptography.exceptions import InvalidTag

from config.keys import Seal

T = TypeVar("T")
log = structlog.get_logger(__name__)

JOURNAL, LOCK, TAKEN_OVER = "journal.jsonl", "replay.lock", "replaying-"
REFUSED = "refused.jsonl"  # what does not open, or the database would not take, for people to look at


def append(path: Path, line: bytes) -> None:
    """On disk when it returns: a line, or several at once. Raises OSError where the disk takes nothing."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    while not _append(path, line):
        pass  # a reader took the file over between its opening and its lock


def _append(path: Path, line: bytes) -> bool:
    with open(path, "a+b", opener=_private) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not _is_at(path, file.fileno()):
            return False
        size = os.fstat(file.fileno()).st_size
        if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
            file.write(b"\n")  # a crash cut the last line off
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    if not size:
        _flush(path.parent)
    return True


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Each line anew, in the same order; on disk when it returns. Whoever writes meanwhile waits, and then writes into
    the new file."""
    while not _rewrite(path, change):
        pass  # another one rewrote it between its opening and its lock


def _rewrite(path: Path, change: Callable[[bytes], bytes]) -> bool:
    fresh = path.with_suffix(".new")
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not _is_at(path, file.fileno()):
            return False
        with open(fresh, "wb", opener=_private) as rewritten:
            rewritten.writelines(change(line) for line in file)
            rewritten.flush()
            os.fsync(rewritten.fileno())
        fresh.replace(path)
    _flush(path.parent)
    return True


def sealed_line(key: str, content: Any, seal: Seal) -> bytes:
    """JSON with the key in the open, for whoever looks into the journal, and the rest sealed and bound to it."""
    sealed = seal.close(json.dumps(content), key)
    return json.dumps({"v": 1, "key": key, "sealed": base64.b64encode(sealed).decode()}).encode() + b"\n"


def opened(line: bytes, seal: Seal) -> tuple[str, Any] | None:
    """Key and content; None for a line that was cut off, or sealed by another key."""
    try:
        outer = json.loads(line)
        return outer["key"], json.loads(seal.open(base64.b64decode(outer["sealed"]), outer["key"]))
    except (ValueError, KeyError, TypeError, InvalidTag):
        return None


def waiting(folder: Path) -> int:
    """Whole lines in all files."""
    return sum(lines_in(path) for path in [folder / JOURNAL, *folder.glob(TAKEN_OVER + "*")])


def taken_over(folder: Path) -> list[Path]:
    """The files to read, oldest first. Call it under `alone`."""
    path = folder / JOURNAL
    if path.exists():
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            path.rename(folder / f"{TAKEN_OVER}{time.time_ns():020d}.jsonl")
    return sorted(folder.glob(TAKEN_OVER + "*"))


def read(path: Path, from_line: Callable[[bytes], T | None]) -> Iterator[T]:
    """What the lines hold, one at a time: a file may be larger than memory.

    A line that was cut off by a crash was never answered; one that does not open is put aside.
    """
    with path.open("rb") as file:
        for line in file:
            content = from_line(line)
            if content is not None:
                yield content
            elif line.endswith(b"\n") and line.strip():
                put_aside(path.parent, line, "it does not open")


def put_aside(folder: Path, line: bytes, why: str) -> None:
    log.error("journal_line_put_aside", folder=str(folder), why=why)
    append(folder / REFUSED, line)


def done_with(path: Path) -> None:
    path.unlink()
    _flush(path.parent)


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """One reader at a time; False where another is at it."""
    with open(folder / LOCK, "ab", opener=_private) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _flush(folder: Path) -> None:
    """A new name is only safe once the folder is on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def key_of(line: bytes) -> str:
    """What a line names in the open; a word where it cannot be read."""
    try:
        return str(json.loads(line)["key"])
    except (ValueError, KeyError, TypeError):
        return "that cannot be read"


def lines_in(path: Path) -> int:
    """Whole lines."""
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0
