"""Nudges and sweeps: the rows are the work, and coming twice does no harm."""

from celery import shared_task

from incidents import alerts, linking


@shared_task
def read_log() -> None:
    """Tie and count what the log has news of, and between its batches go on with the looks back that are owed."""
    while linking.read_log() or linking.backfill() or linking.look_again():
        pass


@shared_task
def read_alerts() -> None:
    alerts.read_stored()
