"""What keeps the broker itself tidy."""

import redis
from celery import shared_task
from django.conf import settings

REPLIES = "*.reply.celery.pidbox"  # also the set that names them, which the next question makes anew
ENDLESS = -1  # what TTL says of a key without an end
KEPT = 3600  # seconds; whoever asked has long gone


@shared_task(name="config.tasks.prune_replies")
def prune_replies() -> int:
    """Answers to `celery inspect` that nobody fetched would lie in the broker for ever (celery/celery#6089,
    celery/kombu#294): they get an end. Returns how many keys got one.
    """
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=2) as broker:
        endless = (key for key in broker.scan_iter(REPLIES, count=1000) if broker.ttl(key) == ENDLESS)
        return sum(bool(broker.expire(key, KEPT)) for key in endless)  # EXPIRE with NX takes Redis 7
