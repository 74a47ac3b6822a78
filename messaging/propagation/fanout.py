"""From the log of changes to what each endpoint is owed: one row per endpoint and change, written once."""

from django.db import connection

from consent import feed
from messaging.models import Endpoint, WebhookDelivery

READER = feed.CHANGES + "webhooks"
MERGES_LOOKED_AT = 5_000  # the newest: one that commits later than so many others would be missed

# `*` in a change is about every purpose or channel, so it is news for each of them.
WANTED = """
    e.state <> 'retired' AND e.about = 'choices'
    AND (cardinality(e.purposes) = 0 OR {0}.purpose = '*' OR {0}.purpose = ANY (e.purposes))
    AND (cardinality(e.channels) = 0 OR {0}.channel = '*' OR {0}.channel = ANY (e.channels))
"""
COLUMNS = """
    INSERT INTO messaging_webhookdelivery AS d
      (id, endpoint_id, kind, source_id, subject_id, into_id, merged, purpose, channel, before, after, explicit, cause,
       decision_id, version, occurred_at, state, not_before, attempts_made, tries, last_error, created_at)
"""
CHANGE = """
    SELECT gen_random_uuid(), e.id, 'consent.changed', h.history_id, h.subject_id, NULL::uuid,
           ARRAY(SELECT s.id FROM consent_subject s WHERE s.merged_into_id = h.subject_id ORDER BY s.id),
           h.purpose, h.channel, h.previous, h.state, h.explicit, h.cause, h.decision_id, h.version, h.changed_at,
           'due', statement_timestamp(), 0, 0, '', statement_timestamp()
"""
CHANGES = f"""
    {COLUMNS} {CHANGE} FROM consent_historicalconsent h JOIN messaging_endpoint e ON {WANTED.format("h")}
     WHERE h.history_id = ANY (%s) AND h.state IS DISTINCT FROM h.previous
    ON CONFLICT (endpoint_id, kind, source_id) DO NOTHING
"""
MERGES = f"""
    {COLUMNS}
    SELECT gen_random_uuid(), e.id, 'subject.merged', m.id, m.merged_id, m.into_id, ARRAY[]::uuid[], '', '', NULL, NULL,
           false, '', NULL, 0, m.merged_at, 'due', statement_timestamp(), 0, 0, '', statement_timestamp()
      FROM consent_subjectmerge m JOIN messaging_endpoint e
        ON e.state <> 'retired' AND e.about = 'choices' AND e.created_at <= m.merged_at
     WHERE m.id > (SELECT coalesce(max(id), 0) - %s FROM consent_subjectmerge)
       AND NOT EXISTS (SELECT FROM messaging_webhookdelivery k
                        WHERE k.endpoint_id = e.id AND k.kind = 'subject.merged' AND k.source_id = m.id)
    ON CONFLICT (endpoint_id, kind, source_id) DO NOTHING
"""


def owe(limit: int = 1000) -> int:
    """Write down what the log of changes has news of; returns how many versions were looked at, and merges told."""
    if not Endpoint.objects.exclude(state=Endpoint.State.RETIRED).exists():
        feed.skip(READER)
        return 0
    with connection.cursor() as cursor:
        cursor.execute(MERGES, [MERGES_LOOKED_AT])
        merges = cursor.rowcount
    with feed.changes(READER, limit) as versions:
        if versions:
            with connection.cursor() as cursor:
                cursor.execute(CHANGES, [[version.pk for version in versions]])
        return len(versions) + merges


def owe_all(limit: int = 1000) -> int:
    """Until the log has no more news."""
    total = 0
    while seen := owe(limit):
        total += seen
    return total


def told_of(decision_id: int) -> tuple[int, int]:
    """How many services are owed the change that a decision made, and how many of them took it."""
    owed = WebhookDelivery.objects.filter(decision_id=decision_id)
    return owed.count(), owed.filter(state=WebhookDelivery.State.DELIVERED).count()
