"""A published text attacked with raw SQL: what was sent can always be read again, word for word."""

import psycopg
import pytest

from messaging.models import TemplateVersion
from messaging.publishing import approve, check, draft_from

NEW_BODY = """
    INSERT INTO messaging_templatebody (version_id, locale, subject, text, html)
    SELECT id, 'it', 'x', 'x', '' FROM messaging_templateversion WHERE state = 'published' LIMIT 1
"""
BORN_PUBLISHED = """
    INSERT INTO messaging_templateversion (template_id, number, state, context_schema, samples, created_at, created_by,
                                           published_by, published_reason, retired_by, retired_reason)
    VALUES ('request_received', 9, 'published', '{}', '[]', now(), 'x', '', '', '', '')
"""
CHECKED_WITHOUT_CONTENT = """
    UPDATE messaging_templateversion SET state = 'checked', checked_at = now(), checked_by = 'x',
           content_hash = sha256('x') WHERE state = 'draft'
"""
APPROVED_AND_CHANGED = """
    UPDATE messaging_templateversion SET state = 'approved', approved_at = now(), approved_by = 'x', samples = '[]'
     WHERE state = 'checked'
"""
PUBLISHED_WITHOUT_APPROVAL = """
    UPDATE messaging_templateversion SET state = 'published', published_at = now(), published_by = 'x',
           approved_at = now(), approved_by = 'x' WHERE state = 'checked'
"""


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE messaging_templatebody SET subject = 'x'",
        "UPDATE messaging_templatebody SET version_id = (SELECT max(id) FROM messaging_templateversion)",
        NEW_BODY,
        "DELETE FROM messaging_templatebody",
        "UPDATE messaging_templateversion SET state = 'draft' WHERE state = 'published'",
        "UPDATE messaging_templateversion SET samples = '[]' WHERE state = 'published'",
        "UPDATE messaging_templateversion SET content_hash = sha256('x') WHERE state = 'published'",
        "UPDATE messaging_templateversion SET state = 'published' WHERE state = 'draft'",
        "UPDATE messaging_templateversion SET state = 'approved' WHERE state = 'draft'",
        CHECKED_WITHOUT_CONTENT,
        APPROVED_AND_CHANGED,
        PUBLISHED_WITHOUT_APPROVAL,
        "UPDATE messaging_templateversion SET snapshots = '[]' WHERE state = 'published'",
        "UPDATE messaging_templatebody SET inlined = 'x'",
        "UPDATE messaging_templateversion SET state = 'retired' WHERE state = 'draft'",
        "DELETE FROM messaging_templateversion",
        "TRUNCATE messaging_templatebody",
        BORN_PUBLISHED,
    ],
)
def test_raw_sql_cannot_change_what_was_published(committed, statement):
    draft_from(TemplateVersion.objects.published("opt_out_confirmation").get(), by="user:anna")
    check(draft_from(TemplateVersion.objects.published("request_answered").get(), by="user:anna"), by="user:anna")

    for login in ("holdfast_app", "owner"):
        with committed.connect(login) as session:
            session.execute("SET lock_timeout = '2s'")
            with pytest.raises(psycopg.Error) as refused:
                session.execute(statement)
        assert refused.value.sqlstate in ("HF001", "42501")


def test_not_even_a_session_that_plays_a_replica_can(committed):
    with committed.connect("superuser") as session:
        session.execute("SET session_replication_role = replica")
        with pytest.raises(psycopg.Error) as refused:
            session.execute("UPDATE messaging_templatebody SET subject = 'x'")

    assert refused.value.sqlstate == "HF001"


def test_raw_sql_on_an_approved_text_takes_its_approval_away(committed):
    draft = draft_from(TemplateVersion.objects.published("opt_out_confirmation").get(), by="user:anna")
    check(draft, by="user:anna")
    approve(draft, reason="Read it", by="user:bela")

    with committed.connect("holdfast_app") as session:
        session.execute("UPDATE messaging_templatebody SET text = 'x' WHERE version_id = %s", [draft.pk])

    draft.refresh_from_db()
    assert (draft.state, draft.approved_by, draft.content_hash) == ("draft", "", None)
