"""A planned file is written in portions, one transaction and one batch each, and undone as one.

A portion's rows are taken away in the transaction that writes them: whoever comes after a crash goes on with what is
left, and nothing is written twice.
"""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.models import User
from consent.bulk import Selected, walking, write_batch
from consent.importing import planning
from consent.models import Batch, Cause, Decision, Import, ImportPortion, ImportRow
from consent.refusals import SecondPersonNeeded
from consent.services import actor_of, open_batch, takes_two, void_batch

SIZE = 5000  # rows of the file: their keys stay locked until the portion is committed
TAKEN = [*ImportRow.WRITTEN, ImportRow.Effect.SAME, ImportRow.Effect.REPEATED]

# Whom the product does not know yet. Identifiers first: whoever loses the race for one makes no subject for it.
PEOPLE = """
    WITH new AS (
      SELECT DISTINCT ON (r.kind, r.digest) r.kind, r.digest, r.sealed, gen_random_uuid() AS subject_id
        FROM consent_importrow r
       WHERE r.import_id = %(import)s AND r.number > %(after)s AND r.number <= %(to)s AND r.effect = ANY (%(written)s)
         AND NOT EXISTS (SELECT FROM consent_identifier k WHERE k.kind = r.kind AND k.digest = r.digest)
       ORDER BY r.kind, r.digest
    ), won AS (
      INSERT INTO consent_identifier (kind, digest, sealed, subject_id, created_at)
      SELECT kind, digest, sealed, subject_id, now() FROM new ORDER BY kind, digest
      ON CONFLICT (kind, digest) DO NOTHING RETURNING subject_id
    )
    INSERT INTO consent_subject (id, locale, created_at) SELECT subject_id, '', now() FROM won
"""
CHOICES = """
    SELECT k.subject_id, r.purpose, r.channel, r.choice, coalesce(r.decided_at, %s)
      FROM consent_importrow r JOIN consent_identifier k ON k.kind = r.kind AND k.digest = r.digest
     WHERE r.import_id = %s AND r.number > %s AND r.number <= %s AND r.effect = ANY (%s)
"""
# Whoever opted in themselves stays listed: somebody should look whether the list knows better.
TAKE_AWAY = """
    DELETE FROM consent_importrow
     WHERE import_id = %s AND number > %s AND number <= %s AND effect = ANY (%s) AND effect <> 'outweighed'
"""


