"""Whole tables that are gone through again and again in slices, each a transaction of its own, by whoever has time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from consent.drift import walk
from incidents.invariants.looking import hold, move
from incidents.models import DetectionCursor

REST = timedelta(seconds=5)  # between the end of a round and the next


@dataclass(frozen=True, slots=True)
class Pass:
    """`end`: the number of the last of so many rows after one, None where there is none; `look` does what is to be done
    about the rows between two numbers, and returns how much was found."""

    end: Callable[[int, int], int | None]
    look: Callable[[int, int], int]


@dataclass(frozen=True, slots=True)
class Round:
    """`name` begins the names of its cursors. `seconds`: how long one call works, of the five until the next one: one
    process may have all of them to do, and all else besides."""

    name: str
    passes: Sequence[Pass]
    seconds: float

    def go_on(self, rows: int) -> int:
        """As many slices as fit into its time. Returns how much was found: slices that found nothing are nothing to
        come back for."""
        found, until = 0, time.monotonic() + self.seconds
        while time.monotonic() < until:
            step = self.slice(rows)
            if step is None:
                break
            found += step
        return found

    @transaction.atomic
    def slice(self, rows: int) -> int | None:
        """So many rows; None while it rests, or where another process is at it."""
        ended, _ = DetectionCursor.objects.get_or_create(name=f"{self.name}:round")
        turn, place = hold(f"{self.name}:pass"), hold(f"{self.name}:position")
        if turn is None or place is None:
            return None
        is_at_its_beginning = turn.last_id == 0 and place.last_id == 0
        if is_at_its_beginning and ended.moment and ended.moment > timezone.now() - REST:
            return None
        walk()
        a_pass = self.passes[turn.last_id]
        last = a_pass.end(place.last_id, rows)
        if last is not None:
            found = a_pass.look(place.last_id, last)
            move(place, last)
            return found
        move(place, 0)
        move(turn, (turn.last_id + 1) % len(self.passes))
        if turn.last_id == 0:
            self.ended()
        return 0

    def ended(self) -> None:
        """All was looked at, just now."""
        DetectionCursor.objects.update_or_create(name=f"{self.name}:round", defaults={"moment": timezone.now()})
