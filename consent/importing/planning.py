"""What each row of a file would do, found by one statement: a plan changes nothing but what it says of itself.

Never an opt-in over a person's own opt-out. An opt-out is always kept in the log, also where it changes nothing now:
what stands in its place may be undone one day, and then it must not be missing.
"""

from collections import Counter

from django.db import connection, transaction
from django.utils import timezone

from consent.bulk import walking
from consent.models import Choice, Import, ImportRow

Effect = ImportRow.Effect

# The newest row of a person for a key counts, ties to out. Only what turns out otherwise than it was said is written.
PLAN = """
    WITH said AS (
      SELECT r.id, r.choice, r.purpose, r.channel, r.effect, coalesce(r.decided_at, %(moment)s) AS moment, k.subject_id,
             {rank} AS rank
        FROM consent_importrow r
        LEFT JOIN consent_identifier k ON k.kind = r.kind AND k.digest = r.digest
       WHERE r.import_id = %(import)s AND r.number > %(after)s AND r.number <= %(to)s AND {which}
    ), found AS (
      SELECT s.id, s.choice, s.effect AS before, CASE
        WHEN s.rank > 1 THEN 'repeated'
        WHEN s.choice = 'opt_out' THEN CASE
          WHEN c.id IS NULL THEN 'changes'
          WHEN c.explicit AND c.state = 'opt_out' THEN 'same'
          WHEN EXISTS (SELECT FROM consent_decision d
                        WHERE d.subject_id = s.subject_id AND d.purpose = s.purpose AND d.channel = s.channel
                          AND d.choice = 'opt_out' AND d.cause = 'import' AND d.decided_at = s.moment
                          AND NOT EXISTS (SELECT FROM consent_decisionvoid v WHERE v.decision_id = d.id)) THEN 'same'
          WHEN c.explicit THEN 'outweighed'
          WHEN c.state = 'opt_out' THEN 'kept'
          WHEN c.decided_at > s.moment THEN 'older_out'
          ELSE 'changes' END
        WHEN s.subject_id IS NULL THEN 'changes'
        WHEN EXISTS (SELECT FROM consent_consent w
                      WHERE w.subject_id = s.subject_id AND w.explicit AND w.state = 'opt_out'
                        AND w.purpose IN (s.purpose, '*') AND w.channel IN (s.channel, '*')) THEN 'protected'
        WHEN c.state = 'opt_in' THEN 'same'
        WHEN c.decided_at >= s.moment THEN 'older'
        ELSE 'changes' END AS effect
        FROM said s
        LEFT JOIN consent_consent c
          ON c.subject_id = s.subject_id AND c.purpose = s.purpose AND c.channel = s.channel
    )
    UPDATE consent_importrow r SET effect = {effect} FROM found f WHERE f.effect <> f.before AND r.id = f.id
"""
RANK = """
    row_number() OVER (PARTITION BY k.subject_id, CASE WHEN k.subject_id IS NULL THEN r.digest END,
                                    CASE WHEN k.subject_id IS NULL THEN r.kind END, r.purpose, r.channel
                       ORDER BY coalesce(r.decided_at, %(moment)s) DESC, (r.choice = 'opt_out') DESC, r.number)
"""
WHOLE = PLAN.format(rank=RANK, which="r.effect <> 'refused'", effect="f.effect")
# What a portion that is about to be written is asked again. An opt-in that was not to be written stays out: nobody has
# agreed to it. An opt-out was to be left out because it stands: by now that may have been undone. Any other opt-out is
# written, whatever happened meanwhile.
PORTION = PLAN.format(
    rank="1",
    which="r.effect NOT IN ('refused', 'repeated', 'moved') AND (r.choice = 'opt_in' OR r.effect = 'same')",
    effect="CASE WHEN f.choice = 'opt_in' AND f.effect = 'changes' THEN 'moved' ELSE f.effect END",
)
COUNT = """
    SELECT choice, effect, count(*) FROM consent_importrow
     WHERE import_id = %s AND number > %s AND number <= %s GROUP BY choice, effect
"""

Counts = dict[str, int]  # `opt_out changes`, `opt_in protected`, `refused` …


@transaction.atomic
def plan(imported: Import) -> Counts:
    """How many rows would do what, now. May be asked again until the first portion is written."""
    imported.refresh_from_db(from_queryset=Import.objects.select_for_update())
    if not imported.portions.exists() and imported.emptied_at is None:
        _run(WHOLE, imported, 0, imported.rows)
        imported.counts, imported.planned_at = counted(imported, 0, imported.rows), timezone.now()
        imported.save(update_fields=["counts", "planned_at"])
    return imported.counts


def look_again(imported: Import, after: int, to: int) -> Counts:
    """The rows of a portion that is about to be written, under the same transaction."""
    _run(PORTION, imported, after, to)
    return counted(imported, after, to)


def counted(imported: Import, after: int, to: int) -> Counts:
    counts: Counter[str] = Counter()
    with connection.cursor() as cursor:
        cursor.execute(COUNT, [imported.pk, after, to])
        for choice, effect, count in cursor.fetchall():
            counts[f"{choice} {effect}" if effect != Effect.REFUSED else effect] += count
    return dict(sorted(counts.items()))


def opt_ins(counts: Counts) -> int:
    """How many people would be opted in: that is never done without somebody's approval."""
    return counts.get(f"{Choice.OPT_IN} {Effect.CHANGES}", 0)


def written(counts: Counts) -> int:
    """How many rows would become decisions."""
    outs = sum(counts.get(f"{Choice.OPT_OUT} {effect}", 0) for effect in ImportRow.WRITTEN)
    return outs + opt_ins(counts)


def _run(statement: str, imported: Import, after: int, to: int) -> None:
    with walking() as cursor:
        cursor.execute(statement, {"import": imported.pk, "moment": imported.moment, "after": after, "to": to})


def told(counts: Counts) -> list[tuple[int, str]]:
    """The counts for people, what changes first: 5, `opt out: changes what stands`."""
    lines = [
        (counts.get(f"{choice.value} {effect.value}", 0), f"{choice.label}: {effect.label}")
        for effect in Effect
        for choice in (Choice.OPT_OUT, Choice.OPT_IN)
    ]
    return [line for line in (*lines, (counts.get(Effect.REFUSED, 0), str(Effect.REFUSED.label))) if line[0]]
