"""Settings as operators type them: what is nonsense is refused by name, with the cure, and never taken for a no."""

from collections.abc import Callable, Collection
from typing import Any, TypeVar

import environ
from django.core.exceptions import ImproperlyConfigured

YES, NO = frozenset(environ.Env.BOOLEAN_TRUE_STRINGS), frozenset(["false", "off", "n", "no", "0"])
T = TypeVar("T")


class Environment(environ.Env):
    """django-environ reads `ture` as false, and tells of a wrong number by a traceback. An empty value is none."""

    def bool(self, var: str, default: bool = False) -> bool:
        return self._read(var, default, _yes_or_no, "1 for yes or 0 for no")

    def int(self, var: str, default: int = 0) -> int:
        return self._read(var, default, int, "a whole number, without a unit")

    def float(self, var: str, default: float = 0.0) -> float:
        return self._read(var, default, float, "a number, without a unit")

    def list(self, var: str, cast: Any = None, default: Any = ()) -> list[str]:
        """Separated by commas; blanks around them do not count."""
        return self._read(var, list(default), _parts, "words with commas between them")

    def dict(self, var: str, cast: Any = None, default: Any = ()) -> dict[str, str]:
        """`name=value,other=value`."""
        return self._read(var, dict(default), _pairs, "name=value, with commas between several")

    def one_of(self, var: str, wanted: Collection[str], default: str) -> str:
        """One of these words, in letters of any size."""
        said = self.str(var, default="").strip().upper() or default
        if said not in wanted:
            raise ImproperlyConfigured(f"{var} cannot be read. Say one of {', '.join(wanted)}.")
        return said

    def _read(self, name: str, default: T, read: Callable[[str], T], wanted: str) -> T:
        """The value is not repeated: it may hold a secret."""
        said = self.str(name, default="").strip()
        try:
            return read(said) if said else default
        except ValueError:
            raise ImproperlyConfigured(f"{name} cannot be read. Say {wanted}.") from None


def _yes_or_no(said: str) -> bool:
    if said.lower() not in YES | NO:
        raise ValueError
    return said.lower() in YES


def _parts(said: str) -> list[str]:
    return [part.strip() for part in said.split(",") if part.strip()]


def _pairs(said: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in _parts(said)]
    if not all(name.strip() and value.strip() for name, _, value in pairs):
        raise ValueError
    return {name.strip(): value.strip() for name, _, value in pairs}
