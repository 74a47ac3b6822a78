"""What the made-up company changed without anybody choosing it: one set applied, one in review, one taken back."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from config.models import User
from consent import subjects
from incidents.changes import applying, deciding, planning, rolling_back, undeclared
from incidents.changes.running import carry_through
from incidents.demo.people import Somebody
from incidents.models import ChangeSet, Incident

PILOT = 40  # people
OLD = timedelta(days=36)
IMPORTED = {"purpose": "marketing", "channel": "email", "state": "opt_in", "cause": "import", "explicit": False}


def change_sets(people: Sequence[Somebody], now: datetime, officer: User, responder: User) -> None:
    if ChangeSet.objects.exists():
        return
    burning = Incident.objects.filter(title="Product news went out twice").first()
    _applied(officer, responder, now - OLD)
    _taken_back(officer, responder, people)
    _in_review(responder, burning)


def _applied(officer: User, responder: User, before: datetime) -> None:
    """The oldest addresses of a list that nobody vouches for: opted out, by two people and in batches."""
    change = deciding.write(
        "Leave the list of 2019 alone",
        reason="Nobody can show any more where these addresses came from. Whoever decided themselves is not touched.",
        operations=[{"operation": "set_choice", "args": {"choice": "opt_out"}}],
        selector={**IMPORTED, "actor": "service:crm", "decided_before": before.isoformat()}, batch_size=10, by=officer,
    )  # fmt: skip
    change = _approved(change, officer, responder, "I asked the sales team too.")
    carry_through(applying.apply(change, by=officer))


def _taken_back(officer: User, responder: User, people: Sequence[Somebody]) -> None:
    """It did what it said, and turned out to be wrong an hour later."""
    pilot = subjects.find(identity for one in people[:PILOT] for identity in one.identities[:1])
    change = deciding.write(
        "Switch analytics off for the pilot of the new banner",
        reason="The new banner asks these people again; until then analytics stays off where nobody was asked.",
        operations=[{"operation": "backfill", "args": {"choice": "opt_out", "purpose": "analytics", "channel": "web"}}],
        selector={"subjects": sorted(map(str, pilot.values()))}, batch_size=20, by=responder,
    )  # fmt: skip
    change = _approved(change, responder, officer, "Until the banner is out.")
    change = carry_through(applying.apply(change, by=responder))
    asked = rolling_back.roll_back(change, reason="The banner is not out: nobody would be asked.", by=officer)
    undeclared.confirm(asked, by=responder)
    carry_through(change)


def _in_review(responder: User, burning: Incident | None) -> None:
    """A rushed fix of the incident that would undo what people chose: the plan says so before anything is done."""
    change = deciding.write(
        "Have back whoever left marketing",
        reason="People left because the product news came twice. Marketing asks to have its readers back.",
        operations=[{"operation": "set_choice", "args": {"choice": "opt_in"}}],
        selector={"purpose": "marketing", "channel": "email", "state": "opt_out"}, leaves_protected=True,
        incident=burning, by=responder,
    )  # fmt: skip
    deciding.submit(planning.plan(change, by=responder), by=responder)


def _approved(change: ChangeSet, author: User, other: User, comment: str) -> ChangeSet:
    change = deciding.submit(planning.plan(change, by=author), by=author)
    return deciding.approve(change, by=other, comment=comment)
