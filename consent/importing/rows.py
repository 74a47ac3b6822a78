"""A row of a file becomes a choice of somebody, or a refusal with its reason."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.core.exceptions import ValidationError

from consent.identifiers import Identity
from consent.importing import columns as named
from consent.importing.columns import Columns, normal
from consent.importing.files import FileRefused, Table
from consent.importing.moments import moment_of
from consent.importing.senders import IN, OUT, SENDERS, Reader, cell, recognise
from consent.models import ANY, Channel, Identifier
from consent.validation import EARLIEST

Kind = Identifier.Kind
NO_MOMENT = "an opt-in needs the moment at which it was given: say of when the list is"
LEFT_OUT = "an opt-in, and only opt-outs were asked for"
DIGITS = re.compile(r"[1-9]\d{10,14}")
# Whom a row names where it names them in several ways. They are not taken for one person: a number that a family shares
# would make them one.
BEFORE_OTHERS: dict[str, Sequence[str]] = {
    Channel.SMS: (Kind.PHONE, Kind.USER_ID, Kind.EMAIL),
    Channel.PHONE: (Kind.PHONE, Kind.USER_ID, Kind.EMAIL),
    Channel.PUSH: (Kind.USER_ID, Kind.EMAIL, Kind.PHONE),
}
OTHERWISE: Sequence[str] = (Kind.EMAIL, Kind.USER_ID, Kind.PHONE)
CHANNEL_WORDS = {
    **{word: word for word in (*Channel.values, ANY)},
    **dict.fromkeys(("e_mail", "mail", "correo", "courriel"), "email"),
    **dict.fromkeys(("text", "text_message", "text_messages"), "sms"),
    **dict.fromkeys(("telephone", "telefon", "call", "calls", "voice"), "phone"),
    **dict.fromkeys(("letter", "postal", "brief"), "post"),
    **dict.fromkeys(("push_notification", "app"), "push"),
    **dict.fromkeys(("all", "any", "alle"), ANY),
}


class Candidate(NamedTuple):
    """`decided_at` None: nothing that can be relied on was said. `why` is in our words: others' may name people."""

    number: int
    identity: Identity
    purpose: str
    channel: str
    choice: str
    decided_at: datetime | None
    why: str


class Refusal(NamedTuple):
    """`text`: the row, for whoever mends it."""

    number: int
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What whoever brings the file says about it. `dated`: of when the list is."""

    purpose: str
    channel: str
    purposes: frozenset[str]
    now: datetime
    sender: str = ""
    dated: datetime | None = None
    opt_outs_only: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """A file that was recognised; `rows` is read once."""

    sender: str
    columns: list[str]
    rows: Iterator[Candidate | Refusal]


def read_rows(table: Table, wanted: Wanted) -> Read:
    """Raises FileRefused for a file of nobody, of several, or that names no people; `rows` may raise it too."""
    number, first = next(((number, row) for number, row in table.rows if any(map(str.strip, row))), (0, []))
    columns = Columns(first)
    sender, reader = recognise(columns, wanted.channel, wanted.sender)
    if SENDERS[sender].has_first_row:
        return Read(sender, columns.names[:100], _rows(table.rows, Row(columns, reader, wanted)))
    row = Row(Columns(["email", "reason"]), reader, wanted)
    return Read(sender, [], _rows(_with_first(number, first, table), row))


def _with_first(number: int, first: list[str], table: Table) -> Iterator[tuple[int, list[str]]]:
    yield number, first
    yield from table.rows


def _rows(rows: Iterator[tuple[int, list[str]]], row: "Row") -> Iterator[Candidate | Refusal]:
    for number, cells in rows:
        if any(cells):
            yield row.read(number, cells)


class Row:
    """How rows of one file are read: which cell is whom, and what the sender's words mean."""

    def __init__(self, columns: Columns, reader: Reader, wanted: Wanted) -> None:
        self.reader, self.wanted = reader, wanted
        self.people: dict[str, int] = {
            kind: at
            for kind, names in ((Kind.EMAIL, named.EMAIL), (Kind.PHONE, named.PHONE), (Kind.USER_ID, named.USER_ID))
            if (at := columns.at(names)) is not None
        }
        if not self.people:
            raise FileRefused(
                f"No column says whom a row is about. Found: {columns.in_words()}. Name one email, phone or user_id."
            )
        self.purpose, self.channel = columns.at(named.PURPOSE), columns.at(named.CHANNEL)

    def read(self, number: int, cells: list[str]) -> Candidate | Refusal:
        try:
            return self._candidate(number, cells)
        except ValidationError as error:
            return Refusal(number, " | ".join(cells)[:1000], " ".join(error.messages)[:200])

    def _candidate(self, number: int, cells: list[str]) -> Candidate:
        said = self.reader(cells)
        if not said.choice:
            raise ValidationError(said.why)
        if said.choice == IN and self.wanted.opt_outs_only:
            raise ValidationError(LEFT_OUT)
        purpose, channel = self._scope(cells)
        identity = self._identity(cells, channel)
        decided_at = self._moment(said.choice, said.moment)
        return Candidate(number, identity, purpose, channel, said.choice, decided_at, said.why)

    def _scope(self, cells: list[str]) -> tuple[str, str]:
        purpose = cell(cells, self.purpose) or self.wanted.purpose
        if purpose not in self.wanted.purposes:
            raise ValidationError("No such purpose. Register it first, or use * for all.")
        word = cell(cells, self.channel)
        if not word:
            return purpose, self.wanted.channel
        channel = CHANNEL_WORDS.get(normal(word))
        if channel is None:
            raise ValidationError(f"No such channel. Known: {', '.join(Channel.values)}, or * for all.")
        return purpose, channel

    def _identity(self, cells: list[str], channel: str) -> Identity:
        for kind in BEFORE_OTHERS.get(channel, OTHERWISE):
            value = cell(cells, self.people.get(kind))
            if value:
                return _phone(value) if kind == Kind.PHONE else Identity.of(kind, value)
        raise ValidationError("It names nobody.")

    def _moment(self, choice: str, text: str) -> datetime | None:
        """An opt-out is taken whatever its date looks like, and counts from the import where it cannot be relied on."""
        try:
            moment = moment_of(text) if text else None
        except ValueError as error:
            if choice == OUT:
                return None
            raise ValidationError(str(error)) from error
        if moment is not None and EARLIEST <= moment <= self.wanted.now:
            return moment
        if choice == OUT:
            return None
        if moment is not None:
            raise ValidationError("the opt-in's time lies in the future or before the year 2000")
        if self.wanted.dated is None:
            raise ValidationError(NO_MOMENT)
        return None


def _phone(value: str) -> Identity:
    """A number; from a spreadsheet, which takes its plus away, one that is whole with it."""
    try:
        return Identity.of(Kind.PHONE, value)
    except ValidationError:
        if DIGITS.fullmatch(value) is None:
            raise
        return Identity.of(Kind.PHONE, f"+{value}")
