"""Every few seconds: is this still the database that it was? If not, the send gate closes and opt-outs are put back."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from consent import journal, opt_out_journal, restoring
from consent.models import GuardChange
from consent.opt_out_journal import OptOut
from consent.services import guard_level, set_guard
from incidents import timeline
from incidents.models import Incident, Restore
from incidents.restores import heads, witnesses
from incidents.restores.heads import Heads
from incidents.restores.report import as_row, replayed, uncovered
from incidents.services import open_or_join
from incidents.timeline import Kind, Source
from incidents.vocabulary import IncidentType
from messaging import services as messages
from messaging.holding import hold_sending
from messaging.models import Message, MessageClass, SendHold

log = structlog.get_logger(__name__)

BY = restoring.BY
KEY = "restore:database"
TITLE = "The database went back in time"
HELD = "The database went back in time: who opted out meanwhile must not be written to"
MAYBE_SENT = "It was due in an older copy of the database, and may have gone out before that was restored"
# What goes on: confirmations of what is said now, and what the law asks for. All else waits until somebody looked.
HOLDS = (
    (SendHold.Scope.LANE, Message.Lane.BULK),
    (SendHold.Scope.MESSAGE_CLASS, MessageClass.CONSENT_UPDATE),
    (SendHold.Scope.MESSAGE_CLASS, MessageClass.OPERATIONAL),
)
JOURNAL, COUNTER = "journal", "counter"
State = Restore.State


def look() -> int:
    """Compare with what the witnesses say, put back what is missing, and tell the witnesses how far it has come;
    returns how much was done, 0 while all is well, or while another process of this host is at it.
    """
    if not opt_out_journal.is_kept():
        return 0
    try:
        opt_out_journal.name()
    except OSError as error:  # no disk, and so no journal: the other witnesses are asked all the same
        log.error("opt_out_journal_out_of_reach", error=str(error))
        return _look(has_journal=False)
    with journal.alone(opt_out_journal.folder()) as is_mine:
        return _look(has_journal=True) if is_mine else 0


def _look(*, has_journal: bool) -> int:
    # Witnesses first: what they hold was committed when they were told, so it is there for whoever asks later.
    marks, tail = witnesses.read(), opt_out_journal.newest_opt_outs()
    here = heads.read()
    standing = Restore.objects.open().first()
    done = 0
    if witness := _who_knows_more(marks, tail, here, standing):
        standing, done = _found(witness, marks.get(witness) or _newest(marks), here, standing), 1
    if standing and has_journal:
        done += put_back(standing)
        here = heads.read()
    witnesses.write(here)
    return done


def lacks_what_is_known() -> bool:
    """The same question without consequences, for whoever answers before the next look."""
    if not opt_out_journal.is_kept():
        return False
    try:
        tail = opt_out_journal.newest_opt_outs()
    except OSError:
        tail = []
    return any(map(heads.is_behind, witnesses.read().values())) or bool(restoring.missing_of(tail))


def _who_knows_more(
    marks: Mapping[str, Heads], tail: Sequence[OptOut], here: Heads, standing: Restore | None
) -> str | None:
    for name, mark in marks.items():
        if heads.is_behind(mark):
            return name
    is_at_work = standing is not None and standing.state == State.FOUND  # what the journal has is on its way back
    if not is_at_work and restoring.missing_of(tail):
        return JOURNAL
    return COUNTER if here.counter_is_behind and standing is None else None


def _newest(marks: Mapping[str, Heads]) -> Heads | None:
    return max(marks.values(), key=lambda mark: mark.at, default=None)


def _found(witness: str, mark: Heads | None, here: Heads, known: Restore | None) -> Restore:
    """Close the gate first: it must be shut before anything else may fail."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('incidents.restores'))")
        standing = Restore.objects.open().select_for_update().first()
        if standing and known is None:
            return standing  # another host was quicker
        holds = [hold_sending(*what, reason=HELD, by=BY).pk for what in HOLDS]
        before = guard_level()
        if before != GuardChange.Level.FREEZE:
            set_guard(GuardChange.Level.FREEZE, reason=TITLE, by=BY)
        if standing is None:
            restore = _opened(witness, mark, here, before)
        else:
            restore, restore.state = standing, State.FOUND
            restore.times_found += 1
            text = f"It went back once more, as the {witness} shows. Opt-outs are put back again."
            timeline.append(restore.incident.survivor, Kind.DETECTOR, text, source=Source.DETECTOR, actor=BY)
        restore.holds = sorted({*restore.holds, *holds})
        restore.save()
    log.error("database_went_back_in_time", witness=witness, incident=restore.incident.ref)
    _hold_what_may_have_gone_out(restore)
    return restore


