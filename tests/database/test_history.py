"""One version for each change, whatever the path, and a hash over it that anybody can rebuild."""

import hashlib
import struct
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection

from consent.models import Consent
from consent.services import open_batch, record, void
from tests.database.conftest import NEW_DECISION, drift, gaps
from tests.factories import PurposeFactory, SubjectFactory, opt_in, opt_out

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
INT2, INT4, INT8, UUID_, TEXT, BOOL, TIMESTAMPTZ = 21, 23, 20, 2950, 25, 16, 1184
LEAF = (
    INT2,
    INT8,
    INT8,
    UUID_,
    TEXT,
    TEXT,
    TEXT,
    BOOL,
    TEXT,
    TEXT,
    TIMESTAMPTZ,
    INT8,
    INT4,
    TEXT,
    TIMESTAMPTZ,
    INT8,
    TEXT,
)
FIELDS = (
    "history_id", "id", "subject_id", "purpose", "channel", "state", "explicit", "cause", "actor", "decided_at",
    "decision_id", "version", "previous", "changed_at", "tx", "db_user",
)  # fmt: skip


def sent(oid, value) -> bytes:
    """What PostgreSQL's binary output function of the type gives."""
    if oid == TIMESTAMPTZ and isinstance(value, datetime):
        value = (value - EPOCH) // timedelta(microseconds=1)
    encode = {
        INT2: lambda: struct.pack(">h", value),
        INT4: lambda: struct.pack(">i", value),
        INT8: lambda: struct.pack(">q", value),
        TIMESTAMPTZ: lambda: struct.pack(">q", value),
        BOOL: lambda: bytes([value]),
        TEXT: lambda: value.encode(),
        UUID_: lambda: value.bytes,
    }
    return encode[oid]()


def leaf_hash(values) -> bytes:
    """RFC 6962: SHA-256 of a zero byte and the leaf; the leaf is record_send of the format's number and the fields."""
    leaf = struct.pack(">i", len(LEAF))
    for oid, value in zip(LEAF, (1, *values), strict=True):
        body = b"" if value is None else sent(oid, value)
        leaf += struct.pack(">Ii", oid, -1 if value is None else len(body)) + body
    return hashlib.sha256(b"\0" + leaf).digest()


