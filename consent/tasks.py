"""Nudges of this app. The rows and the journal are the work; a nudge may come twice, late or never."""

from celery import shared_task

from consent.upkeep import keep_up


@shared_task(name="consent.tasks.read_log")
def read_log() -> None:
    keep_up()
