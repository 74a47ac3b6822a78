"""I3, I6, I7 and I8: that nobody is written to who left, what is owed goes out once, ways out work, and say why."""

from datetime import timedelta

from consent import flow
from consent.models import ExitPathMinute
from incidents import rates
from incidents.invariants.found import MOST, Found, Look, breached, idle, met
from incidents.invariants.looking import asked
from incidents.invariants.questions import Question
from incidents.models import ExitPathProbe
from messaging.gate import ALLOWED_ANYWAY

Outcome = ExitPathMinute.Outcome
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WORKING = 0.999
SLOWEST_MS = 5_000.0
UNKNOWN = 0.01
GRACE = timedelta(seconds=60)  # a mail that was on the wire when its person pressed

CONTACTED = Question(
    "I3",
    "contacted",
    "A message was accepted for somebody who had opted out",
    "messaging_deliveryattempt",
    "a.id",
    tx="ended_tx",
    # An opt-out that was in force all the grace through: the version of its key when that began, unless an explicit
    # opt-in at least as narrow came later and took effect before the message was accepted (consent.answers). Whoever
    # was merged is known by both subjects from then on.
    wrong="""
        SELECT a.id, a.ended_at, 'message ' || m.id || ' about ' || m.purpose || '/' || m.channel
          FROM messaging_deliveryattempt a
          JOIN messaging_message m ON m.id = a.message_id
          JOIN consent_subject s ON s.id = m.subject_id
         CROSS JOIN LATERAL (
           SELECT k.id, k.purpose, k.channel FROM consent_consent k
            WHERE k.purpose IN (m.purpose, '*') AND k.channel IN (m.channel, '*')
              AND (k.subject_id = s.id OR k.subject_id = s.merged_into_id AND EXISTS (
                    SELECT FROM consent_subjectmerge g WHERE g.merged_id = s.id AND g.merged_at < a.ended_at))) k
         CROSS JOIN LATERAL (
           SELECT h.state, h.explicit, h.decided_at FROM consent_historicalconsent h
            WHERE h.id = k.id AND h.changed_at + %(grace)s < a.ended_at ORDER BY h.version DESC LIMIT 1) held
         WHERE {rows} AND a.outcome = 'accepted' AND m.purpose <> ''
           AND NOT m.message_class = ANY (%(allowed)s)
           AND NOT (m.message_class = 'consent_update' AND m.decision_id IS NOT NULL)
           AND NOT EXISTS (SELECT FROM consent_purpose p WHERE p.code = m.purpose AND p.regime = 'mandatory')
           AND held.state = 'opt_out' AND held.explicit
           AND NOT EXISTS (
             SELECT FROM consent_consent o JOIN consent_historicalconsent n ON n.id = o.id
              WHERE o.subject_id IN (s.id, s.merged_into_id)
                AND o.purpose IN (m.purpose, '*') AND o.channel IN (m.channel, '*')
                AND k.purpose IN (o.purpose, '*') AND k.channel IN (o.channel, '*')
                AND n.state = 'opt_in' AND n.explicit AND n.decided_at > held.decided_at AND n.changed_at <= a.ended_at)
         GROUP BY a.id, m.id""",
    facts=lambda: {"grace": GRACE, "allowed": [str(each) for each in ALLOWED_ANYWAY]},
)
# A service reports after the fact, perhaps hours later: the state at the moment of the contact counts. `o` is the
# version of a covering key that held a grace before it, where it was the person's own no and nothing of theirs took it
# back before the contact.
REPORTED = Question(
    "I3",
    "reported",
    "A service contacted somebody who had opted out",
    "messaging_contact",
    "k.id",
    tx="tx",
    wrong="""
        SELECT k.id, k.contacted_at, 'contact ' || k.id || ' by ' || k.service || ' about ' || k.purpose || '/'
               || k.channel || ', against decision ' || coalesce(o.decision_id, 0)
          FROM messaging_contact k
          LEFT JOIN consent_identifier i ON i.kind = k.kind AND i.digest = k.digest
          JOIN consent_subject s ON s.id = coalesce(k.subject_id, i.subject_id)
          JOIN consent_purpose p ON p.code = k.purpose AND p.regime <> 'mandatory'
         CROSS JOIN LATERAL (
           SELECT v.decision_id FROM consent_consent c
            CROSS JOIN LATERAL (
              SELECT h.state, h.explicit, h.decided_at, h.decision_id FROM consent_historicalconsent h
               WHERE h.id = c.id AND h.changed_at <= k.contacted_at - %(grace)s ORDER BY h.version DESC LIMIT 1) v
            WHERE c.subject_id IN (s.id, s.merged_into_id) AND c.purpose IN (k.purpose, '*')
              AND c.channel IN (k.channel, '*') AND v.state = 'opt_out' AND v.explicit
              AND NOT EXISTS (
                SELECT FROM consent_consent n JOIN consent_historicalconsent y ON y.id = n.id
                 WHERE n.subject_id IN (s.id, s.merged_into_id) AND n.purpose IN (k.purpose, '*')
                   AND n.channel IN (k.channel, '*') AND y.state = 'opt_in' AND y.explicit
                   AND y.decided_at > v.decided_at AND y.changed_at <= k.contacted_at)
            LIMIT 1) o
         WHERE {rows}""",
    facts=lambda: {"grace": GRACE},
)
TWICE = Question(
    "I6",
    "twice",
    "A message was accepted twice and nobody marked it",
    "messaging_deliveryattempt",
    "a.id",
    tx="ended_tx",
    wrong="""
        SELECT a.id, coalesce(a.ended_at, a.started_at), 'message ' || m.id || ', attempt ' || a.number
          FROM messaging_deliveryattempt a JOIN messaging_message m ON m.id = a.message_id
         WHERE {rows} AND a.outcome = 'accepted' AND NOT m.possible_duplicate
           AND EXISTS (SELECT FROM messaging_deliveryattempt b
                        WHERE b.message_id = a.message_id AND b.number < a.number AND b.outcome = 'accepted')""",
)
# What its reader has not come to yet is not missing: how far that is behind is I4's.
OWED = Question(
    "I6",
    "owed",
    "An opt-out has no confirmation",
    "consent_decision",
    "d.id",
    tx="tx",
    until="(tx, id) <= (SELECT coalesce(max(f.tx), 0), coalesce(max(f.decision), 0) FROM consent_feedcursor f "
    "WHERE f.reader = 'confirmations')",
    wrong="""
        SELECT d.id, d.received_at, 'decision ' || d.id FROM consent_decision d
         WHERE {rows} AND d.explicit AND d.choice = 'opt_out' AND d.cause <> 'repair'
           AND NOT EXISTS (SELECT FROM messaging_message m
                            WHERE m.decision_id = d.id AND m.message_class = 'confirmation')""",
)


