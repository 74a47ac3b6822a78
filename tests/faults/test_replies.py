"""What `celery inspect` leaves in the broker."""

import redis

from config.celery import app
from config.tasks import KEPT, prune_replies


def test_answers_that_nobody_fetched_get_an_end_and_work_keeps_its_place(valkey, settings):
    settings.REDIS_URL = f"unix://{valkey.socket}?db=0"
    with redis.Redis.from_url(settings.REDIS_URL, decode_responses=True) as broker:
        broker.flushall()
        broker.sadd("_kombu.binding.reply.celery.pidbox", "8f14e45f")
        broker.lpush("8f14e45f.reply.celery.pidbox", "an answer")
        broker.lpush("mail.critical", "a nudge")
        broker.set("ending.reply.celery.pidbox", "", ex=60)

        assert prune_replies() == 2
        assert prune_replies() == 0

        ends = {key: broker.ttl(key) for key in broker.scan_iter()}
    assert ends.pop("mail.critical") == -1
    assert ends.pop("ending.reply.celery.pidbox") <= 60
    assert 0 < ends["8f14e45f.reply.celery.pidbox"] <= KEPT
    assert 0 < ends["_kombu.binding.reply.celery.pidbox"] <= KEPT


def test_it_asks_for_nothing_that_the_oldest_server_we_promise_does_not_know(valkey, settings):
    settings.REDIS_URL = f"unix://{valkey.socket}?db=0"
    with redis.Redis.from_url(settings.REDIS_URL, decode_responses=True) as broker:
        broker.flushall()
        broker.lpush("8f14e45f.reply.celery.pidbox", "an answer")
        broker.config_set("slowlog-log-slower-than", 0)
        broker.slowlog_reset()

        prune_replies()

        said = [entry["command"].decode().split() for entry in broker.slowlog_get(100)]
        broker.config_set("slowlog-log-slower-than", 10_000)
    [ends] = [words for words in said if words[0] == "EXPIRE"]
    assert ends == ["EXPIRE", "8f14e45f.reply.celery.pidbox", str(KEPT)]  # its options came with Redis 7, we take 6.2


def test_it_is_asked_for_every_hour():
    [entry] = [entry for entry in app.conf.beat_schedule.values() if entry["task"] == prune_replies.name]
    assert (entry["schedule"], entry["options"]["queue"]) == (3600, "events")
