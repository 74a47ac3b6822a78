"""A gateway for text messages: one JSON call a message, `{"id", "to", "text"}`, answered 2xx with its own id."""

import threading
from collections.abc import Callable

from messaging.transports import http
from messaging.transports.replies import Envelope, Reply, patient


class Gateway:
    """Where the calls go. Most providers have a door of this shape; for another one, a few lines in between translate.

    The header `Idempotency-Key` is the message's id on every try; `is_idempotent` says that the gateway honours it.
    """

    after = 0.0
    tells_when_long = False

    def __init__(self, name: str, url: str, token: str, *, is_idempotent: bool = False) -> None:
        self.name = name
        self.url = url
        self.token = token
        self.is_idempotent = is_idempotent
        self.kept = threading.local()

    def send(
        self, envelope: Envelope, before_end: Callable[[], None], takes_long: Callable[[], None] = patient
    ) -> Reply:
        if not hasattr(self.kept, "session"):
            self.kept.adapter = http.LastMoment()
            self.kept.session = http.session(self.kept.adapter)
        self.kept.adapter.before_end = before_end
        with http.told():
            answer = self.kept.session.post(
                self.url,
                json={"id": str(envelope.message_id), "to": envelope.recipient, "text": envelope.raw.decode()},
                headers={"Authorization": f"Bearer {self.token}", "Idempotency-Key": str(envelope.message_id)},
                allow_redirects=False,
            )
        if not 200 <= answer.status_code < 300:
            raise http.refusal(answer.status_code, answer.text[:500])
        try:
            given = answer.json()
        except ValueError:
            given = {}
        return Reply(answer.status_code, "Taken.", str(given.get("id", ""))[:200] if isinstance(given, dict) else "")