PERSON = UUID("00000000-0000-4000-8000-00000000000a")
GOLDEN = {
    # name: (values of FIELDS, the timestamps as text for PostgreSQL, digest)
    "plain": (
        (1, 2, PERSON, "marketing", "email", "opt_out", True, "subject_choice", "subject", 0, 3, 1, None, 0, 4, "app"),
        ("2000-01-01 00:00:00+00", "2000-01-01 00:00:00+00"),
        "ebcdcc202314c2ad96d9823b8c0ce8ca0fb9c28b81d0a10684e1aa1342e976ed",
    ),
    "empty": (
        (2**63 - 1, 1, PERSON, "*", "*", None, False, "", "", None, None, 2**31 - 1, "opt_in", -1, 2**63 - 1, ""),
        (None, "1999-12-31 23:59:59.999999+00"),
        "d2f184378ac7800db68a993c18495b52adeea12a2f8aaac6c35208f113b247f5",
    ),
    "letters of many kinds": (
        (
            3,
            3,
            PERSON,
            "größe",
            "sms",
            "opt_in",
            True,
            "support",
            "user:Zoë 山田 👋",
            -1,
            9,
            2,
            "opt_out",
            1,
            5,
            "ånna",
        ),
        ("1999-12-31 23:59:59.999999+00", "2000-01-01 00:00:00.000001+00"),
        "d3d95f5e329301bc41054742e50cc1a1b716fa71322e423205c14b6ec4c01c0f",
    ),
    "the ends of time": (
        (4, 4, PERSON, "a", "web", "opt_in", False, "x", "y", -(2**63), 1, 1, None, 9223371331199999999, 1, "z"),
        ("-infinity", "294276-12-31 23:59:59.999999+00"),
        "06e6d0a74341b1381541d2d35512f77ad8dff1a160ec60c24377e008edc032ca",
    ),
    "before the first day": (
        (5, 5, PERSON, "a", "web", "opt_in", False, "x", "y", -211813488000000000, 1, 1, None, 2**63 - 1, 1, "z"),
        ("4714-11-24 00:00:00+00 BC", "infinity"),
        "9fd1a28a0a24b239a5982a9922214baa25df8b0f84d6619f197f95cc94c705ee",
    ),
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", GOLDEN)
def test_a_leaf_is_rebuilt_outside_the_database_and_stays_what_it_was(name):
    values, (decided_at, changed_at), digest = GOLDEN[name]
    given = [*values[:9], decided_at, *values[10:13], changed_at, *values[14:]]

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sha256('\\x00'::bytea || record_send(ROW(1::int2, %s::int8, %s::int8, %s::uuid, %s::text, "
            "%s::text, %s::text, %s::bool, %s::text, %s::text, %s::timestamptz, %s::int8, %s::int4, %s::text, "
            "%s::timestamptz, %s::int8, %s::text)))",
            given,
        )
        [made] = cursor.fetchone()

    assert bytes(made) == leaf_hash(values)
    assert bytes(made).hex() == digest


@pytest.mark.django_db
def test_the_hash_that_is_stored_is_that_of_the_row():
    PurposeFactory(code="marketing")
    subject = SubjectFactory()
    [bad] = record([opt_in(subject, explicit=False, cause="import", actor="user:Zoë 山田")])
    void([bad.id], reason="Wrong list", by="user:ben")
    record([opt_out(subject), opt_out(subject, "*", "*", decided_at=datetime(2000, 1, 1, tzinfo=UTC))])

    rows = list(Consent.history.all())

    assert len(rows) == 4
    assert {row.state for row in rows} == {"opt_in", None, "opt_out"}
    for row in rows:
        assert bytes(row.leaf_hash) == leaf_hash([getattr(row, name) for name in FIELDS])


def _raw(connection, ids):
    connection.execute(
        f"{NEW_DECISION} VALUES (%s, 'marketing', 'email', 'opt_out', true, 'support', now(), 'x')", ids[:1]
    )


def _many(connection, ids):
    connection.execute(
        f"{NEW_DECISION} SELECT i, 'marketing', c, 'opt_out', false, 'support', now(), 'x' "
        "FROM unnest(%s::uuid[]) i, unnest(ARRAY['email', 'sms', '*']) c",
        [ids],
    )


def _copy(connection, ids):
    head = "COPY consent_decision (subject_id, purpose, channel, choice, cause, decided_at, actor) FROM STDIN"
    with connection.cursor().copy(head) as copy:
        for number in ids:
            copy.write_row([number, "marketing", "sms", "opt_out", "support", "2025-01-01", "x"])


def _merge(connection, ids):
    connection.execute(
        "MERGE INTO consent_decision d USING unnest(%s::uuid[]) s(id) ON false WHEN NOT MATCHED THEN INSERT "
        "(subject_id, purpose, channel, choice, cause, decided_at, actor) "
        "VALUES (s.id, 'marketing', 'post', 'opt_out', 'support', now(), 'x')",
        [ids],
    )


def _two_in_one(connection, ids):
    connection.execute(
        f"WITH a AS ({NEW_DECISION} VALUES (%(id)s, 'marketing', 'push', 'opt_in', false, 'support', now(), 'x')) "
        f"{NEW_DECISION} VALUES (%(id)s, 'marketing', 'push', 'opt_out', true, 'support', now(), 'x')",
        {"id": ids[0]},
    )


def _made_and_voided(connection, ids):
    """The void's trigger comes first: its CTE ends at its first row, the other runs on to the end."""
    connection.execute(
        f"WITH d AS ({NEW_DECISION} SELECT i, 'marketing', 'web', 'opt_in', false, 'support', now(), 'x' "
        "FROM unnest(%s::uuid[]) i RETURNING id), v AS ("
        "INSERT INTO consent_decisionvoid (decision_id, reason, voided_by) "
        "SELECT id, 'x', 'x' FROM d LIMIT 1 RETURNING 1) SELECT * FROM v",
        [ids],
    )


def _undone(connection, ids):
    _many(connection, ids)
    connection.execute(
        "INSERT INTO consent_decisionvoid (decision_id, reason, voided_by) SELECT id, 'x', 'x' FROM consent_decision "
        "WHERE NOT explicit AND choice = 'opt_out' ON CONFLICT DO NOTHING"
    )


@pytest.mark.parametrize("path", [_raw, _many, _copy, _merge, _two_in_one, _made_and_voided, _undone])
def test_history_is_whole_and_state_is_what_the_log_says_whatever_the_path(committed, path):
    PurposeFactory(code="marketing")
    ids = [SubjectFactory().pk for _ in range(3)]
    batch = open_batch("import", reason="List", by="user:anna")
    record([opt_in(i, explicit=False, cause="import", batch_id=batch.pk) for i in ids])

    with committed.connect("holdfast_app", autocommit=False) as session:
        path(session, ids)
        path(session, ids)

    with committed.connect("superuser") as look:
        assert gaps(look) == []
        assert drift(look) == []
