"""How the ways out are used: completed uses are folded from the log, the others are counted at once."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

import structlog
from django.db import Error, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from consent import feed, interrupted
from consent.models import Choice, Decision, ExitPathMinute, Subject

log = structlog.get_logger(__name__)

# Codes of the ways out that the product itself offers; their rows come with consent/migrations/0003_starting_rows.py.
ONE_CLICK, PREFERENCE_PAGE, API, GPC = "one-click", "preference-page", "api", "gpc"
SUPPORT_EMAIL, SUPPORT_PHONE = "support-email", "support-phone"
SUPPORT_POST, SUPPORT_WEB = "support-post", "support-web"

Outcome = ExitPathMinute.Outcome
Minute = tuple[str, datetime, str, str]  # exit path, minute, outcome, cause
MOST_PENDING = 10_000

# A use of an exit path that is not registered is dropped here, not by the foreign key: that would fail at commit.
ADD = """
    INSERT INTO consent_exitpathminute AS m (exit_path_id, minute, outcome, cause, count)
    SELECT used.* FROM unnest(%s::text[], %s::timestamptz[], %s::text[], %s::text[], %s::int[])
                       AS used(exit_path, minute, outcome, cause, count)
      JOIN consent_exitpath e ON e.code = used.exit_path
    ON CONFLICT (exit_path_id, minute, outcome, cause) DO UPDATE SET count = m.count + EXCLUDED.count
"""
USED = """
    UPDATE consent_exitpath e SET last_used_at = u.at
      FROM unnest(%s::text[], %s::timestamptz[]) AS u(code, at)
     WHERE e.code = u.code AND (e.last_used_at IS NULL OR e.last_used_at < u.at)
"""


def of_request(received_via: str) -> str:
    """The exit path of an opt-out that staff type in, by how the person's wish reached them; empty: none is theirs."""
    paths = {"email": SUPPORT_EMAIL, "phone": SUPPORT_PHONE, "post": SUPPORT_POST, "web": SUPPORT_WEB, "api": API}
    return paths.get(received_via, "")


class _Pending:
    """Counts on their way to the database. What it did not take, because it was away, goes with the next one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.uses: Counter[Minute] = Counter()

    def take(self) -> Counter[Minute]:
        with self.lock:
            uses, self.uses = self.uses, Counter()
            return uses

    def put(self, uses: Mapping[Minute, int]) -> None:
        with self.lock:
            self.uses.update({k: n for k, n in uses.items() if k in self.uses or len(self.uses) < MOST_PENDING})


_pending = _Pending()


def count_use(exit_path: str, outcome: str, cause: str = "") -> bool:
    """A use that left no decision: refused, broken off or failed. `cause` is the code of what was in the way.

    Never raises, so that it cannot stand in the way of an opt-out. False: the database did not take it. Where that was
    because it is away, the next call of this process brings it along.
    """
    _pending.put({(exit_path, _minute(timezone.now()), outcome, cause): 1})
    uses = _pending.take()
    try:
        with transaction.atomic():
            add(uses)
    except Error as error:
        if isinstance(
            error, OperationalError | InterfaceError
        ):  # away; a count that it refuses would come back for ever
            _pending.put(uses)
        log.warning("exit_path_not_counted", exit_path=exit_path, outcome=outcome, cause=cause, error=str(error))
        return False
    return True


def on_receipt(decision: Decision) -> datetime:
    return decision.received_at


def fold(limit: int = 1000, moment_of: Callable[[Decision], datetime] = on_receipt) -> int:
    """Count the completed uses that the log has news of; returns how many decisions were looked at.

    A use is counted in the minute of its receipt; only made-up data, which all came at once, say otherwise.
    """
    with feed.reading("exit-paths", limit) as decisions:
        opt_outs = [d for d in decisions if d.exit_path and d.choice == Choice.OPT_OUT]
        by_people = _by_people(opt_outs)
        add(Counter((d.exit_path, _minute(moment_of(d)), Outcome.COMPLETED, d.cause) for d in by_people))
        latest = _latest(by_people, moment_of)
        with connection.cursor() as cursor:
            cursor.execute(USED, [list(latest), list(latest.values())])
        interrupted.path_works(_latest(opt_outs, moment_of))  # a canary came through it too: nobody need wait longer
        return len(decisions)


def _latest(opt_outs: Iterable[Decision], moment_of: Callable[[Decision], datetime]) -> dict[str, datetime]:
    latest: dict[str, datetime] = {}
    for decision in opt_outs:
        used_at = moment_of(decision)
        latest[decision.exit_path] = max(used_at, latest.get(decision.exit_path, used_at))
    return latest


def _by_people(decisions: list[Decision]) -> list[Decision]:
    """Without canaries: a way out that nobody but they use is one that nobody uses."""
    people = {decision.subject_id for decision in decisions}
    canaries = set(Subject.objects.filter(pk__in=people, is_canary=True).values_list("pk", flat=True))
    return [decision for decision in decisions if decision.subject_id not in canaries]


def add(uses: Mapping[Minute, int]) -> None:
    """Add to the minutes' counts; a way out that nobody registered is left out."""
    if not uses:
        return
    rows = [(*minute, count) for minute, count in sorted(uses.items())]
    with connection.cursor() as cursor:
        cursor.execute(ADD, [list(column) for column in zip(*rows, strict=True)])


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
