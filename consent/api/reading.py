"""From JSON to drafts of decisions and to people: types and identifiers; the rules are `consent.validation`'s."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, TypeGuard
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils import timezone

from config.problems import Fault, escape
from config.text import CONTROL
from consent.identifiers import Identity
from consent.models import ANY, Cause, Channel, Identifier
from consent.recording import NewDecision

KINDS = frozenset(Identifier.Kind.values)
CODE = re.compile(r"[a-z][a-z0-9_-]{1,49}")
REASON = re.compile(r"[a-z0-9_.-]{1,50}")
ESCAPED_CONTROL = re.compile(r"\\u00[01]")  # as json.dumps writes them
CHANNELS = frozenset(Channel.values)
CAUSES = frozenset(Cause.values) - {Cause.REPAIR}  # a repair is the product's own

NEEDED = ("subject", "purpose", "channel", "choice", "cause")
TEXTS = ("purpose", "channel", "choice", "cause", "exit_path", "locale", "notice_version")
OTHERS = ("subject", "decided_at", "explicit", "confidence", "reasons", "evidence")
FIELDS = frozenset([*TEXTS, *OTHERS])
NEEDED_FIELDS = frozenset(NEEDED)
USUAL_FIELDS = frozenset([*TEXTS, "subject", "decided_at"])
MOST_TEXT = 200
MOST_REASONS = 10
MOST_EVIDENCE = 8192  # bytes of JSON

Subject = UUID | list[Identity]


def draft_of(data: Any, *, actor: str, at: str = "") -> NewDecision | list[Fault]:
    """The draft, or everything that is wrong with the entry; `at` is the pointer to it."""
    if not isinstance(data, dict):
        return [Fault(at, "invalid", "Send an object: subject, purpose, channel, choice, cause.")]
    faults = [] if _is_in_order(data) else list(_shape(data, at))
    subject: Subject = []
    if "subject" in data:
        subject, wrong = subject_of(data["subject"], at + "/subject")
        faults += wrong
    decided_at = moment_of(data["decided_at"]) if "decided_at" in data else timezone.now()
    if decided_at is None:
        faults.append(Fault(at + "/decided_at", "invalid", "Give a moment like 2026-03-01T12:00:00Z."))
    if faults or decided_at is None:
        return faults
    return NewDecision(
        subject=subject,
        purpose=data["purpose"],
        channel=data["channel"],
        choice=data["choice"],
        cause=data["cause"],
        explicit=data.get("explicit", True),
        decided_at=decided_at,
        is_now="decided_at" not in data,
        actor=actor,
        exit_path=data.get("exit_path", ""),
        confidence=data.get("confidence", 100),
        reasons=data.get("reasons", ()),
        notice_version=data.get("notice_version", ""),
        locale=data.get("locale", ""),
        evidence=data.get("evidence"),
    )


def _is_in_order(data: Mapping[str, Any]) -> bool:
    """One look at what nearly every entry is: the fields that are needed, plain texts, known codes."""
    if not (NEEDED_FIELDS <= data.keys() <= USUAL_FIELDS):
        return False
    try:
        text = "".join([data[name] for name in TEXTS if name in data])
        purpose, path = data["purpose"], data.get("exit_path", "")
        return (
            len(text) <= MOST_TEXT
            and not CONTROL.search(text)
            and data["cause"] in CAUSES
            and (purpose == ANY or CODE.fullmatch(purpose) is not None)
            and (not path or CODE.fullmatch(path) is not None)
        )
    except TypeError:  # something is not a text: `_shape` says what
        return False


def _shape(data: Mapping[str, Any], at: str) -> Iterator[Fault]:
    for name in NEEDED:
        if name not in data:
            yield Fault(f"{at}/{name}", "required", f"Name the {name}.")
    if not FIELDS.issuperset(data):
        for name in sorted(set(data) - FIELDS):
            yield Fault(f"{at}/{escape(name)[:MOST_TEXT]}", "unknown_field", "There is no such field.")
    for name in TEXTS:
        if name in data:
            yield from _text(data[name], f"{at}/{name}")
    yield from _codes(data, at)
    if not isinstance(data.get("explicit", True), bool):
        yield Fault(f"{at}/explicit", "invalid", "Send true or false.")
    confidence = data.get("confidence", 100)
    if type(confidence) is not int or not 0 <= confidence <= 100:
        yield Fault(f"{at}/confidence", "invalid", "Confidence is a percentage from 0 to 100.")
    if "reasons" in data and not _are_reasons(data["reasons"]):
        detail = f"At most {MOST_REASONS} codes of lower-case letters, digits, '.', '-' and '_'."
        yield Fault(f"{at}/reasons", "invalid", detail)
    if data.get("evidence") is not None:
        yield from _evidence(data["evidence"], f"{at}/evidence")


def _text(value: Any, at: str) -> Iterator[Fault]:
    if not isinstance(value, str):
        yield Fault(at, "invalid", "Send a text.")
    elif len(value) > MOST_TEXT:
        yield Fault(at, "too_long", f"At most {MOST_TEXT} characters.")
    elif CONTROL.search(value):
        yield Fault(at, "control_characters", "Remove the control characters.")


def _codes(data: Mapping[str, Any], at: str) -> Iterator[Fault]:
    """Codes that no row can have are unknown without a look into the database."""
    purpose, path, cause = data.get("purpose"), data.get("exit_path"), data.get("cause")
    if _is_plain(purpose) and purpose != ANY and not CODE.fullmatch(purpose):
        yield Fault(f"{at}/purpose", "unknown", "No such purpose. Register it first, or use * for all.")
    if _is_plain(path) and path and not CODE.fullmatch(path):
        yield Fault(f"{at}/exit_path", "unknown", "No such exit path. Register it first.")
    if _is_plain(cause) and cause not in CAUSES:
        yield Fault(f"{at}/cause", "unknown", f"No such cause. Known: {', '.join(sorted(CAUSES))}.")


def _is_plain(value: Any) -> TypeGuard[str]:
    """Others have been told what is wrong with them."""
    return isinstance(value, str) and len(value) <= MOST_TEXT and not CONTROL.search(value)


def _are_reasons(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MOST_REASONS
        and all(isinstance(reason, str) and REASON.fullmatch(reason) for reason in value)
    )


def _evidence(value: Any, at: str) -> Iterator[Fault]:
    """JSON that the database can keep: no NaN, no NUL, no half of a surrogate pair, and not a novel."""
    if not isinstance(value, dict):
        yield Fault(at, "invalid", "Send an object.")
        return
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
    except (ValueError, RecursionError):
        yield Fault(at, "invalid", "Send JSON without NaN, infinity, lone surrogates or deep nesting.")
        return
    if size > MOST_EVIDENCE:
        yield Fault(at, "too_long", f"At most {MOST_EVIDENCE} bytes of JSON: keep documents elsewhere and name them.")
    elif ESCAPED_CONTROL.search(text):
        yield Fault(at, "control_characters", "Remove the control characters.")


def subject_of(data: Any, at: str) -> tuple[Subject, list[Fault]]:
    """A known subject's id, or the identifiers of one person."""
    if not isinstance(data, dict) or not data:
        return [], [Fault(at, "invalid", "Name the person: email, phone, user_id or id.")]
    identities: list[Identity] = []
    faults: list[Fault] = []
    for kind, value in data.items():
        found = _known_by(kind, value)
        if isinstance(found, Fault):
            faults.append(Fault(f"{at}/{escape(kind)[:MOST_TEXT]}", found.code, found.detail))
        elif isinstance(found, UUID):
            if len(data) > 1:
                detail = "Send the id alone. To link identifiers, send the identifiers."
                faults.append(Fault(f"{at}/id", "invalid", detail))
            else:
                return found, []
        else:
            identities.append(found)
    return identities, faults


def _known_by(kind: str, value: Any) -> Identity | UUID | Fault:
    if kind not in KINDS and kind != "id":
        return Fault("", "unknown_field", "Name the person by email, phone, user_id or id.")
    if not isinstance(value, str):
        return Fault("", "invalid", "Send a text.")
    if kind == "id":
        return uuid_of(value) or Fault("", "invalid", "Send the id as this interface gave it.")
    try:
        return Identity.of(kind, value)
    except ValidationError as error:
        return Fault("", error.code or "invalid", str(error.message))


def uuid_of(value: str) -> UUID | None:
    try:
        return UUID(value) if len(value) == 36 else None
    except ValueError:
        return None


def moment_of(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


def is_question(value: Any, known: frozenset[str] | re.Pattern[str]) -> TypeGuard[str]:
    """A code that a question can name: `*` is an answer."""
    if not isinstance(value, str):
        return False
    return bool(known.fullmatch(value)) if isinstance(known, re.Pattern) else value in known
