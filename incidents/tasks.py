"""Nudges and sweeps: the rows are the work, and coming twice does no harm."""

from time import monotonic

from celery import shared_task

from config.steps import each
from incidents import alerts, announcing, attention, linking, probes, silence, trouble, validation
from incidents.changes import running as changes
from incidents.detection.alarms import detect as judge
from incidents.playbooks import attaching, auditing, running
from incidents.restores import watching

TURN = 30.0  # seconds, after which a task that finds no end leaves the rest to the next sweep


@shared_task
def read_log() -> None:
    """Tie and count what the log has news of, and after each batch go on with the looks back that are owed.

    While people leave by the thousand the log always has news: then the looks back are wanted most.
    """
    ends = monotonic() + TURN
    parts = {"news": linking.read_log, "backfill": linking.backfill, "causes": linking.look_again}
    while any(each(parts)[0].values()) and monotonic() < ends:
        pass


@shared_task
def read_alerts() -> None:
    """First what waits on disk, so that nobody is taken for silent who was heard."""
    each({"disk": alerts.replay, "stored": alerts.read_stored, "watch": alerts.watch, "forget": alerts.forget})


@shared_task
def detect() -> None:
    """What must never happen first; then the rates."""
    each({"breaches": validation.look, "rates": judge})


@shared_task(soft_time_limit=150, time_limit=180)
def probe() -> None:
    """Try the ways out that are due, and see what became of earlier tries and which nobody uses any more."""
    each({"tries": probes.run_due, "silence": silence.watch})


@shared_task
def run_playbooks() -> None:
    """What its signals call for is started, and every run goes on as far as it can now."""
    each({"begin": attaching.start_by_signals, "go on": running.run_due})


@shared_task(soft_time_limit=900, time_limit=960)
def apply_changes() -> None:
    """Change sets that are applied or have their time, and what is taken back: as far as it goes now."""
    changes.run_due()


@shared_task
def audit_playbooks() -> None:
    auditing.audit()


@shared_task
def watch_messages() -> None:
    each({"clocks": attention.watch, "trouble": trouble.watch})


@shared_task
def announce() -> None:
    """What incidents became is owed to the services that asked for it; messaging's own round calls them."""
    announcing.announce()


@shared_task(soft_time_limit=900, time_limit=960)
def validate() -> None:
    """All invariants, where it is time for them, and what follows from where incidents stand."""
    validation.keep()


@shared_task
def compare_states() -> None:
    """States with the log: what was just written, and a part of everything."""
    validation.keep_states()


@shared_task(soft_time_limit=600, time_limit=660)
def watch_database() -> None:
    """Whether it went back in time; a journal of millions of lines takes minutes to be put back."""
    watching.look()
