"""Nudges of this app. The rows and the journal are the work; a nudge may come twice, late or never."""

from celery import shared_task

from consent import opt_out_journal
from consent.upkeep import keep_up


@shared_task(name="consent.tasks.read_log")
def read_log() -> None:
    keep_up()


@shared_task(name="consent.tasks.keep_journal")
def keep_journal() -> None:
    """Within moments of a choice, so that a database that loses its last seconds loses no opt-out."""
    opt_out_journal.keep()
