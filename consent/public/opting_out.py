"""An opt-out that holds once it is answered: recorded once while it stands, and again where the person had come back.

A link may be pressed twice, by two servers at once, or a year after its person opted back in. So a press carries an
idempotency key; a repeated one looks whether the opt-out still stands, and where it does not, records another under a
key that ends in the decision it answers. Twenty presses at once make the same key, and so one decision.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db import connection

from consent.group_commit import record_one
from consent.models import ANY, Choice
from consent.recording import NewDecision
from consent.refusals import DecisionsRefused, Problem

# Explicit opt-ins in narrower keys count too: "stop everything" does not stand while a later yes to one thing does.
STANDING = """
    SELECT coalesce(max(c.decision_id), 0), max(c.decided_at),
           coalesce(max(c.decided_at) FILTER (WHERE c.explicit AND c.state = 'opt_out'
                                              AND (c.purpose, c.channel) = (q.purpose, q.channel))
                    >= coalesce(max(c.decided_at) FILTER (WHERE c.explicit AND c.state = 'opt_in'), '-infinity'), false)
      FROM (SELECT %s::uuid, %s::text, %s::text) AS q(subject_id, purpose, channel)
      JOIN consent_subject s ON s.id = q.subject_id
      LEFT JOIN consent_consent c ON c.subject_id = coalesce(s.merged_into_id, s.id) AND c.state IS NOT NULL
           AND q.purpose IN (c.purpose, '*') AND q.channel IN (c.channel, '*')
     GROUP BY s.id
"""
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Standing:
    """What is stored within a scope: the newest decision there, when it was made, whether an explicit no rules it."""

    newest: int
    since: datetime | None
    is_out: bool


class DoesNotHold(Exception):
    """Recorded, and yet somebody else's newer choice rules each time: say so rather than answer that it is done."""


def standing(subject_id: UUID, purpose: str, channel: str) -> Standing:
    """Raises DecisionsRefused where nobody knows the subject."""
    with connection.cursor() as cursor:
        cursor.execute(STANDING, [subject_id, purpose, channel])
        if row := cursor.fetchone():
            return Standing(*row)
    raise DecisionsRefused([Problem(0, "subject/id", "unknown", "No such subject.")])


def press(draft: NewDecision) -> bool:
    """Opt out by a link, without a look beforehand; False where its press changes nothing any more."""
    recorded = record_one(draft)
    if (
        not recorded.replayed
        and recorded.effective.state == Choice.OPT_OUT
        and ANY not in (draft.purpose, draft.channel)
    ):
        return True
    return opt_out_once(draft) or not recorded.replayed


def opt_out_once(draft: NewDecision) -> bool:
    """Opt out unless that stands already; `draft.idempotency_key` names the wish. False where nothing was recorded."""
    if not isinstance(draft.subject, UUID):
        raise TypeError("Name the subject by its id.")
    was_recorded = False
    for _ in range(ATTEMPTS):
        now = standing(draft.subject, draft.purpose, draft.channel)
        if now.is_out:
            return was_recorded
        again = replace(
            draft,
            idempotency_key=f"{draft.idempotency_key}:{now.newest}",
            # A service's clock may run ahead of ours: equal times resolve to out, an earlier one would lose.
            decided_at=max(draft.decided_at, now.since or draft.decided_at),
        )
        was_recorded |= not record_one(again).replayed
    if standing(draft.subject, draft.purpose, draft.channel).is_out:
        return was_recorded
    raise DoesNotHold(draft.idempotency_key)
