"""Nudges. Each may come twice, late or never: the rows are the work, and the sweep finds what was missed."""

from collections.abc import Sequence
from threading import Event, Thread
from typing import Any

import structlog
from celery import Task, shared_task
from celery.signals import worker_process_init
from django.db.models.functions import Now

from config.nudge import EXPIRES
from messaging import batches, confirmations, delivery, outcomes, sweeping
from messaging.claiming import LEASE
from messaging.inbound import inbox
from messaging.models import Message
from messaging.propagation import fanout, sending

log = structlog.get_logger(__name__)

# What one nudge sends before it makes room for others: messages, and seconds, after which it takes none any more.
CHUNK, ROOM = 200, 40.0
NUDGES = 4  # workers that are asked to share a heap
# The last that is taken has its lease until the end of it is said, and the longest answer after that: what is cut later
# than this was cut by no limit of ours, so that none of them makes a doubt.
LONGEST_SENDING = int(ROOM + (LEASE + delivery.DOT_LEASE).total_seconds())
SENDING = {"soft_time_limit": LONGEST_SENDING, "time_limit": LONGEST_SENDING + 60}
# Above the longest run of calls, which `sending` ends by itself.
CALLS = {"soft_time_limit": 150, "time_limit": 180}


@worker_process_init.connect
def take_answers_from_disk(**_: Any) -> None:
    """Not here and now: a process that takes long to begin is ended."""
    Thread(target=outcomes.keep_replaying, args=[Event()], name="answers", daemon=True).start()


@shared_task(name="messaging.tasks.read_log")
def read_log() -> None:
    """The log has news: write down what is owed, and get it sent."""
    if confirmations.owe_all():
        nudge()


@shared_task(name="messaging.tasks.deliver_due", **SENDING)
def deliver_due(lane: str) -> None:
    """One nudge sends a chunk. It is as sure as a task per message: whatever a lost nudge leaves lies in the table,
    and any other nudge, the sweep or `manage.py pump` takes it from there; claims keep them apart.
    """
    if delivery.deliver_due(CHUNK, lane=lane, seconds=ROOM):
        nudge(at_most=1, lanes=[lane])


@shared_task(name="messaging.tasks.read_inbound")
def read_inbound() -> None:
    """Posts of providers and mails that are stored: read them."""
    inbox.read_all()


@shared_task(name="messaging.tasks.sweep")
def sweep() -> None:
    sweeping.sweep(
        {"notices stopped": batches.tend, "confirmations owed": confirmations.owe_all, "workers nudged": nudge}
    )


@shared_task(name="messaging.tasks.send_notices")
def send_notices() -> None:
    """The next batches of each notice that is being sent, as far as its rate allows."""
    if batches.send_all():
        nudge()


def nudge(at_most: int = NUDGES, lanes: Sequence[str] = Message.Lane.values) -> int:
    """Ask as many workers of each lane as it has work for; returns how many. Never waits long, and does not fail for
    want of a broker: the sweep asks again.
    """
    asked = 0
    for lane in lanes:
        due = Message.objects.due(Now()).filter(lane=lane).order_by()[: CHUNK * at_most].count()
        for _ in range(-(-due // CHUNK)):
            send_quietly(deliver_due, lane, queue=f"mail.{lane}")
            asked += 1
    return asked


@shared_task(name="messaging.tasks.propagate")
def propagate() -> None:
    """State has changed, perhaps: write down which service is owed what, and get it told."""
    fanout.owe_all()
    sending.recover()
    if sending.endpoints_to_call():
        send_quietly(tell, queue="webhooks")


@shared_task(name="messaging.tasks.tell", **CALLS)
def tell() -> None:
    sending.tell_all()


def send_quietly(task: Task, *arguments: str, queue: str) -> None:
    try:
        task.apply_async(arguments, queue=queue, ignore_result=True, expires=EXPIRES)
    except Exception as error:  # the broker is away
        log.warning("nudge_failed", task=task.name, error=str(error))
