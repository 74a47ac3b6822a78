"""The last resort: a file that somebody can send by hand. It is written down as that, never as sent."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from messaging.transports.replies import Envelope, Reply, Temporary, patient

DAY = 86_400.0


class Folder:
    """`<message id>.eml` in a folder for the operator's eyes only; on disk, under its name, before it counts."""

    is_idempotent = True  # the same name again
    tells_when_long = False

    def __init__(self, name: str, path: Path, *, after: float = DAY) -> None:
        self.name = name
        self.path = path
        self.after = after

    def send(
        self, envelope: Envelope, before_end: Callable[[], None], takes_long: Callable[[], None] = patient
    ) -> Reply:
        head = f"X-Envelope-From: {envelope.sender}\r\nX-Envelope-To: {envelope.recipient}\r\n".encode()
        before_end()
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            target = self.path / f"{envelope.message_id}.eml"
            with tempfile.NamedTemporaryFile(dir=self.path, suffix=".part", delete=False) as draft:
                draft.write(head + envelope.raw)
                draft.flush()
                os.fsync(draft.fileno())
            Path(draft.name).replace(target)
            _flush(self.path)
        except OSError as error:
            raise Temporary(
                Reply(text=f"The folder takes nothing: {error.strerror}."), blames_transport=True
            ) from error
        return Reply(text=f"Written to {target.name}, for somebody to send.", given_id=target.name)


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