def nobody_is_contacted_after(look: Look) -> Found:
    """I3. No message was accepted for somebody who had left a minute before; nor was one reported by a service."""
    return asked(look, CONTACTED, REPORTED)


def messages_are_sent_once(look: Look) -> Found:
    """I6. Each opt-out has its confirmation; what was accepted twice was marked as a possible duplicate. A message
    that is not sent is a row with a state: it is visible by being there."""
    return asked(look, OWED, TWICE)


def ways_out_work(look: Look) -> Found:
    """I7. Each way out that was used in the last hour, or tried in the last day."""
    used = [one for one in flow.health(look.now - HOUR, look.now) if _tries(one) or one.p99_ms is not None]
    tried = _tried(look)
    if not used and not tried:
        return idle("No way out was used in the last hour, nor tried in the last day.")
    bad = {path: "broken when last tried" for path, verdict in tried.items() if verdict == "breached"}
    for one in used:
        share = one.count(Outcome.FAILED) / max(1, _tries(one))
        if share > 1 - WORKING:
            bad[one.exit_path] = f"{one.count(Outcome.FAILED)} of {_tries(one)} failed"
        elif one.p99_ms is not None and one.p99_ms > SLOWEST_MS:
            bad[one.exit_path] = f"p99 {one.p99_ms / 1000:.1f} s"
    if not bad:
        return met(f"{len({one.exit_path for one in used} | set(tried))} ways out work")
    words = "; ".join(f"{path}: {what}" for path, what in sorted(bad.items()))
    return breached(len(bad), words[:500], offenders=[f"exit-path:{path}" for path in sorted(bad)][:MOST])


def _tries(one: flow.Health) -> int:
    """Uses whose end is ours: done, or failed."""
    return one.count(Outcome.COMPLETED) + one.count(Outcome.FAILED)


def _tried(look: Look) -> dict[str, str]:
    """The last answer of each way out that was tried; what could not be measured is no answer."""
    ended = ExitPathProbe.objects.filter(started_at__gt=look.now - DAY, verdict__in=[*ExitPathProbe.WORKS, "breached"])
    newest = ended.order_by("exit_path_id", "-started_at").distinct("exit_path_id")
    return dict(newest.values_list("exit_path_id", "verdict"))


def causes_are_known(look: Look) -> Found:
    """I8. Of the last day's real opt-outs."""
    known = rates.known(look.now - DAY, look.now)
    if known.share is None:
        return idle("Nobody opted out in the last day.")
    observed = f"{known.share:.1%} of {known.total:,} unknown"
    if known.share <= UNKNOWN:
        return met(observed, known.total)
    words = f"Nobody knows why {known.unexplained:,} of {known.total:,} people left: see Causes found."
    return Found("breached", known.unexplained, observed, words, looked_at=known.total)
