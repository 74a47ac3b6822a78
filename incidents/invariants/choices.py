"""I1, I2, I4, I5 and I10: a choice is kept, stands, is what the log says, its history whole, its writer known."""

from datetime import timedelta

from django.db import connection
from django.db.models import Q

from consent import drift, spool
from consent.models import InterruptedOptOut
from incidents.invariants import guards, standing
from incidents.invariants.found import MOST, Found, Look, Row, Verdict, breached, met, unmeasured
from incidents.invariants.looking import asked, untold
from incidents.invariants.questions import (
    ANSWERED,
    CHAIN,
    FORGED,
    GAP,
    LOST,
    ORPHAN,
    REVERSED,
    UNGUARDED,
    UNTOLD,
)
from incidents.models import DetectionCursor
from messaging.models import Endpoint
from messaging.propagation.reconciliation import standings

SOON = timedelta(seconds=60)
PATIENCE = timedelta(minutes=5)  # for what is recorded by itself once a way out works again
ROUND_IS_OLD = timedelta(minutes=10)
ROUND = "sweep:drift:round"

# Of each reader the first row that it has not dealt with.
BEHIND = """
    SELECT c.reader FROM consent_feedcursor c
     CROSS JOIN LATERAL (
       SELECT d.received_at FROM consent_decision d WHERE (d.tx, d.id) > (c.tx, c.decision) ORDER BY d.tx, d.id LIMIT 1
     ) first WHERE c.reader NOT LIKE 'changes:%%' AND first.received_at < %(before)s
    UNION ALL
    SELECT c.reader FROM consent_feedcursor c
     CROSS JOIN LATERAL (
       SELECT h.changed_at FROM consent_historicalconsent h WHERE (h.tx, h.history_id) > (c.tx, c.decision)
        ORDER BY h.tx, h.history_id LIMIT 1
     ) first WHERE c.reader LIKE 'changes:%%' AND first.changed_at < %(before)s
    ORDER BY 1
"""


def opt_outs_are_kept(look: Look) -> Found:
    """I1. Whatever was answered is in the log: by the stored answers, by the history, and by what lies on disk."""
    if look.scope == "keys":
        return asked(look, LOST)
    return asked(look, LOST, ANSWERED).and_(_on_disk(look)).and_(_promised(look))


def _on_disk(look: Look) -> Found:
    """Opt-outs that were answered while the database was away, and are not in it although it is there."""
    rows = [
        Row(f"I1:refused:{digest}", at, f"I1: {words}", "An opt-out that was answered could not be recorded")
        for digest, at, words in spool.refused()
    ]
    since = spool.waiting_since()
    late = spool.waiting() if since and since < look.now - SOON else 0
    if not rows and not late:
        return met("none on disk")
    words = []
    if rows:
        words.append(f"{len(rows)} refused lines lie in the spool: see `refused.jsonl` there.")
    if late:
        words.append(f"{late} opt-outs have waited on disk since {since:%H:%M:%S} UTC: is a process running?")
    offenders = [row.key for row in rows[:MOST]]
    return breached(len(rows) + late, " ".join(words), offenders=offenders, rows=untold(rows))


def _promised(look: Look) -> Found:
    """Opt-outs that failed, whose way out works again, and that the product has not recorded by itself."""
    works = Q(path_works_at__lt=look.now - PATIENCE, is_certain=True)
    late = list(InterruptedOptOut.objects.unsettled().filter(works).order_by("pk").values_list("pk", flat=True)[:1000])
    if not late:
        return met()
    words = f"{len(late)} opt-outs that failed are not recorded, although their way out works: see Tried and failed."
    return breached(len(late), words, offenders=[f"interrupted:{pk}" for pk in late[:MOST]])


