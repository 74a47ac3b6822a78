"""Celery's settings: without each something was lost, came twice or hung; and nudges, of which no heap may wait."""

import threading
from datetime import datetime

import pytest
from celery.signals import before_task_publish
from django.utils import timezone

from config.celery import LONGEST_TASK, app
from config.nudge import EXPIRES, Nudger
from messaging import tasks
from messaging.claiming import LEASE
from messaging.delivery import DOT_LEASE
from messaging.models import Message
from messaging.transports import http, replies, smtp
from tests.factories import MessageFactory

app.loader.import_default_modules()
OURS = {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        # only ids travel, and nothing that runs when it is read
        ("task_serializer", "json"),
        ("accept_content", ["json"]),
        ("task_ignore_result", True),
        ("result_backend", None),
        # what a dead worker held comes again, once, within seconds
        ("task_acks_late", True),
        ("task_reject_on_worker_lost", True),
        ("task_acks_on_failure", True),
        ("task_acks_on_timeout", True),
        ("task_retry_on_worker_lost", False),
        ("worker_prefetch_multiplier", 1),
        ("worker_deduplicate_successful_tasks", False),
        ("broker_transport_options.unacked_restore_interval", 5),
        ("broker_transport_options.unacked_restore_throttle", 1),
        # a broker that is away or frozen keeps nobody waiting, and nobody gives up on it
        ("broker_transport_options.socket_timeout", 5),
        ("broker_transport_options.socket_connect_timeout", 2),
        ("broker_transport_options.socket_keepalive", True),
        ("broker_transport_options.health_check_interval", 25),
        ("broker_transport_options.retry_on_timeout", True),
        ("task_publish_retry", True),
        ("task_publish_retry_policy.max_retries", 1),
        ("task_publish_retry_policy.interval_max", 0.2),
        ("broker_pool_acquire_timeout", 5),
        ("broker_connection_timeout", 2),
        ("broker_connection_retry_on_startup", True),
        ("broker_connection_max_retries", None),
        ("worker_cancel_long_running_tasks_on_connection_loss", False),
        # a worker that is told to end finishes first
        ("worker_soft_shutdown_timeout", 90),
        ("worker_enable_soft_shutdown_on_idle", False),
        # what hangs is ended, and what leaks is replaced
        ("task_soft_time_limit", 60),
        ("task_time_limit", 90),
        ("worker_max_tasks_per_child", 1000),
        ("worker_max_memory_per_child", 400_000),
        # logs go where Django's go, and a misspelt queue is an error
        ("worker_hijack_root_logger", False),
        ("worker_redirect_stdouts", False),
        ("task_create_missing_queues", False),
        ("task_default_queue", "events"),
    ],
)
def test_a_setting_is_what_its_reason_asks_for(setting, value):
    name, _, inner = setting.partition(".")
    found = getattr(app.conf, name)

    assert (found[inner] if inner else found) == value


def test_no_task_is_given_out_twice_while_it_may_still_run():
    told = {
        app.conf.visibility_timeout,
        app.conf.broker_transport_options["visibility_timeout"],
        app.conf.result_backend_transport_options["visibility_timeout"],
    }
    limits = [task.time_limit or app.conf.task_time_limit for task in OURS.values()]

    assert told == {LONGEST_TASK}
    assert max(limits) < LONGEST_TASK


def test_no_limit_cuts_a_message_that_may_have_been_sent():
    last_taken, said, answered = tasks.ROOM, LEASE.total_seconds(), replies.AFTER_END

    assert OURS["messaging.tasks.deliver_due"].soft_time_limit > last_taken + said + answered
    assert DOT_LEASE.total_seconds() > answered
    assert said + answered > smtp.Timeouts().command + smtp.Timeouts().dot
    assert answered > http.CONNECT + http.READ


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_task_is_told_to_stop_before_it_is_stopped(name):
    soft = OURS[name].soft_time_limit or app.conf.task_soft_time_limit
    assert 0 < soft < (OURS[name].time_limit or app.conf.task_time_limit)


def test_what_beat_and_routes_name_exists_and_goes_to_a_queue_that_is_listened_to():
    queues = {queue.name for queue in app.conf.task_queues}
    beats = list(app.conf.beat_schedule.values())

    assert {beat["task"] for beat in beats} | set(app.conf.task_routes) <= set(OURS)
    assert {beat["options"]["queue"] for beat in beats} <= queues
    assert {f"mail.{lane}" for lane in Message.Lane.values} <= queues
    assert {route["queue"] for route in app.conf.task_routes.values()} | {app.conf.task_default_queue} <= queues
    assert all(beat["options"]["expires"] < beat["schedule"] for beat in beats)


@pytest.fixture
def published():
    """(task, seconds until it expires) of each nudge, as it leaves for the broker; there is none here."""
    seen, came = [], threading.Event()

    def look(sender, headers, **_):
        until = headers["expires"] and datetime.fromisoformat(headers["expires"])
        seen.append((sender, until and (until - timezone.now()).total_seconds()))
        came.set()

    before_task_publish.connect(look, weak=False)
    yield seen, came
    before_task_publish.disconnect(look)


@pytest.mark.django_db
def test_a_nudge_for_a_worker_ends_before_a_heap_of_them_waits(published):
    MessageFactory()

    tasks.nudge()

    [(task, seconds)] = published[0]
    assert task == "messaging.tasks.deliver_due"
    assert 0 < seconds <= EXPIRES


def test_a_nudge_from_a_request_ends_too(published):
    seen, came = published

    Nudger(interval=0)("consent.tasks.read_log")

    assert came.wait(10)
    [(task, seconds)] = seen
    assert task == "consent.tasks.read_log"
    assert 0 < seconds <= EXPIRES
