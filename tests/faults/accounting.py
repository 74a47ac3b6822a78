"""The books of a night: what was owed, what the database says became of it, and what the mail server really took."""

from collections import Counter

import psycopg

from tests.faults.sink import Sink

ON_THE_WAY = {"pending", "ready", "sending", "retry_wait"}
OWED = """
    SELECT d.id, i.lookup, m.id::text, m.state, m.delivery, m.possible_duplicate, m.last_error,
           (SELECT string_agg(a.number || ' ' || a.phase || ' ' || coalesce(nullif(a.outcome, ''), 'open'), ', '
                              ORDER BY a.number)
              FROM messaging_deliveryattempt a WHERE a.message_id = m.id)
      FROM consent_decision d
      LEFT JOIN messaging_message m ON m.decision_id = d.id
      LEFT JOIN LATERAL (SELECT left(encode(digest, 'hex'), 8) AS lookup FROM consent_identifier
                          WHERE subject_id = d.subject_id LIMIT 1) i ON true
     WHERE d.explicit AND d.choice = 'opt_out'
     ORDER BY d.id
"""


def account(sink: Sink, database: psycopg.Connection, *, owed: int, at_rest: bool = True) -> Counter[str]:
    """How many messages are in which state, after checking that nothing was lost, sent twice or told wrong.

    Owed = accepted + a rest that is visible by its state; each Message-ID reached the server once at most, but for
    those that say themselves that they may be duplicates; what is accepted is there, and what is there is accepted or
    in doubt; and of its delivery, which nobody reported, nothing is said. `at_rest`: nothing is on its way any more.
    """
    rows = database.execute(OWED).fetchall()
    wrong = [f"{len(rows)} were owed, not {owed}"] if len(rows) != owed else []
    known = set()
    for decision, person, message, state, delivery, possible_duplicate, last_error, attempts in rows:
        known.add(message)
        times = sink.taken[message]
        what = _wrong(message, state, possible_duplicate, times, at_rest)
        if not what and delivery != "none":
            what = f"said to be {delivery}, which nobody reported"
        if what:
            wrong.append(
                f"decision {decision} of {person}: {what}; message {message} is {state}, taken {times} times, "
                f"attempts: {attempts or 'none'}{f', last: {last_error}' if last_error else ''}"
            )
    wrong += [f"a mail that nobody owed: {message}" for message in set(sink.taken) - known]
    assert not wrong, f"{len(wrong)} of {owed} went wrong:\n" + "\n".join(wrong[:20])
    return Counter(state for _, _, _, state, *_ in rows)


def _wrong(message: str | None, state: str, possible_duplicate: bool, times: int, at_rest: bool) -> str:
    if message is None:
        return "no confirmation was written down"
    if times > 1 and not possible_duplicate:
        return "sent more than once, and nothing says so"
    if times > 2:
        return "a doubt is resolved by sending again once, not more often"
    if state == "accepted" and not times:
        return "said to be accepted, and never arrived"
    if times and not possible_duplicate and state not in ("accepted", "in_doubt") and (at_rest or state != "sending"):
        return "it arrived, and may be sent again as if it had not"
    if at_rest and state in ON_THE_WAY:
        return "still on its way"
    return ""
