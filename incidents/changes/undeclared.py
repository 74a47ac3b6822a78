"""Taking back what a session wrote that declared nothing: found by its login and interval, transaction or batch.

What people chose themselves is met too, counted, and stays. Lifting opt-outs, even such that nobody chose, and reaching
many people takes a second person. So does an import, and a set that was applied.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from config.models import User
from consent.importing.applying import end
from consent.models import Import
from consent.services import ALONE, actor_of
from incidents.changes.allowing import TAKES_BACK, not_permitted
from incidents.changes.rolling_back import declare, go_back, log_head, start, tell_of
from incidents.changes.telling import LONGEST, line
from incidents.changing import why
from incidents.models import ChangeBatch, ChangeSet, Incident, Rollback
from incidents.services import open_or_join
from incidents.timeline import Source

State = Rollback.State

OWN = "SELECT count(*) FROM consent_decision d WHERE {which} AND d.explicit"
OF_BATCH = "d.batch_id = %(batch)s"
OF_IMPORT = "d.batch_id IN (SELECT p.batch_id FROM consent_importportion p WHERE p.import_id = %(import)s)"
# What a change set wrote was declared: it is taken back with its set.
OF_NO_SET = " AND NOT EXISTS (SELECT FROM incidents_changebatch b WHERE b.batch_id = d.batch_id)"
OF_TX = "d.tx = %(tx)s" + OF_NO_SET
OF_SESSION = "d.db_user = %(db_user)s AND d.received_at >= %(since)s AND d.received_at < %(until)s" + OF_NO_SET

MEETS = """
    SELECT count(*), count(*) FILTER (WHERE d.choice = 'opt_out'), count(DISTINCT d.subject_id) FROM consent_decision d
     WHERE {which} AND NOT d.explicit AND NOT EXISTS (SELECT FROM consent_decisionvoid v WHERE v.decision_id = d.id)
"""


@dataclass(frozen=True, slots=True)
class Met:
    """What a predicate meets: decisions that would be voided, of these opt-outs, whose, and people's own that stay."""

    item_count: int
    opt_out_count: int
    people_count: int
    explicit_count: int

    @property
    def needs_second(self) -> bool:
        return self.opt_out_count > 0 or self.item_count > ALONE


def look(predicate: Mapping[str, Any]) -> Met:
    """Count what would be taken back, and do nothing. Raises ValidationError for what is no predicate."""
    which, facts = _read(predicate)
    with connection.cursor() as cursor:
        cursor.execute(MEETS.format(which=which), facts)
        items, opt_outs, people = cursor.fetchone()
    return Met(items, opt_outs, people, _own(which, facts))


@transaction.atomic
def roll_back_undeclared(
    predicate: Mapping[str, Any], *, reason: str, by: User | str, incident: Incident | None = None
) -> Rollback:
    """Take back what a session wrote that declared nothing: `{"db_user", "since", "until"}`, `{"tx"}` or `{"batch"}`;
    or what an import wrote: `{"import": "IM-5"}`.

    What people chose themselves is met too, counted, and stays. What would lift opt-outs, or is more than a thousand
    decisions, waits for `confirm` by a second person. Raises ValidationError.
    """
    if refused := not_permitted(TAKES_BACK, by):
        raise ValidationError(refused)
    which, facts = _read(predicate)
    made = Rollback.objects.create(
        incident=incident, predicate=dict(predicate), reason=why(reason)[:LONGEST], state=State.WAITING,
        started_by=actor_of(by), log_before=log_head(),
    )  # fmt: skip
    made.explicit_count = _own(which, facts)
    declare(made, which, facts)
    if not made.item_count:
        raise ValidationError(f"There is nothing to take back: {made.explicit_count:,} of people's own choices stay.")
    if made.incident is None:
        made.incident = _incident(made, by)
        made.save(update_fields=["incident"])
    which_ones = f"decisions of {predicate['import']}" if "import" in predicate else "undeclared decisions"
    line(made.incident, f"{made.item_count:,} {which_ones} are to be taken back. {reason}", by=by)
    if made.opt_out_count == 0 and made.item_count <= ALONE:
        _go(made, by)
    return made


