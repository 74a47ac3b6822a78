"""Counting a cohort: who of it a notice goes to, who is left out and why. By sets: no person costs a statement."""

import hashlib
import json
from collections.abc import Sequence
from uuid import UUID

from django.db import connection

from config.statements import plain
from consent.services import Query, check
from messaging.gate import ALLOWED_ANYWAY, is_stopped_by
from messaging.models import Notice, NoticeRecipient, Suppression, TemplateVersion

AT_ONCE = 10_000  # people whose consent one statement asks for
Excluded = NoticeRecipient.Excluded

# `kind || ''` keeps the planner off the index that begins with kind: without fresh statistics it would read all
# addresses there are once for each person.
COUNT_IN = """
    INSERT INTO messaging_noticerecipient (notice_id, subject_id, excluded)
    SELECT %s, root.id,
           CASE WHEN root.erased_at IS NOT NULL THEN 'erased'
                WHEN address.digest IS NULL THEN 'no_address'
                WHEN EXISTS (SELECT FROM messaging_suppression p WHERE p.digest = address.digest
                              AND (p.expires_at IS NULL OR p.expires_at > clock_timestamp())
                              AND p.reason <> ALL (%s::text[])) THEN 'suppressed'
                ELSE '' END
      FROM (SELECT DISTINCT coalesce(s.merged_into_id, s.id) AS id
              FROM unnest(%s::uuid[]) AS wanted(id) JOIN consent_subject s USING (id)) people
      JOIN consent_subject root ON root.id = people.id
      LEFT JOIN LATERAL (
        SELECT i.digest FROM consent_identifier i
         WHERE i.subject_id = root.id AND i.kind || '' = 'email' AND i.sealed IS NOT NULL
         ORDER BY i.created_at DESC, i.id DESC LIMIT 1) address ON true
     ORDER BY root.id
"""
TOTALS = """
    SELECT count(*) FILTER (WHERE excluded = ''), count(*) FILTER (WHERE excluded <> ''),
           sha256(convert_to(coalesce(string_agg(subject_id::text, E'\\n' ORDER BY subject_id)
                                      FILTER (WHERE excluded = ''), ''), 'UTF8'))
      FROM messaging_noticerecipient WHERE notice_id = %s
"""


def count_in(notice: Notice, subject_ids: Sequence[UUID]) -> None:
    """Write the cohort down anew and put the totals and the digest into the notice. The notice must be a draft."""
    NoticeRecipient.objects.filter(notice=notice).delete()
    with connection.cursor() as cursor:
        message_class = notice.template.message_class
        passed_over = [reason for reason in Suppression.Reason.values if not is_stopped_by(reason, message_class)]
        cursor.execute(COUNT_IN, [notice.pk, passed_over, plain(subject_ids)])
        if message_class not in ALLOWED_ANYWAY:
            leave_out_who_said_no(notice)
        cursor.execute(TOTALS, [notice.pk])
        notice.to_write, notice.left_out, notice.cohort_digest = cursor.fetchone()


def leave_out_who_said_no(notice: Notice) -> None:
    """By the same question that is asked again at the moment of sending."""
    rows = NoticeRecipient.objects.filter(notice=notice, excluded="").order_by("subject_id")
    asked = list(rows.values_list("subject_id", flat=True))
    for start in range(0, len(asked), AT_ONCE):
        some = asked[start : start + AT_ONCE]
        answers = check([Query(subject_id, notice.purpose, "email") for subject_id in some])
        for excluded, state in ((Excluded.OPTED_OUT, "opted_out"), (Excluded.NO_CONSENT, "never_asked")):
            refused = [
                person
                for person, answer in zip(some, answers, strict=True)
                if not answer.allowed and answer.state == state
            ]
            if refused:
                rows.filter(subject_id__in=refused).update(excluded=excluded)


def fingerprint_of(notice: Notice, version: TemplateVersion) -> bytes:
    """What an approval is of: these people, this text, these facts."""
    facts = {
        "cohort": bytes(notice.cohort_digest or b"").hex(),
        "template": version.template_id,
        "version": version.number,
        "text": bytes(version.content_hash or b"").hex(),
        "context": notice.context,
        "purpose": notice.purpose,
        "incident": notice.incident_id,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).digest()