def _opened(witness: str, mark: Heads | None, here: Heads, guard_before: str) -> Restore:
    now = timezone.now()
    marked_at, copy_at = _moment(mark and mark.at), _moment(here.newest_at)
    incident, _ = open_or_join(
        KEY,
        TITLE,
        occurred_from=min(marked_at or now, now),
        detected_at=now,
        by=BY,
        severity=Incident.Severity.SEV1,
        source=Source.DETECTOR,
        type=IncidentType.DRIFT,
        text=_words(witness, marked_at, copy_at),
    )
    return Restore(
        incident=incident.survivor,
        witness=witness,
        marked_at=marked_at,
        copy_at=copy_at,
        mark=mark.as_json() if mark else {},
        here=here.as_json(),
        guard_before=guard_before,
        counter_is_behind=here.counter_is_behind,
    )


def put_back(restore: Restore) -> int:
    """Record again what this host's journal has and the database has not; returns how much was done. A second run
    changes nothing.
    """
    if restore.state != State.FOUND and opt_out_journal.name() in restore.journals:
        return 0
    newest_at = _record_again(restore)
    return _note(restore, newest_at, restoring.compare())


def _record_again(restore: Restore) -> datetime | None:
    """Portion by portion, each counted in the transaction that records it; when the newest had been received."""
    rows, newest_at, seen = Restore.objects.filter(pk=restore.pk), None, set[str]()
    for lines in restoring.portions():
        with transaction.atomic():
            back = restoring.put_back(lines, f"{TITLE}: {restore.epoch}")
            if back.opt_outs:
                rows.update(
                    opt_outs=F("opt_outs") + back.opt_outs,
                    people=F("people") + len(back.people - seen),
                    people_made=F("people_made") + back.people_made,
                )
        seen |= back.people
        newest_at = max(filter(None, [newest_at, back.newest_at]), default=None)
    with transaction.atomic():
        rows.update(erased=F("erased") + restoring.erase_again())
    return newest_at


@transaction.atomic
def _note(restore: Restore, newest_at: datetime | None, compared: restoring.Comparison) -> int:
    row = Restore.objects.select_for_update().get(pk=restore.pk)
    is_news = row.state == State.FOUND or opt_out_journal.name() not in row.journals
    row.journals[opt_out_journal.name()] = as_row(compared)
    if row.mark and row.here:
        row.lost = heads.lost(Heads.of(row.mark), Heads.of(row.here), row.opt_outs)
    row.uncovered = uncovered(row.copy_at, opt_out_journal.began_at(), newest_at, row.found_at)
    if compared.is_equal and row.state == State.FOUND:
        row.state, row.replayed_at = State.REPLAYED, timezone.now()
    row.save()
    if is_news:
        text = replayed(row, compared)
        timeline.append(row.incident.survivor, Kind.DETECTOR, text, source=Source.DETECTOR, actor=BY)
    return int(is_news)


def _hold_what_may_have_gone_out(restore: Restore) -> None:
    """What waited in the copy was sent since, most likely: a person looks before it goes out a second time."""
    if restore.copy_at is None:
        return
    waiting = Message.objects.filter(
        lane__in=[Message.Lane.TEXT, Message.Lane.CRITICAL],
        message_class=MessageClass.CONFIRMATION,
        created_at__lte=restore.copy_at,
    )
    held = messages.hold_all(waiting, reason=MAYBE_SENT, by=BY)
    Restore.objects.filter(pk=restore.pk).update(messages_held=F("messages_held") + held)


def _words(witness: str, marked_at: datetime | None, copy_at: datetime | None) -> str:
    if witness == COUNTER:
        return (
            "The log holds transactions that are yet to come on this server: it was loaded into another one. Whoever "
            "reads the log sees nothing new until the server's counter has passed them."
        )
    came = f" The newest choice it holds was received at {copy_at:%Y-%m-%d %H:%M:%S} UTC." if copy_at else ""
    mark = f", written at {marked_at:%Y-%m-%d %H:%M:%S} UTC," if marked_at else ""
    return (
        f"The {witness}{mark} knows of choices that the database does not hold: an older copy was restored, or the "
        f"last commits were lost.{came} Bulk mail is held, the guard is at freeze, and opt-outs are put back."
    )


def _moment(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
