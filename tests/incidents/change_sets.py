"""Change sets on their way through their own doors, and people for them to be about."""

from datetime import timedelta
from uuid import UUID

from django.db import connection
from django.utils import timezone

from consent.models import Consent
from consent.services import NewDecision, open_batch, record
from incidents.changes import applying, deciding, planning, rolling_back, running, undeclared
from incidents.models import ChangeSet, Rollback
from tests.factories import PurposeFactory, SubjectFactory, UserFactory, opt_in, opt_out

OUT = {"operation": "set_choice", "args": {"choice": "opt_out"}}
IN = {"operation": "set_choice", "args": {"choice": "opt_in"}}
LISTED = {"purpose": "marketing", "channel": "email", "explicit": False}


def imported(count, choice="opt_in", *, purpose="marketing", locale="de-DE", start=0) -> list[UUID]:
    """People of whom a list said something, and who never decided themselves."""
    PurposeFactory(code=purpose)
    people = [SubjectFactory(locale=locale) for _ in range(count)]
    batch = open_batch("import", reason="List of March", by="user:anna")
    record(
        [
            NewDecision(
                subject=person.pk, purpose=purpose, channel="email", choice=choice, cause="import", explicit=False,
                actor="user:anna", batch_id=batch.pk, decided_at=timezone.now() - timedelta(days=1),
            )
            for person in people
        ]
    )  # fmt: skip
    return sorted((person.pk for person in people), key=str)


def leaves(person, **facts):
    """They opt out themselves."""
    return record([opt_out(person, **facts)])[0]


def stays(person, **facts):
    return record([opt_in(person, **facts)])[0]


def draft(*operations, selector=LISTED, by="user:anna", **facts) -> ChangeSet:
    facts = {"title": "List of March", "reason": "It was read with its columns mixed up.", **facts}
    title = facts.pop("title")
    return deciding.write(title, operations=list(operations or [OUT]), selector=dict(selector), by=by, **facts)


def planned(*operations, **facts) -> ChangeSet:
    return planning.plan(draft(*operations, **facts), by="user:anna")


def in_review(*operations, **facts) -> ChangeSet:
    return deciding.submit(planned(*operations, **facts), by="user:anna")


def approved(*operations, **facts) -> ChangeSet:
    change = in_review(*operations, **facts)
    for _ in range(change.required_approvals):
        change = deciding.approve(change, by=officer())
    return change


def begun(*operations, **facts) -> ChangeSet:
    return applying.apply(approved(*operations, **facts), by="user:anna")


def applied(*operations, **facts) -> ChangeSet:
    change = begun(*operations, **facts)
    running.run_due()
    return fresh(change)


def taken_back(change, reason="It was wrong.", by=None) -> Rollback:
    """By two people, where that takes two."""
    made = rolling_back.roll_back(change, reason=reason, by=by or officer())
    return undeclared.confirm(made, by=officer()) if made.state == Rollback.State.WAITING else made


def one_step(of=running.SETS):
    """As a worker that dies after it: its lease ends at once."""
    claimed = running.claim(of)
    assert claimed
    running.go_on(claimed, most=1)


def fresh(row):
    if isinstance(row, Rollback):
        return Rollback.objects.select_related("incident", "change_set").get(pk=row.pk)
    return ChangeSet.objects.select_related("incident").get(pk=row.pk)


def officer(**facts):
    return UserFactory(role="Officer", **facts)


def responder(**facts):
    return UserFactory(role="Responder", **facts)


def states(*people, purpose="marketing", channel="email") -> list[str | None]:
    found = dict(
        Consent.objects.filter(subject__in=people, purpose=purpose, channel=channel).values_list("subject_id", "state")
    )
    return [found.get(person) for person in people]


def drifted() -> int:
    """Keys whose state is not what the log says."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM consent_consent c LEFT JOIN LATERAL "
            "consent_effective(c.subject_id, c.purpose, c.channel) e ON true "
            "WHERE (c.state, c.explicit, c.decision_id) IS DISTINCT FROM (e.choice, coalesce(e.explicit, false), e.id)"
        )
        return cursor.fetchone()[0]
