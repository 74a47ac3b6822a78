"""Who a notice goes to: people of an incident, people by what they chose, or people of a list. Nobody is made here."""

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from jsonschema import Draft202012Validator, FormatChecker

from consent import subjects
from consent.identifiers import Identity
from consent.models import ANY, Cause, Channel, Choice, Consent, Decision, Identifier
from messaging.models import Notice

MOST_LINES = 100_000
MOST_TOLD = 1000  # refused lines of a list that are told one by one
HEADINGS = frozenset({"email", "e-mail", "address", "user_id", "user id", "subject", "subject_id", "id"})
TEXT = {"type": "string", "minLength": 1, "maxLength": 50}
MOMENT = {"type": "string", "format": "date-time"}
QUERY = {
    "type": "object",
    "additionalProperties": False,
    "required": ["of"],
    "minProperties": 2,
    "properties": {
        "of": {"enum": ["standing", "ever"]},
        "purpose": TEXT,
        "channel": {"enum": [*Channel.values]},
        "choice": {"enum": [*Choice.values]},
        "cause": {"enum": [*Cause.values]},
        "exit_path": TEXT,
        "decided_from": MOMENT,
        "decided_to": MOMENT,
    },
}


@dataclass(frozen=True, slots=True)
class Provider:
    """A kind of cohort. `find` yields the ids of its people, some of them perhaps twice, or merged into one another.

    `choices` offers what a form may pick from, as (id, words), newest first.
    """

    find: Callable[[Notice], Iterable[UUID]]
    choices: Callable[[], list[tuple[int, str]]] = list


@dataclass(slots=True)
class Listed:
    """What a list turned out to name, and which of its lines name nobody: (number, why), never what they say."""

    subject_ids: list[UUID] = field(default_factory=list)
    lines: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)

    def as_cohort(self) -> dict[str, Any]:
        return {"lines": self.lines, "refused": len(self.refused), "told": self.refused[:MOST_TOLD]}


def find(notice: Notice) -> Iterable[UUID]:
    """The people of a notice. Raises ValidationError where nobody here knows such a cohort."""
    provider = COHORTS.get(notice.cohort_kind)
    if provider is None:
        raise ValidationError(f"No part of this product knows {notice.get_cohort_kind_display()}.")
    return provider.find(notice)


def check_query(query: Mapping[str, Any]) -> None:
    """Raises ValidationError for filters that are none. One at least is needed: a slip must not reach everybody."""
    if error := next(Draft202012Validator(QUERY, format_checker=FormatChecker()).iter_errors(dict(query)), None):
        where = "/".join(map(str, error.absolute_path))
        raise ValidationError(f"The filters of the cohort are not usable. {where}: {error.message}".replace(" :", ":"))
    for name in ("decided_from", "decided_to"):
        if name in query and _moment(query[name]).tzinfo is None:
            raise ValidationError(f"{name}: give the moment with its offset, like 2026-03-01T12:00:00+00:00.")


def by_query(query: Mapping[str, Any]) -> QuerySet[Any, UUID]:
    """People whose standing choice, or one of whose decisions, fits all filters.

    A purpose or channel also finds those who decided about all of them at once.
    """
    check_query(query)
    stands = query["of"] == "standing"
    found: QuerySet[Any] = Consent.objects.filter(state__isnull=False) if stands else Decision.objects.all()
    for name in ("purpose", "channel"):
        if name in query:
            found = found.filter(**{f"{name}__in": [query[name], ANY]})
    names = {
        "choice": "state" if stands else "choice",
        "cause": "cause",
        "exit_path": "decision__exit_path" if stands else "exit_path",
    }
    found = found.filter(**{column: query[name] for name, column in names.items() if name in query})
    if "decided_from" in query:
        found = found.filter(decided_at__gte=_moment(query["decided_from"]))
    if "decided_to" in query:
        found = found.filter(decided_at__lt=_moment(query["decided_to"]))
    return found.order_by().values_list("subject_id", flat=True).distinct()


def read_list(text: str) -> Listed:
    """Addresses, user ids or subject ids, the first cell of each line; two statements, whatever the length.

    Raises ValidationError for more than 100,000 lines.
    """
    listed = Listed()
    numbers: dict[int, UUID] = {}
    identities: dict[int, Identity] = {}
    for number, cell in _cells(text):
        listed.lines += 1
        if listed.lines > MOST_LINES:
            raise ValidationError(f"A list has at most {MOST_LINES:,} lines. Split it into several notices.")
        try:
            numbers[number] = UUID(cell)
            continue
        except ValueError:
            kind = Identifier.Kind.EMAIL if "@" in cell else Identifier.Kind.USER_ID
        try:
            identities[number] = Identity.of(kind, cell)
        except ValidationError as error:
            listed.refused.append((number, error.messages[0]))
    return _looked_up(listed, numbers, identities)


def _looked_up(listed: Listed, numbers: Mapping[int, UUID], identities: Mapping[int, Identity]) -> Listed:
    known = subjects.find(identities.values())
    roots = subjects.roots(numbers.values())
    found = {number: known.get((identity.kind, identity.digest)) for number, identity in identities.items()}
    found |= {number: roots.get(subject_id) for number, subject_id in numbers.items()}
    listed.subject_ids = sorted({subject_id for subject_id in found.values() if subject_id})
    listed.refused += [(number, "Nobody is known by this.") for number, subject_id in found.items() if not subject_id]
    listed.refused.sort()
    return listed


def _cells(text: str) -> Iterable[tuple[int, str]]:
    """Number and first cell of each line that has one; a heading is none."""
    lines = text.removeprefix("\ufeff").splitlines()
    delimiter = ";" if lines and ";" in lines[0] else ","
    try:
        for number, row in enumerate(csv.reader(lines, delimiter=delimiter), 1):
            cell = row[0].strip() if row else ""
            if cell and not (number == 1 and cell.lower() in HEADINGS):
                yield number, cell
    except csv.Error as error:
        raise ValidationError(f"The list cannot be read: {error}") from error


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ValidationError(f"{text} is not a moment like 2026-03-01T12:00:00+00:00.") from error


# By Notice.Kind. Apps above register what they know: incidents adds "incident" when it starts.
COHORTS: dict[str, Provider] = {
    Notice.Kind.QUERY: Provider(find=lambda notice: by_query(notice.cohort)),
    Notice.Kind.LIST: Provider(find=lambda notice: notice.listed),
}
