"""Who may do what with a change set, and when: asked by the verbs themselves, and by pages for their buttons."""

from collections.abc import Callable
from dataclasses import dataclass

from django.core.exceptions import ValidationError

from config.models import User
from consent.services import actor_of
from incidents.models import ChangeApproval, ChangeSet, Rollback

State = ChangeSet.State
AUTHORS, APPROVES = "incidents.add_changeset", "incidents.approve_changeset"
APPLIES, BYPASSES, TAKES_BACK = (
    "incidents.apply_changeset",
    "incidents.bypass_changeset",
    "incidents.roll_back_changeset",
)

Rule = Callable[[ChangeSet, User | str], str]


@dataclass(frozen=True, slots=True)
class Verb:
    """`needs`: the permission that a person or service must have; what this product does by itself needs none.
    `by_person`: nobody answers for a program. `rule`: what else stands against it, in words."""

    needs: str
    states: tuple[str, ...]
    by_person: bool = False
    rule: Rule = lambda change, by: ""


def _not_own(change: ChangeSet, by: User | str) -> str:
    return "You wrote or edited it: somebody else approves or declines it." if actor_of(by) in change.authors else ""


def _first_answer(change: ChangeSet, by: User | str) -> str:
    if own := _not_own(change, by):
        return own
    given = ChangeApproval.objects.filter(
        change_set=change, revision=change.revision, plan_digest=change.plan_digest, given_by=actor_of(by)
    )
    return "You have answered for this plan already." if given.exists() else ""


def _decided_by_a_person(change: ChangeSet, by: User | str) -> str:
    """What waits for somebody is let go by somebody; a program lets go only of what it stopped itself."""
    return "" if change.paused_by == actor_of(by) else not_permitted(APPLIES, by, by_person=True)


def _asked_already(change: ChangeSet, by: User | str) -> str:
    asked = change.rollbacks.filter(state=Rollback.State.WAITING).first()
    return f"{asked.started_by} has asked for that: a second person confirms it under Taken back." if asked else ""


def _has_plan(change: ChangeSet, by: User | str) -> str:
    return "" if change.plan_digest else "Plan it first: nobody can judge what it would do without a plan."


def _bypassable(change: ChangeSet, by: User | str) -> str:
    if change.bypassed_at:
        return f"{change.bypassed_by} has asked for that already: {change.second_person} confirms it."
    if change.incident is None or not change.incident.is_open:
        return "Approvals are bypassed in an emergency only: name the open incident that it helps to end."
    return ""


def _secondable(change: ChangeSet, by: User | str) -> str:
    if not change.bypassed_at or change.seconded_at:
        return "Nobody waits for a second person here."
    if actor_of(by) in (change.bypassed_by, *change.authors):
        return "A second person confirms it, neither whoever wrote or edited it nor whoever asked."
    return "" if actor_of(by) == change.second_person else f"{change.second_person} was named to confirm it."


def _reviewable(change: ChangeSet, by: User | str) -> str:
    if not change.seconded_at or change.reviewed_at:
        return "There is nothing to look at afterwards: no approval was bypassed, or somebody has looked."
    if actor_of(by) in (change.bypassed_by, change.seconded_by, *change.authors):
        return "Somebody who had no part in the bypass looks at it."
    return ""


def _left_to_its_script(verb: str, change: ChangeSet, by: User | str) -> str:
    """Nobody approves the rows of a script, since others read it as code: so whoever ran it carries it on, as it is."""
    if change.kind != ChangeSet.Kind.MIGRATION or verb not in OF_SCRIPT:
        return ""
    if verb == "edit" or actor_of(by) != change.created_by:
        return "A script brought it, and others read that as code: run the script again."
    return ""


OF_SCRIPT = ("edit", "plan", "submit", "schedule", "apply")
EARLY = (State.IN_REVIEW, State.APPROVED, State.SCHEDULED)
VERBS: dict[str, Verb] = {
    "edit": Verb(AUTHORS, tuple(ChangeSet.EDITABLE)),
    "plan": Verb(AUTHORS, (State.DRAFT, State.STALE)),
    "submit": Verb(AUTHORS, (State.DRAFT,), rule=_has_plan),
    "approve": Verb(APPROVES, (State.IN_REVIEW,), by_person=True, rule=_first_answer),
    "decline": Verb(APPROVES, EARLY, by_person=True, rule=_not_own),
    "schedule": Verb(APPLIES, (State.APPROVED,)),
    "unschedule": Verb(APPLIES, (State.SCHEDULED,)),
    "apply": Verb(APPLIES, (State.APPROVED, State.SCHEDULED)),
    "pause": Verb(APPLIES, (State.APPLYING, State.VALIDATING)),
    "resume": Verb(APPLIES, (State.PAUSED,), rule=_decided_by_a_person),
    "roll_back": Verb(TAKES_BACK, (State.APPLYING, State.VALIDATING, State.PAUSED, State.APPLIED), rule=_asked_already),
    "cancel": Verb(AUTHORS, (State.DRAFT, *EARLY, State.STALE)),
    "bypass": Verb(BYPASSES, (State.IN_REVIEW,), by_person=True, rule=_bypassable),
    "second": Verb(APPROVES, (State.IN_REVIEW,), by_person=True, rule=_secondable),
    "review": Verb(APPROVES, tuple(State.values), by_person=True, rule=_reviewable),
}


def refusal(verb: str, change: ChangeSet, by: User | str) -> str:
    """Why `by` cannot do this with the set now, in words; empty: they can."""
    asked = VERBS[verb]
    if change.state not in asked.states:
        return f"{change.ref} is {change.get_state_display()}: this cannot be done with it now."
    if words := not_permitted(asked.needs, by, by_person=asked.by_person):
        return words
    return _left_to_its_script(verb, change, by) or asked.rule(change, by)


def not_permitted(needs: str, by: User | str, *, by_person: bool = False) -> str:
    if by_person and (not isinstance(by, User) or by.is_service):
        return "A person answers for this, and no program."
    if isinstance(by, User) and not by.has_perm(needs):
        return "You may not do this: ask somebody who may."
    return ""


def locked(change: ChangeSet, verb: str, by: User | str) -> ChangeSet:
    """As it is now; nobody else moves it until the transaction ends. Raises ValidationError with the refusal."""
    found = ChangeSet.objects.select_for_update(of=("self",)).select_related("incident").get(pk=change.pk)
    if words := refusal(verb, found, by):
        raise ValidationError(words, code=verb)
    return found
