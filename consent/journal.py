"""A journal of lines: each is on disk before the call returns, also when several processes write at once.

A reader takes the journal over by renaming it; whoever wrote into the old name meanwhile writes again into the new.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

JOURNAL, LOCK, TAKEN_OVER = "journal.jsonl", "replay.lock", "replaying-"


def append(path: Path, line: bytes) -> None:
    """On disk when it returns. Raises OSError where the disk takes nothing."""
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


def waiting(folder: Path) -> int:
    """Whole lines in all files."""
    return sum(_count_lines(path) for path in [folder / JOURNAL, *folder.glob(TAKEN_OVER + "*")])


def taken_over(folder: Path) -> list[Path]:
    """The files to read, oldest first. Call it under `alone`."""
    path = folder / JOURNAL
    if path.exists():
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            path.rename(folder / f"{TAKEN_OVER}{time.time_ns():020d}.jsonl")
    return sorted(folder.glob(TAKEN_OVER + "*"))


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


def _count_lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0
