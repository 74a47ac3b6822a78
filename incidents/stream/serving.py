"""The stream over HTTP: an ASGI application without Django's request stack. Any number of streams, one query a second.

A stream ends after some ten minutes: its listener comes back with Last-Event-ID, and is asked again who they are.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import structlog
from django.conf import settings
from django.db import Error, connection

from config.problems import Refused, as_http, refusal_of, unavailable
from incidents.stream import tickets
from incidents.stream.news import News, Stream

log = structlog.get_logger(__name__)

PAGES, SERVICES = "/live/stream/", "/api/v1/telemetry/stream/"
HEARTBEAT = 15.0  # seconds of silence after which a comment tells proxies that somebody is there
LONGEST = 600.0  # seconds
STUCK = 10.0  # seconds that a listener may take for what was sent
RETRY = b"retry: 3000\n\n"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Application:
    def __init__(self, news: News | None = None) -> None:
        self.given = news
        self.news: News | None = None
        self.poller: asyncio.Task[None] | None = None
        self.askers = ThreadPoolExecutor(2, "who")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    def start(self) -> News:
        """The poller of this process; begins with the loop that it runs in."""
        if self.news is None:
            self.news = self.given or News()
            self.poller = asyncio.create_task(self.news.run())
        return self.news

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                self.end()
                await send({"type": "lifespan.shutdown.complete"})
                return

    def end(self) -> None:
        if self.news is not None:
            self.news.end()
            self.news.close()
        if self.poller is not None:
            self.poller.cancel()

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        allowed = _allowed_origin(headers)
        try:
            if scope["path"] == "/livez":
                await _whole(send, 200, {"Content-Type": "text/plain"}, b"ok\n")
                return
            await self._check(scope, headers)
            stream = self.start().join(headers.get("last-event-id", "")[:50])
            if stream is None:
                raise Refused(
                    503, "too_many_streams", "Too many listen already. Poll instead.", headers={"Retry-After": "60"}
                )
        except Exception as error:
            refused = unavailable() if isinstance(error, Error) else refusal_of(error)
            if refused is None:
                raise
            answer = as_http(refused)
            await _whole(send, answer.status_code, dict(answer.items()) | allowed, answer.content)
            return
        await self._serve(stream, receive, send, allowed)

    async def _check(self, scope: Message, headers: dict[str, str]) -> None:
        """Raises what says why not."""
        if scope["path"] not in (PAGES, SERVICES):
            raise Refused(404, "not_found", f"Here is {SERVICES} and nothing else.")
        if scope["method"] != "GET":
            raise Refused(405, "method_not_allowed", "Only GET is offered here.", headers={"Allow": "GET"})
        if scope["path"] == SERVICES:
            return await self._ask(tickets.check_key, headers.get("authorization", ""))
        if "origin" in headers and not _allowed_origin(headers):
            raise Refused(403, "other_origin", "This stream is for pages of this product.")
        ticket = parse_qs(scope["query_string"].decode("latin-1")).get("ticket", [""])[0]
        return await self._ask(tickets.check_ticket, ticket)

    async def _ask(self, check: Callable[[str], None], word: str) -> None:
        def asked() -> None:
            try:
                check(word)
            finally:
                connection.close()  # somebody comes every few minutes: no reason to hold one

        await asyncio.get_running_loop().run_in_executor(self.askers, asked)

    async def _serve(self, stream: Stream, receive: Receive, send: Send, allowed: dict[str, str]) -> None:
        head = {
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
            "X-Content-Type-Options": "nosniff",
        } | allowed
        watchers = [asyncio.create_task(_gone(receive)), asyncio.create_task(stream.ended.wait())]
        until = asyncio.get_running_loop().time() + LONGEST * random.uniform(1, 1.1)  # noqa: S311  # not all at once
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _raw(head)})
            await _piece(send, RETRY)
            while not any(watcher.done() for watcher in watchers) and asyncio.get_running_loop().time() < until:
                event = await _next(stream, watchers)
                await _piece(send, event or b": still here\n\n")
            await _piece(send, b"", more=False)
        except (TimeoutError, OSError, RuntimeError) as error:  # they are gone, or take nothing
            log.info("stream_dropped", error=str(error))
        finally:
            for watcher in watchers:
                watcher.cancel()
            if self.news is not None:
                self.news.leave(stream)


async def _next(stream: Stream, watchers: list[asyncio.Task[Any]]) -> bytes | None:
    """The next event; None after a silence, or when the end has come."""
    coming = asyncio.create_task(stream.queue.get())
    done, _ = await asyncio.wait({coming, *watchers}, timeout=HEARTBEAT, return_when=asyncio.FIRST_COMPLETED)
    if coming in done:
        return coming.result()
    coming.cancel()
    return None


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _piece(send: Send, body: bytes, *, more: bool = True) -> None:
    await asyncio.wait_for(send({"type": "http.response.body", "body": body, "more_body": more}), STUCK)


async def _whole(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} | headers
    await send({"type": "http.response.start", "status": status, "headers": _raw(headers)})
    await send({"type": "http.response.body", "body": body})


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _allowed_origin(headers: dict[str, str]) -> dict[str, str]:
    """Exactly the product's own pages, where the stream has an address of its own."""
    own = urlsplit(settings.PUBLIC_URL)
    origin = f"{own.scheme}://{own.netloc}"
    if headers.get("origin") != origin:
        return {}
    return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