@transaction.atomic
def confirm(rollback: Rollback, *, by: User | str) -> Rollback:
    """A second person agrees. Raises ValidationError."""
    found = _locked(rollback)
    if refused := confirm_refusal(found, by):
        raise ValidationError(refused)
    found.confirmed_at, found.confirmed_by = timezone.now(), actor_of(by)
    found.save()  # the database asks for it before the set goes back
    _go(found, by)
    tell_of(found, "confirmed by a second person.", by)
    return found


@transaction.atomic
def cancel(rollback: Rollback, *, reason: str, by: User | str) -> Rollback:
    """Give up what waits for a second person; nothing of it was done. Raises ValidationError."""
    found = _locked(rollback)
    if found.state != State.WAITING:
        raise ValidationError(f"It is {found.get_state_display()}: only what waits can be given up.")
    if refused := not_permitted(TAKES_BACK, by):
        raise ValidationError(refused)
    found.state, found.ended_at, found.ended_by = State.CANCELLED, timezone.now(), actor_of(by)
    found.save()
    tell_of(found, f"given up. {why(reason)}", by)
    return found


def confirm_refusal(rollback: Rollback, by: User | str) -> str:
    """Why `by` cannot confirm it, in words; empty: they can."""
    if rollback.state != State.WAITING:
        return f"It is {rollback.get_state_display()}: it waits for nobody."
    if refused := not_permitted(TAKES_BACK, by, by_person=True):
        return refused
    return "You began it: a second person confirms it." if actor_of(by) == rollback.started_by else ""


def _go(rollback: Rollback, by: User | str) -> None:
    """It is let through: of a set, it goes back; of an import, no further portion of it is written."""
    if rollback.change_set_id:
        change = ChangeSet.objects.select_for_update(of=("self",)).select_related("incident")
        go_back(change.get(pk=rollback.change_set_id), rollback, by=by)
        return
    if "import" in rollback.predicate:
        imported = _import(rollback.predicate["import"])
        end(imported, reason=rollback.reason, by=rollback.started_by)
        declare(rollback, OF_IMPORT, {"import": imported.pk})  # also what it wrote while this waited
    start(rollback)


def _own(which: str, facts: Mapping[str, Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(OWN.format(which=which), facts)
        return int(cursor.fetchone()[0])


def _read(predicate: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Raises ValidationError for what is no predicate."""
    names = set(predicate)
    try:
        if names == {"tx"}:
            return OF_TX, {"tx": int(predicate["tx"])}
        if names == {"batch"}:
            return OF_BATCH, {"batch": _undeclared_batch(UUID(str(predicate["batch"])))}
        if names == {"import"}:
            return OF_IMPORT, {"import": _import(predicate["import"]).pk}
        if names == {"db_user", "since", "until"}:
            since, until = (parse_datetime(str(predicate[name])) for name in ("since", "until"))
            if since and until and since.tzinfo and until.tzinfo and since < until:
                return OF_SESSION, {"db_user": str(predicate["db_user"]), "since": since, "until": until}
            raise ValidationError("Give since and until with their offset, the earlier one first.")
    except ValueError as error:
        raise ValidationError(f"This cannot be read: {error}") from error
    raise ValidationError("Say which writes: tx; or batch; or import; or db_user with since and until.")


def _undeclared_batch(number: UUID) -> UUID:
    of_set = ChangeBatch.objects.filter(batch=number).select_related("change_set").first()
    if of_set is not None:
        raise ValidationError(f"{of_set.change_set.ref} wrote this batch: take that back.")
    return number


def _import(ref: str) -> Import:
    number = str(ref).removeprefix("IM-")
    found = Import.objects.filter(pk=int(number)).first() if number.isascii() and number.isdigit() else None
    if found is None:
        raise ValidationError(f"There is no import {ref}.")
    return found


def _incident(rollback: Rollback, by: User | str) -> Incident:
    now = timezone.now()
    of_import = rollback.predicate.get("import")
    title = f"{of_import} is taken back" if of_import else "Writes that nobody declared are taken back"
    incident, _ = open_or_join(
        f"rollback:{rollback.pk}", title, occurred_from=now, detected_at=now,
        by=by, severity=Incident.Severity.SEV2, source=Source.SYSTEM, text=f"{rollback.predicate}. {rollback.reason}",
    )  # fmt: skip
    return incident


def _locked(rollback: Rollback) -> Rollback:
    found = Rollback.objects.select_for_update(of=("self",)).select_related("incident", "change_set__incident")
    return found.get(pk=rollback.pk)
