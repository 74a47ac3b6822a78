"""Celery carries nudges: an id, at most twice, sometimes never. The rows are the work, and a sweep finds the rest."""

import logging.config
import os
import warnings
from typing import Any

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging, worker_init
from django.conf import settings
from django_structlog.celery.steps import DjangoStructLogInitStep
from kombu import Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# The demonstration may run as root, and no worker of ours accepts pickles, which is what this warning is about.
warnings.filterwarnings("ignore", category=SecurityWarning, message=".*superuser privileges.*")

NICENESS = 5  # a third of the processor beside a web process: whoever opts out comes before what follows from it
LONGEST_TASK = 1800  # seconds; the wait for an SMTP server's last answer is 600 of them

app = Celery("holdfast")
app.steps["worker"].add(DjangoStructLogInitStep)
app.autodiscover_tasks()


def broker_url(redis_url: str) -> str:
    """kombu's spelling of redis-py's address of a socket."""
    if redis_url.startswith("unix://"):
        path, _, query = redis_url.removeprefix("unix://").partition("?")
        return f"redis+socket://{path}?virtual_host={dict(p.split('=') for p in query.split('&') if p).get('db', '0')}"
    return redis_url


@app.add_defaults
def configuration() -> dict[str, Any]:
    return {
        "broker_url": broker_url(settings.REDIS_URL),
        # What is sent: JSON, and only ids, so that broker dumps and logs hold nothing personal.
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,  # state lives in the database; results would only grow keys
        "result_backend": None,
        "timezone": "UTC",
        # Losing a worker: the task comes again, and the claim makes a second run harmless.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,  # without it a late-acknowledged task is lost with its killed process
        "task_acks_on_failure": True,  # retries are decided in the database, not by redelivery
        "task_acks_on_timeout": True,
        "task_retry_on_worker_lost": False,  # waits 180 s and does nothing when the whole worker dies
        "worker_prefetch_multiplier": 1,  # a worker holds only what it runs
        "worker_deduplicate_successful_tasks": False,  # needs results and still leaves a gap; the claim does it
        # The shortest of the three wins, so all three say the same: longer than the longest task.
        "visibility_timeout": LONGEST_TASK,
        "result_backend_transport_options": {"visibility_timeout": LONGEST_TASK},
        "broker_transport_options": {
            "visibility_timeout": LONGEST_TASK,
            "unacked_restore_interval": 5,  # what a dead worker held is given out again within seconds, not 100
            "unacked_restore_throttle": 1,
            "socket_timeout": 5,  # the default waits for ever on a broker that has frozen
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "health_check_interval": 25,  # a half-open connection is found within a minute
            "retry_on_timeout": True,
        },
        # Publishing from a request: try, try once more, let it go. The sweep delivers.
        "task_publish_retry": True,
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2},
        "broker_pool_acquire_timeout": 5,  # the default blocks without limit
        # A worker outlives a broker that is away for hours.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": 2,
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # would cut SMTP sessions in two
        # Ending: finish within 90 s, then hand back; the container's grace must be longer (120 s).
        "worker_soft_shutdown_timeout": 90,
        "worker_enable_soft_shutdown_on_idle": False,  # matters only for tasks with a distant time, and there are none
        "worker_eta_task_limit": 1000,
        # A task that hangs: most are done in a second. One that speaks SMTP sets 660 and 720 for itself, since cutting
        # the 600 s wait for the last answer would leave it unknown whether the mail went out.
        "task_soft_time_limit": 60,
        "task_time_limit": 90,
        "worker_max_tasks_per_child": 1000,
        "worker_max_memory_per_child": 400_000,  # KiB
        # Logs go the way Django's go.
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        # Queues: what a person waits for is never behind a bulk.
        "task_queues": [Queue("mail.critical"), Queue("mail.bulk"), Queue("events"), Queue("sweep"), Queue("webhooks")],
        "task_default_queue": "events",
        "task_routes": {
            "messaging.tasks.sweep": {"queue": "sweep"},
            "messaging.tasks.send_notices": {"queue": "sweep"},
            "messaging.tasks.tell": {"queue": "webhooks"},
            "incidents.tasks.watch_database": {"queue": "sweep"},
        },
        "task_create_missing_queues": False,  # a misspelt queue is an error here, not a mail that nobody sends
        "beat_schedule": every("messaging.tasks.sweep", 10, "sweep")
        | every("messaging.tasks.send_notices", 5, "sweep")
        | every("messaging.tasks.read_inbound", 10, "events")
        | every("consent.tasks.read_log", 5, "events")
        | every("messaging.tasks.propagate", 5, "events")
        | every("incidents.tasks.read_log", 5, "events")
        | every("incidents.tasks.read_alerts", 10, "events")
        | every("incidents.tasks.detect", 30, "events")
        | every("incidents.tasks.probe", 300, "events")
        | every("incidents.tasks.watch_messages", 30, "events")
        | every("incidents.tasks.announce", 5, "events")
        | every("incidents.tasks.run_playbooks", 5, "events")
        | every("incidents.tasks.apply_changes", 5, "events")
        | every("incidents.tasks.audit_playbooks", 30, "events")
        | every("incidents.tasks.validate", 5, "events")
        | every("incidents.tasks.compare_states", 5, "events")
        | every("incidents.tasks.watch_database", 5, "sweep")
        | every("config.tasks.prune_replies", 3600, "events"),
    }


def every(task: str, seconds: int, queue: str) -> dict[str, Any]:
    """A nudge that expires before the next one comes: no heap of them waits after an outage."""
    return {task: {"task": task, "schedule": seconds, "options": {"queue": queue, "expires": seconds - 1}}}


@setup_logging.connect
def log_as_django_does(**_: Any) -> None:
    logging.config.dictConfig(settings.LOGGING)


@worker_init.connect
def give_way(**_: Any) -> None:
    """A storm of alerts is read, and a thousand mails are sent, with what the web processes leave."""
    os.nice(NICENESS)
