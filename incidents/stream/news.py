"""One look a second for everybody: what has changed becomes one event, whose bytes go to every stream alike."""

import asyncio
import itertools
import json
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import Error, connection
from django.utils import timezone

log = structlog.get_logger(__name__)

PAUSE = 1.0  # seconds between two looks
KEPT = 300  # events for those who come back
WAITING = 32  # events that a stream may be behind before it is dropped
MOST = 1000  # streams of a process

# The running minute and the one before, a number that changes with any count of the hour, and what stands beside them.
# Restricted incidents are not told: that something changed says nothing about what. What happens to an alert, also that
# it is over, is a line of a timeline.
LOOK = """
    SELECT (SELECT coalesce(json_agg(r), '[]') FROM (
              SELECT minute, purpose, channel, exit_path, cause, is_drill, count FROM incidents_decisionminute
               WHERE minute >= date_trunc('minute', clock_timestamp(), 'UTC') - interval '1 minute'
                 AND choice = 'opt_out' AND count > 0 ORDER BY 1, 2, 3, 4, 5, 6 LIMIT 200) r)::text,
           (SELECT coalesce(sum(hashtextextended(m::text, 0)), 0)::text FROM incidents_decisionminute m
             WHERE minute >= clock_timestamp() - interval '1 hour' AND choice = 'opt_out'),
           (SELECT coalesce(max(history_id), 0)::text FROM incidents_historicalincident),
           concat_ws(' ', (SELECT max(id) FROM incidents_alertgroup), (SELECT max(id) FROM incidents_timelineentry),
             (SELECT max(id) FROM incidents_marker), (SELECT max(history_id) FROM incidents_historicalchangeset),
             (SELECT max(started_at) FROM messaging_notice))
"""
NAMES = ("opt_outs", "incidents", "marks")


def look() -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The newest minutes, and a mark per kind of news that changes with it. Raises the database's error."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(LOOK)
            rows, *marks = cursor.fetchone()
    except Error:
        connection.close()
        raise
    return json.loads(rows), dict(zip(NAMES, marks, strict=True))


@dataclass(eq=False, slots=True)
class Stream:
    """Somebody who listens. `ended` is set when they fell too far behind, or the process ends."""

    queue: asyncio.Queue[bytes]
    ended: asyncio.Event


class News:
    """The streams of this process, and the one poller that feeds them."""

    def __init__(self, read: Callable[[], tuple[list[dict[str, Any]], dict[str, str]]] = look, pause: float = PAUSE):
        self.read, self.pause = read, pause
        self.streams: set[Stream] = set()
        self.kept: deque[tuple[str, bytes]] = deque(maxlen=KEPT)
        self.numbers = (f"{int(time.time() * 1000)}-{n}" for n in itertools.count(1))
        self.marks: dict[str, str] | None = None
        self.is_measured = True
        self.someone = asyncio.Event()
        self.thread = ThreadPoolExecutor(1, "news")

    async def run(self) -> None:
        """For ever; nobody listens, nobody asks the database."""
        while True:
            await self.someone.wait()
            await self.look_once()
            await asyncio.sleep(self.pause)

    async def look_once(self) -> None:
        try:
            rows, marks = await asyncio.get_running_loop().run_in_executor(self.thread, self.read)
        except Exception as error:  # whatever it was: the poller goes on, and says that it does not know
            if self.is_measured:
                log.warning("stream_without_numbers", error=str(error), exc_info=not isinstance(error, Error))
                self.publish("unmeasured", {"at": timezone.now().isoformat()})
            self.is_measured = False
            return
        before, self.marks = self.marks, marks
        changed = [name for name in NAMES if before is None or before[name] != marks[name]]
        if changed or not self.is_measured:
            told = {"at": timezone.now().isoformat(), "changed": changed, "opt_outs": rows}
            self.publish("opt_outs", told)
        self.is_measured = True

    def publish(self, kind: str, told: dict[str, Any]) -> None:
        number = next(self.numbers)
        event = f"id: {number}\nevent: {kind}\ndata: {json.dumps(told, separators=(',', ':'))}\n\n".encode()
        self.kept.append((number, event))
        for stream in list(self.streams):
            try:
                stream.queue.put_nowait(event)
            except asyncio.QueueFull:  # a reader that does not read must not make everybody's memory grow
                stream.ended.set()
                self.leave(stream)

    def join(self, last_id: str = "") -> Stream | None:
        """With what was missed since `last_id`; None where too many listen already."""
        if len(self.streams) >= MOST:
            return None
        stream = Stream(asyncio.Queue(WAITING), asyncio.Event())
        for event in self._missed(last_id):
            stream.queue.put_nowait(event)
        self.streams.add(stream)
        self.someone.set()
        return stream

    def leave(self, stream: Stream) -> None:
        self.streams.discard(stream)
        if not self.streams:
            self.someone.clear()

    def end(self) -> None:
        for stream in list(self.streams):
            stream.ended.set()

    def close(self) -> None:
        """Give the poller's connection back; nothing is looked at any more."""
        self.thread.submit(connection.close)
        self.thread.shutdown()

    def _missed(self, last_id: str) -> list[bytes]:
        """Whoever asks for more than is kept, or comes from before a restart, is told to look at everything again."""
        if not self.kept:
            return [b"event: reset\ndata: {}\n\n"] if last_id else []
        numbers = [number for number, _ in self.kept]
        if not last_id:
            return [self.kept[-1][1]]
        later = list(self.kept)[numbers.index(last_id) + 1 :] if last_id in numbers else None
        if later is None or len(later) >= WAITING:
            return [f"id: {numbers[-1]}\nevent: reset\ndata: {{}}\n\n".encode()]
        return [event for _, event in later]
