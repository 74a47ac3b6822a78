"""Nudges and sweeps: the rows are the work, and coming twice does no harm."""

from celery import shared_task

from incidents import alerts, linking, probes, trouble
from incidents.detection import zero_tolerance
from incidents.detection.alarms import detect as judge
from incidents.playbooks import attaching, auditing, running


@shared_task
def read_log() -> None:
    """Tie and count what the log has news of, and between its batches go on with the looks back that are owed."""
    while linking.read_log() or linking.backfill() or linking.look_again():
        pass


@shared_task
def read_alerts() -> None:
    """First what waits on disk, so that nobody is taken for silent who was heard."""
    alerts.replay()
    alerts.read_stored()
    alerts.watch()
    alerts.forget()


@shared_task
def detect() -> None:
    """What must never happen first; then the rates."""
    zero_tolerance.look()
    judge()


@shared_task(soft_time_limit=150, time_limit=180)
def probe() -> None:
    """Try the ways out that are due, and see what became of earlier tries."""
    probes.run_due()


@shared_task
def run_playbooks() -> None:
    """What its signals call for is started, and every run goes on as far as it can now."""
    attaching.start_by_signals()
    running.run_due()


@shared_task
def audit_playbooks() -> None:
    auditing.audit()


@shared_task
def watch_messages() -> None:
    trouble.watch()
