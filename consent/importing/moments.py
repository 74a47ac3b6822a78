"""When somebody decided, as files of other senders write it. What names no zone is read as UTC."""

import re
from datetime import UTC, datetime

SECONDS = re.compile(r"\d{9,10}(\.0+)?")
MILLISECONDS = re.compile(r"\d{12,13}")
# Day, month and year by dots is the same day everywhere; by slashes it depends on who wrote it.
DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:,?\s+(\d{1,2}):(\d{2})(?::(\d{2}))?)?")
SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?:,?\s+(\d{1,2}):(\d{2})(?::(\d{2}))?\s*([AaPp][Mm])?)?")
ZONE_IN_WORDS = re.compile(r"\s*(UTC|GMT|Z)$", re.IGNORECASE)


def moment_of(text: str) -> datetime:
    """Raises ValueError, in words, where it is no moment or could be two.

    ISO 8601 with a space or a T (Mailchimp, Braze), Unix seconds (SendGrid) and milliseconds, 31.12.2026 14:00, and
    12/31/2026 where day and month cannot be mistaken for one another.
    """
    text = text.strip()
    try:
        if text[4:5] == "-" and text[-1:].isdigit():  # what nearly every moment looks like
            moment = datetime.fromisoformat(text)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if SECONDS.fullmatch(text):
            return datetime.fromtimestamp(float(text), UTC)
        if MILLISECONDS.fullmatch(text):
            return datetime.fromtimestamp(int(text) / 1000, UTC)
        if found := DOTTED.fullmatch(text):
            day, month, year, hour, minute, second = (int(part or 0) for part in found.groups())
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        if found := SLASHED.fullmatch(text):
            return _slashed(*found.groups())
        moment = datetime.fromisoformat(ZONE_IN_WORDS.sub("+00:00", text))
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError) as error:
        words = (
            str(error) if isinstance(error, Ambiguous) else "the time cannot be read: write it like 2026-03-01 12:00"
        )
        raise ValueError(words) from error


class Ambiguous(ValueError):
    pass


def _slashed(first: str, second: str, year: str, hour: str | None, *rest: str | None) -> datetime:
    minute, second_of_minute, half = rest
    month, day = int(first), int(second)
    if month != day and month <= 12 and day <= 12:
        raise Ambiguous("the time can be read in two ways: write it like 2026-03-01 12:00")
    if month > 12:
        month, day = day, month
    hours = int(hour or 0)
    if half:
        hours = hours % 12 + (12 if half.lower() == "pm" else 0)
    return datetime(int(year), month, day, hours, int(minute or 0), int(second_of_minute or 0), tzinfo=UTC)
