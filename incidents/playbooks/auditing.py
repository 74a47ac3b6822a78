"""Somebody looks at those who look: every open run has a next time that is near, and an outside heartbeat hears of it.

The heartbeat is beaten only by an auditor that came round to every open run and found a worker behind each. Whoever
listens to it raises the alarm when it is missing, also when all of this machine is gone.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import requests
import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Q
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from consent.services import transaction_time
from incidents.models import AuditorBeat, Playbook, PlaybookRun
from incidents.playbooks.definition import POLL, timeout_of
from incidents.playbooks.telling import PATIENCE, State, tell
from incidents.playbooks.wording import moment
from messaging.condition import Condition

log = structlog.get_logger(__name__)

AUDITOR = "playbooks"
GRACE = timedelta(seconds=90)  # after which a due run has been left alone; a lease is 120 s, so a dead worker is seen
MOST = 1000
BEATEN_EVERY = timedelta(seconds=25)
TIMEOUT = (3, 5)  # seconds to connect and to answer
NOBODY = "Nobody has come for it since"


def audit() -> int:
    """Look at every open run, tell what is wrong with it once, and beat. Returns how many findings are new."""
    last = AuditorBeat.objects.filter(pk=AUDITOR).first()
    if last and last.age(timezone.now()) < BEATEN_EVERY:
        return 0
    ids = list(PlaybookRun.objects.open().order_by("audited_at", "pk").values_list("pk", flat=True)[: MOST + 1])
    new = sum(_audit(pk) for pk in ids[:MOST])
    left_alone = PlaybookRun.objects.open().filter(audit_result__startswith=NOBODY).exists()
    _beat(is_well=not left_alone and len(ids) <= MOST)
    return new


@transaction.atomic
def _audit(run_id: int) -> int:
    run = PlaybookRun.objects.open().select_related("incident", "playbook").filter(pk=run_id)
    found = run.select_for_update(of=("self",), skip_locked=True).first()
    if found is None:  # ended, or just being worked on: somebody is there
        return 0
    now = transaction_time()
    result = problem_of(found, now)
    is_new = bool(result) and result != found.audit_result
    found.audited_at, found.audit_result = now, result
    if found.state == State.STOPPED and found.next_at and found.next_at < now:
        found.next_at = now + PATIENCE
    found.save(update_fields=["audited_at", "audit_result", "next_at"])
    if is_new:
        tell(found, result)
    return int(is_new)


def problem_of(run: PlaybookRun, now: datetime) -> str:
    """What is wrong with an open run; empty: nothing."""
    if run.next_at is None:
        return "It has no next time."
    if run.state == State.STOPPED:
        since = run.stopped_at or now
        return f"It waits for a decision since {moment(since)}." if since < now - PATIENCE else ""
    if run.next_at < now - GRACE:
        if run.lease_until and run.lease_until > now:
            return f"Whoever works on it has said nothing since {moment(run.next_at)}."
        return f"{NOBODY} {moment(run.next_at)}: is a worker running?"
    longest = timeout_of(run.step) if run.position < len(run.steps) else POLL
    if run.next_at > now + timedelta(seconds=longest) + GRACE:
        return f"Its next look, {moment(run.next_at)}, is later than its step allows."
    return ""


def _beat(*, is_well: bool) -> None:
    """Our own beat is written in any case; the one outside only when all is well."""
    answer, was_heard = "", None
    if settings.HEARTBEAT_URL:
        answer, was_heard = call(settings.HEARTBEAT_URL) if is_well else ("Not beaten: runs are left alone.", False)
    AuditorBeat.objects.update_or_create(
        pk=AUDITOR, defaults={"beaten_at": timezone.now(), "answer": answer[:200], "was_heard": was_heard}
    )


def call(url: str) -> tuple[str, bool]:
    """GET, or POST where the setting says so; nothing is sent along, and nothing of the answer is read."""
    try:
        with requests.request(
            settings.HEARTBEAT_METHOD, url, timeout=TIMEOUT, allow_redirects=False, stream=True
        ) as answer:
            return f"HTTP {answer.status_code}", answer.ok
    except requests.RequestException as error:
        log.warning("heartbeat_not_heard", error=type(error).__name__)
        return f"No answer: {type(error).__name__}", False


def conditions() -> Iterable[Condition]:
    """Runs that nobody comes for, as the auditor last found: an incident like a relay that is down."""
    alone = PlaybookRun.objects.open().filter(audit_result__startswith=NOBODY).order_by("next_at")
    due = [at for at in alone.values_list("next_at", flat=True)[:MOST] if at]
    if due:
        yield Condition("playbooks-left-alone", "Nobody goes on with a playbook that is due", due[0], len(due))


def overdue(now: datetime) -> int:
    due = PlaybookRun.objects.open().filter(state__in=PlaybookRun.AT_WORK, next_at__lt=now - GRACE)
    due = due.filter(Q(lease_until=None) | Q(lease_until__lte=now))
    return len(due.values_list("pk")[:MOST])


def detail() -> dict[str, Any]:
    """For /readyz: when the auditor last came round, and whether the heartbeat outside heard it."""
    last = AuditorBeat.objects.filter(pk=AUDITOR).first()
    if last is None:
        return {"last_beat": None, "heard": None}
    return {"last_beat": last.beaten_at.isoformat(), "seconds_ago": _age(last), "heard": last.was_heard}


def metrics() -> Iterable[Metric]:
    now = timezone.now()
    last = AuditorBeat.objects.filter(pk=AUDITOR).first()
    age = GaugeMetricFamily("holdfast_playbook_auditor_age_seconds", "Since the auditor of playbooks came round.")
    heard = GaugeMetricFamily("holdfast_playbook_heartbeat_heard", "1: the heartbeat outside answered the last beat.")
    if last:
        age.add_metric([], _age(last))
        if last.was_heard is not None:
            heard.add_metric([], int(last.was_heard))
    running = GaugeMetricFamily("holdfast_playbook_runs_open", "Runs of playbooks that are not over.", labels=["state"])
    for state, count in (
        PlaybookRun.objects.open().values_list("state").annotate(count=Count(F("pk"))).order_by("state")
    ):
        running.add_metric([state], count)
    late = GaugeMetricFamily("holdfast_playbook_runs_left_alone", "Runs that are due and that nobody came for.")
    late.add_metric([], overdue(now))
    stale = GaugeMetricFamily("holdfast_playbooks_review_overdue", "Playbooks that nobody has read for too long.")
    stale.add_metric([], len(Playbook.objects.review_overdue(now.date())))
    return [age, heard, running, late, stale]


def _age(beat: AuditorBeat) -> int:
    return int(beat.age(timezone.now()).total_seconds())
