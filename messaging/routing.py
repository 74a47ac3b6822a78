"""Which transport a message takes now: in the order of the settings, past those that fail or are held."""

import time
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models.functions import Now

from messaging import health
from messaging.models import Message, SendHold
from messaging.transports import configured
from messaging.transports.replies import Transport

Scope = SendHold.Scope
FRESH = 0.5  # seconds that a look at holds and health is good for


@dataclass
class Routes:
    """The transports of each channel, and what is held and what works, as last looked at."""

    by_channel: dict[str, tuple[Transport, ...]]
    holds: list[SendHold] = field(default_factory=list)
    usable: dict[str, list[Transport]] = field(default_factory=dict)
    looked_at: float | None = None

    @classmethod
    def of_settings(cls) -> "Routes":
        return cls({channel: configured.transports(channel) for channel in configured.channels()})

    @classmethod
    def only(cls, transport: Transport, channel: str = configured.EMAIL) -> "Routes":
        return cls({channel: (transport,)})

    def look(self) -> list[str]:
        """Read holds and health where that was not done just now; returns the channels that have a way out."""
        if self.looked_at is None or time.monotonic() - self.looked_at > FRESH:
            holds = list(SendHold.objects.active(Now()))
            self.holds = [hold for hold in holds if hold.scope != Scope.TRANSPORT]
            held = {hold.value for hold in holds if hold.scope == Scope.TRANSPORT}
            out = held | health.unusable(
                t.name for found in self.by_channel.values() for t in found if t.name not in held
            )
            self.usable = {
                channel: [transport for transport in transports if transport.name not in out]
                for channel, transports in self.by_channel.items()
            }
            self.looked_at = time.monotonic()
        return [channel for channel, transports in self.usable.items() if transports]

    def look_again(self) -> None:
        """Something failed: the next look is a fresh one."""
        self.looked_at = None

    @property
    def is_stale(self) -> bool:
        """Something failed since the last look."""
        return self.looked_at is None

    def choose(self, message: Message, now: datetime) -> Transport | None:
        """The one that it had or was sent on to, if that works; else the first that works; else a last resort, once
        the message has waited long enough for it. None: it waits.
        """
        working = self.usable.get(message.channel, [])
        if message.is_pinned:
            return next((transport for transport in working if transport.name == message.transport), None)
        proper = [transport for transport in working if not transport.after]
        for transport in proper:
            if transport.name == message.transport:
                return transport
        if proper:
            return proper[0]
        waited = (now - message.created_at).total_seconds()
        return next((transport for transport in working if waited >= transport.after), None)

    def after(self, name: str, channel: str) -> str:
        """The next one in order after the one that failed: empty where it was the last, and the round begins again."""
        proper = [transport.name for transport in self.by_channel.get(channel, ()) if not transport.after]
        place = proper.index(name) + 1 if name in proper else len(proper)
        working = {transport.name for transport in self.usable.get(channel, ())}
        return next((later for later in proper[place:] if later in working), "")
