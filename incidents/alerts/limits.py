"""How fast a source may post: counted in the database, so that all processes count together, without a lock.

Deliveries of the last minute are counted, and none of them waits for another. Under a burst a process may let a few
more in than the limit says; whatever is above it is counted and announced, never silently lost.
"""

from datetime import datetime, timedelta

from django.db import connection

from incidents.alerts.posted import Posted
from incidents.models import AlertDelivery, AlertSource

MINUTE = timedelta(minutes=1)
WINDOW = timedelta(minutes=15)  # of one announcement
RETRY_AFTER = 60  # seconds

COUNT = """
    INSERT INTO incidents_alertoverflow AS o (source_id, began_at, count) VALUES (%s, %s, 1)
    ON CONFLICT (source_id, began_at) DO UPDATE SET count = o.count + 1 RETURNING count
"""


def is_over(source: AlertSource, now: datetime) -> bool:
    recent = AlertDelivery.objects.of_source_since(source, now - MINUTE)
    return recent.values("pk")[: source.rate_limit].count() >= source.rate_limit


def window_of(moment: datetime) -> datetime:
    return moment.replace(minute=moment.minute - moment.minute % 15, second=0, microsecond=0)


def count(source: AlertSource, posted: Posted) -> int:
    """How many were turned away in this quarter of an hour, with this one."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT, [source.pk, window_of(posted.at)])
        return int(cursor.fetchone()[0])
