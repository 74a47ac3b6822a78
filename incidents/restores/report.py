"""What is told about a restore: what was put back, what is gone for good, and which moments nobody can vouch for."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.utils import timezone

from consent.restoring import Comparison
from incidents.models import Restore


def uncovered(
    copy_at: datetime | None, journal_began_at: datetime | None, newest_at: datetime | None, found_at: datetime
) -> list[dict[str, Any]]:
    """Spans about which the journal knows nothing: before it began, where the copy is older than that, and after its
    last line of what was lost. `from` is None where the copy held no choice at all."""
    spans = []
    if journal_began_at is None:
        spans.append(_span(copy_at, found_at, "there is no journal"))
    else:
        if copy_at is None or copy_at < journal_began_at:
            spans.append(_span(copy_at, journal_began_at, "the journal does not reach back so far"))
        since = max(filter(None, [newest_at, copy_at]), default=None)
        if newest_at is None or newest_at < found_at:
            spans.append(_span(since, found_at, "after the last opt-out that the journal had"))
    return spans


def as_row(compared: Comparison) -> dict[str, Any]:
    """A comparison as a restore keeps it, under the journal's name."""
    return {"at": timezone.now().isoformat(), **asdict(compared)}


def replayed(restore: Restore, compared: Comparison) -> str:
    """A line of the timeline: all that was put back so far, and what was not."""
    were = "was" if restore.opt_outs == 1 else "were"
    whose = _counted(restore.people, "person", "people")
    said = [f"{_counted(restore.opt_outs, 'opt-out')} of {whose} {were} missing and put back"]
    if restore.people_made:
        said.append(f"{_counted(restore.people_made, 'person', 'people')} of them unknown to the copy")
    if restore.erased:
        said.append(f"{_counted(restore.erased, 'person', 'people')} erased again")
    text = f"{', '.join(said)}. {_compared(compared)}"
    if restore.lost:
        text += f" Not to be put back, at most: {lost_in_words(restore.lost)}."
    if restore.uncovered:
        text += f" Nobody can vouch for: {uncovered_in_words(restore.uncovered)}."
    if restore.counter_is_behind:
        text += " The server's transaction counter is behind the log: set it forward with pg_resetwal."
    return text


def lost_in_words(lost: dict[str, int]) -> str:
    """Numbers that the copy does not have, by kind."""
    return ", ".join(f"{name} {count:,}" for name, count in lost.items())


def uncovered_in_words(spans: Iterable[dict[str, Any]]) -> str:
    return "; ".join(_span_in_words(span) for span in spans)


def told_in_words(told: dict[str, str]) -> str:
    """Services whose own log knows events that ours does not."""
    return ", ".join(f"{endpoint} up to {event}" for endpoint, event in sorted(told.items()))


def obstacles(restore: Restore) -> Iterator[str]:
    """Why nobody may let go yet, as far as the journals were compared."""
    if restore.state == Restore.State.FOUND:
        yield "Opt-outs are still being put back."
    for name, found in restore.journals.items():
        if found["missing"] or found["erasures_missing"]:
            yield (
                f"Journal {name} has {_counted(found['missing'], 'opt-out')} and "
                f"{_counted(found['erasures_missing'], 'erasure')} that the database does not have."
            )
        if found["unreadable"] > found["files"]:
            yield (
                f"Journal {name} has {_counted(found['unreadable'], 'line')} that cannot be read, more than crashes "
                "cut off. Bring back the PRIVACY_KEY that they were sealed by. Where nobody has it, look elsewhere for "
                "who left, move their files out of SPOOL_DIR/opt-outs, and let go again."
            )


def _compared(compared: Comparison) -> str:
    if not compared.is_equal:
        return (
            f"{_counted(compared.missing, 'opt-out')} and {_counted(compared.erasures_missing, 'erasure')} of the "
            "journal are still missing."
        )
    unread = f", and {_counted(compared.unreadable, 'line')} that cannot be read" if compared.unreadable else ""
    return f"The database now holds all {_counted(compared.lines, 'line')} of the journal{unread}."


def _span(start: datetime | None, end: datetime, why: str) -> dict[str, Any]:
    return {"from": start and start.isoformat(), "to": end.isoformat(), "why": why}


def _span_in_words(span: dict[str, Any]) -> str:
    start = f"{datetime.fromisoformat(span['from']):%Y-%m-%d %H:%M:%S}" if span["from"] else "the beginning"
    return f"{start} to {datetime.fromisoformat(span['to']):%Y-%m-%d %H:%M:%S} UTC ({span['why']})"


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