def opt_outs_stand(look: Look) -> Found:
    """I2. By the versions of each choice, and by what the comparison with the log had to put right."""
    found = asked(look, REVERSED)
    if look.scope == "keys":
        flipped = [one for one in drift.of_consents(look.consents) if one.reverses]
        if not flipped:
            return found
        names = [one.name for one in flipped]
        return found.and_(breached(len(names), "An explicit opt-out does not count.", offenders=names))
    repairs = [repair for repair in standing.drift() if repair.reversed_count]
    if not repairs:
        return found
    count = sum(repair.reversed_count for repair in repairs)
    refs = ", ".join(sorted({repair.incident.survivor.ref for repair in repairs}))
    names = [name for repair in repairs for name in repair.sample][:MOST]
    return found.and_(breached(count, f"{count:,} opt-outs did not count for a while: {refs}.", offenders=names))


def states_agree(look: Look) -> Found:
    """I4. The state is what the log says, its readers have read it, and the services that are told have been told."""
    if look.scope == "keys":
        names = [one.name for one in drift.of_consents(look.consents)]
        return breached(len(names), "The state is not what the log says.", offenders=names) if names else met()
    left = [name for repair in standing.drift() for name in repair.left]
    if left:
        words = f"{len(left)} states cannot be put right by machine: see the repairs of drift."
        return breached(len(left), words, offenders=left[:MOST])
    return _read(look).and_(_told_to_services(look)).and_(_compared(look))


def _compared(look: Look) -> Found:
    last = DetectionCursor.objects.filter(name=ROUND, moment__isnull=False).first()
    if last is None or last.moment is None:
        return unmeasured("The state was not compared with the whole log yet.")
    if last.moment < look.now - ROUND_IS_OLD:
        return unmeasured(f"The state was last compared with the whole log at {last.moment:%Y-%m-%d %H:%M} UTC.")
    return met(f"compared with the log {int((look.now - last.moment).total_seconds())} s ago")


def _read(look: Look) -> Found:
    with connection.cursor() as cursor:
        cursor.execute(BEHIND, {"before": look.now - SOON})
        readers = [reader for (reader,) in cursor.fetchall()]
    if not readers:
        return met()
    words = f"Not up to date for more than a minute: {', '.join(readers)}. Is a worker running?"
    return breached(len(readers), words, offenders=[f"reader:{reader}" for reader in readers])


def _told_to_services(look: Look) -> Found:
    told_of_choices = Endpoint.objects.filter(state=Endpoint.State.ACTIVE, about=Endpoint.About.CHOICES)
    names = dict(told_of_choices.values_list("pk", "name"))
    told = []
    for pk, found in standings(list(names)).items():
        is_late = found.oldest is not None and found.oldest < look.now - SOON
        if is_late or found.failed or found.differs:
            told.append(f"{names[pk]} {found.in_words()}")
    if not told:
        return met()
    return breached(len(told), f"Services that do not agree: {'; '.join(told)}.", offenders=told[:MOST])


def histories_are_whole(look: Look) -> Found:
    """I5. No version is missing, forged or rewritten; the timelines' chain holds; the database's own rules are those
    that were shipped."""
    if look.scope == "keys":
        return asked(look, GAP, FORGED, UNTOLD)
    return asked(look, GAP, FORGED, UNTOLD, ORPHAN, CHAIN).and_(_guarded(look))


def _guarded(look: Look) -> Found:
    """Live: as long as a rule is not as it was shipped, history could be changed."""
    if why := guards.not_comparable():
        return unmeasured(why)
    rows = [
        Row(f"I5:guard:{one.key}", look.now, f"I5: {one.words}", "A rule of the database is not as it was shipped")
        for one in guards.changes()
    ]
    if not rows:
        return met("guards as shipped")
    words = "Not as shipped: " + "; ".join(row.words.removeprefix("I5: ") for row in rows[:5])
    return Found(Verdict.BREACHED, len(rows), words=words, rows=untold(rows), offenders=[r.key for r in rows[:MOST]])


def nothing_is_written_unguarded(look: Look) -> Found:
    """I10. Every decision was written by a login that may."""
    return asked(look, UNGUARDED)