def portions(imported: Import) -> range:
    """The numbers of its portions, from 1."""
    return range(1, -(-imported.rows // SIZE) + 1)


def left(imported: Import) -> list[int]:
    """The portions that are still to be written."""
    done = set(imported.portions.values_list("number", flat=True))
    return [number for number in portions(imported) if number not in done]


@transaction.atomic
def apply_portion(imported: Import, number: int, batch: Batch, *, by: User | str = "") -> ImportPortion:
    """Write portion `number` as `batch`; a second time changes nothing and answers with the first.

    Opt-ins are written as they were planned, or not at all: whoever calls this has had them approved. Raises
    DecisionsRefused where the guard refuses them, and ValidationError for an import that was undone or emptied.
    """
    imported.refresh_from_db(from_queryset=Import.objects.select_for_update())
    if done := imported.portions.filter(number=number).first():
        return done
    _can_be_written(imported)
    if number not in portions(imported):
        raise ValidationError(f"{imported.ref} has no portion {number}, but {len(portions(imported))} of them.")
    after, to = (number - 1) * SIZE, number * SIZE
    counts = planning.look_again(imported, after, to)
    actor = (by if isinstance(by, str) else by.actor) or batch.created_by
    _make_known(imported, after, to, ImportRow.WRITTEN)
    written = write_batch(
        batch,
        Selected(CHOICES, [imported.moment, imported.pk, after, to, _texts(ImportRow.WRITTEN)]),
        cause=Cause.IMPORT,
        by=actor,
    )
    with walking() as cursor:
        cursor.execute(TAKE_AWAY, [imported.pk, after, to, _texts(TAKEN)])
    portion = imported.portions.create(number=number, batch=batch, written=written, counts=counts, applied_by=actor)
    if len(left(imported)) == 0:
        imported.applied_at, imported.applied_by = timezone.now(), actor
        imported.save(update_fields=["applied_at", "applied_by"])
    return portion


def apply_opt_outs(imported: Import, *, by: User | str) -> int:
    """Write what is left of a file that opts nobody in; returns how many rows became decisions now.

    An opt-out needs no approval. Raises ValidationError where the file would opt people in.
    """
    imported.refresh_from_db()
    if count := planning.opt_ins(imported.counts):
        raise ValidationError(
            f"{imported.ref} would opt {count:,} people in, which takes an approved change set. Leave them out, or ask "
            "for one."
        )
    written = 0
    for number in left(imported):
        with transaction.atomic():
            batch = open_batch("import", reason=_reason(imported, number), by=by)
            written += apply_portion(imported, number, batch, by=by).written
    return written


@transaction.atomic
def choices(imported: Import, *, taken_by: str) -> Selected:
    """What the file says of whom, for a change set that others approve, `taken_by` its number: also where a person's
    own opt-out stands, so that its plan counts them. Whom nobody knew is made known. Raises ValidationError where
    nothing is left to write.
    """
    imported.refresh_from_db(from_queryset=Import.objects.select_for_update())
    _can_be_written(imported)
    if imported.portions.exists():
        raise ValidationError(f"{imported.ref} was written in part already. Go on with it, or undo it.")
    planning.plan(imported)
    told = [*ImportRow.WRITTEN, ImportRow.Effect.PROTECTED]
    _make_known(imported, 0, imported.rows, told)
    imported.taken_by = taken_by
    imported.save(update_fields=["taken_by"])
    return Selected(CHOICES, [imported.moment, imported.pk, 0, imported.rows, _texts(told)])


def undo(imported: Import, *, reason: str, by: User | str, confirmed_by: str = "") -> int:
    """Void what was written, portion by portion; returns how many decisions were voided now. Resumable, and a second
    time changes nothing. Each person gets back what stood before, and choices that arrived meanwhile stay.

    Raises SecondPersonNeeded where that takes two, and nobody is named who confirmed it.
    """
    if not reason.strip():
        raise ValidationError("Say why it is undone.")
    if not confirmed_by and takes_two(Decision.objects.filter(batch__import_portion__imported=imported), by):
        raise SecondPersonNeeded("of the import")
    end(imported, reason=reason, by=by)
    done: Any = imported.portions.select_related("batch").order_by("number")
    facts: Any = {"reason": reason[:200], "by": by, "confirmed_by": confirmed_by}
    return sum(void_batch(portion.batch, **facts) for portion in done)


@transaction.atomic
def end(imported: Import, *, reason: str, by: User | str) -> None:
    """From now on no further portion is written: it is undone, or about to be."""
    imported.refresh_from_db(from_queryset=Import.objects.select_for_update())
    if imported.undone_at is None:
        imported.undone_at, imported.undone_reason, imported.undone_by = timezone.now(), reason[:200], actor_of(by)
        imported.save(update_fields=["undone_at", "undone_by", "undone_reason"])


def _can_be_written(imported: Import) -> None:
    if imported.undone_at is not None:
        raise ValidationError(f"{imported.ref} was undone. Upload the file again.")
    if imported.emptied_at is not None:
        raise ValidationError(f"{imported.ref} is older than 30 days, and its rows are gone. Upload the file again.")


def _make_known(imported: Import, after: int, to: int, effects: list[str]) -> None:
    with walking() as cursor:
        cursor.execute(PEOPLE, {"import": imported.pk, "after": after, "to": to, "written": _texts(effects)})


def _reason(imported: Import, number: int) -> str:
    return f"{imported.ref}, portion {number} of {len(portions(imported))}: {imported.file_name}"[:200]


def _texts(effects: list[str]) -> list[str]:
    return [str(effect) for effect in effects]
