"""Calls that asked for an opt-out and were not served: kept for support, as far as it can be read whose wish it was."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard
from uuid import UUID

from consent import interrupted
from consent.api.reading import CODE, subject_of
from consent.exit_paths import API
from consent.identifiers import Identity
from consent.interrupted import Attempt
from consent.models import ANY
from consent.recording import NewDecision
from consent.validation import CHANNELS

PLACE = "POST /api/v1/decisions/"


def keep_refused(refused: Sequence[tuple[Mapping[str, Any], str, str]]) -> None:
    """(the entry, the code of what is wrong with it, in words), for entries that name somebody in spite of it."""
    attempts = []
    for entry, code, words in refused:
        person = _person(entry.get("subject"))
        purpose, channel, path = (entry.get(name) for name in ("purpose", "channel", "exit_path"))
        attempts.append(
            Attempt(
                exit_path=path if _is_code(path) else API,
                place=PLACE,
                error_code=code,
                error=words,
                person=person,
                purpose=ANY if purpose == ANY else purpose if _is_code(purpose) else "",
                channel=channel if isinstance(channel, str) and channel in CHANNELS else "",
                is_ours=False,
            )
        )
    interrupted.keep(attempts)


def keep_untaken(drafts: Sequence[NewDecision], error: Exception) -> None:
    """Neither the database nor the disk took them. The service is told so too, and may well try again: the same
    choice twice does no harm."""
    interrupted.keep(
        [
            Attempt(
                exit_path=draft.exit_path or API,
                place=PLACE,
                error_code=type(error).__name__,
                error=str(error),
                person=draft.subject if isinstance(draft.subject, UUID) else draft.subject[0],
                purpose=draft.purpose,
                channel=draft.channel,
                is_certain=True,
                at=draft.decided_at,
            )
            for draft in drafts
        ]
    )


def _person(subject: Any) -> UUID | Identity | None:
    found, _ = subject_of(subject, "")
    return found if isinstance(found, UUID) else found[0] if found else None


def _is_code(text: Any) -> TypeGuard[str]:
    return isinstance(text, str) and CODE.fullmatch(text) is not None
