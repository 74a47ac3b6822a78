"""Whether this may be an older copy of the database: asked before a session's first answer, and not again.

A restore ends every session. So whoever gets a new one asks what lies outside the database, and does not wait for the
next look of the workers, or for workers at all.
"""

from collections.abc import Callable
from weakref import WeakSet

from django.db import connection

# Whoever knows from outside registers here when the process starts; True where the database lacks what they know of.
WITNESSES: list[Callable[[], bool]] = []
_sure: WeakSet[object] = WeakSet()


def is_possible() -> bool:
    """Where it is, a later question asks again: what is missing may have been put back."""
    connection.ensure_connection()
    session = connection.connection
    if session in _sure:
        return False
    if any(lacks() for lacks in WITNESSES):
        return True
    _sure.add(session)
    return False
