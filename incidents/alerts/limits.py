"""How fast a source may post: counted in the database, so that all processes count together, without a lock.

Deliveries of the last minute are counted, and none of them waits for another. After a look a process takes an eighth of
what is left before it looks again, for a second at most: in a storm the count would cost more than the delivery. So
eight processes keep to the limit, and more may pass it by a little. What is above is counted and announced.
"""

import time
from datetime import datetime, timedelta

from django.db import connection

from incidents.alerts.posted import Posted
from incidents.models import AlertDelivery, AlertSource

MINUTE = timedelta(minutes=1)
WINDOW = timedelta(minutes=15)  # of one announcement
RETRY_AFTER = 60  # seconds
SHARE, TRUSTED = 8, 1.0  # part of what is left, and seconds, until the next look

COUNT = """
    INSERT INTO incidents_alertoverflow AS o (source_id, began_at, count) VALUES (%s, %s, 1)
    ON CONFLICT (source_id, began_at) DO UPDATE SET count = o.count + 1 RETURNING count
"""


_room: dict[int, tuple[int, float]] = {}  # of each source: how many more, and until when


def is_over(source: AlertSource, now: datetime) -> bool:
    room, until = _room.get(source.pk, (0, 0.0))
    if room > 0 and time.monotonic() < until:
        _room[source.pk] = (room - 1, until)
        return False
    recent = AlertDelivery.objects.of_source_since(source, now - MINUTE)
    left = source.rate_limit - recent.values("pk")[: source.rate_limit].count()
    _room[source.pk] = (left // SHARE, time.monotonic() + TRUSTED)
    return left <= 0


def window_of(moment: datetime) -> datetime:
    return moment.replace(minute=moment.minute - moment.minute % 15, second=0, microsecond=0)


def count(source: AlertSource, posted: Posted) -> int:
    """How many were turned away in this quarter of an hour, with this one."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT, [source.pk, window_of(posted.at)])
        return int(cursor.fetchone()[0])
