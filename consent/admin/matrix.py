"""What holds for a person, as a table of purposes by channels: each cell is the answer that a sender would get."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from consent.answers import Covering, answer
from consent.facts import CHANNELS, scope_in_words
from consent.models import ANY, Channel, Consent, Purpose

STATES = {"opted_out": "opt_out", "opted_in": "opt_in"}


@dataclass(frozen=True, slots=True)
class Cell:
    """`ruling` is the choice that decides here; `wider` names its scope where that is not the cell's own."""

    state: str | None = None
    ruling: Consent | None = None
    wider: str = ""


def matrix(ids: list[UUID]) -> dict[str, Any]:
    """`ids`: the subject that speaks for the person, then those merged into it. Two statements.

    Only what somebody decided about is shown, so that a page is as short as the person's story.
    """
    # After a merge the subject that speaks for the person is the one that counts: it comes last, and wins.
    known = sorted(Consent.objects.filter(subject__in=ids, state__isnull=False), key=lambda c: c.subject_id == ids[0])
    consents = {(consent.purpose, consent.channel): consent for consent in known}
    purposes = {purpose.code: purpose for purpose in Purpose.objects.all()}
    codes = [ANY, *purposes]
    rows = [code for code in codes if any(code == purpose for purpose, _ in consents)]
    columns = [code for code in (ANY, *Channel.values) if any(code == channel for _, channel in consents)]
    return {
        "channels": [str(CHANNELS[code]) for code in columns],
        "rows": [
            (
                purposes[row].name if row in purposes else "All purposes",
                [_cell(consents, row, column, purposes.get(row)) for column in columns],
            )
            for row in rows
        ],
    }


def _cell(consents: dict[tuple[str, str], Consent], purpose: str, channel: str, known: Purpose | None) -> Cell:
    covering = [c for (p, ch), c in consents.items() if p in (purpose, ANY) and ch in (channel, ANY)]
    regime = known.regime if known else Purpose.Regime.OPT_IN
    given = answer(regime, [_covering(consent) for consent in covering])
    ruling = next((consent for consent in covering if consent.decision_id == given.decision), None)
    if ruling is None:
        return Cell()
    own = (ruling.purpose, ruling.channel) == (purpose, channel)
    return Cell(STATES.get(given.state), ruling, "" if own else scope_in_words(ruling.purpose, ruling.channel))


def _covering(consent: Consent) -> Covering:
    """A row that somebody decided: those without a state were left out."""
    if consent.state is None or consent.decided_at is None or consent.decision_id is None:
        raise ValueError("Nobody decided this.")
    return Covering(
        consent.purpose, consent.channel, consent.state, consent.explicit, consent.decided_at, consent.decision_id
    )
