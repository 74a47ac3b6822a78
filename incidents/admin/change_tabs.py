"""The tabs of a change set's page: what it does, its plan, who agreed, batches, what was taken back, its history."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, Max, Sum
from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils import timezone

from config.admin import person
from consent.models import Decision
from incidents.admin.change_marks import MARKS, STATES
from incidents.admin.tabs import page_of
from incidents.changes.allowing import EARLY
from incidents.changes.judging import total_of
from incidents.changes.planning import told
from incidents.changes.staleness import stale_because
from incidents.changes.wording import INTO, told_operations, told_policy, told_selector
from incidents.models import ChangeSet, Incident, PlannedWrite

ROWS = 25
MOST_GROUPS = 40  # purposes and regions that the matrix names; the others stand in one line
State = ChangeSet.State
BUSY = (State.SCHEDULED, State.APPLYING, State.VALIDATING, State.ROLLING_BACK)
OWN_OPT_OUT = "opted out by themselves"


@dataclass(frozen=True, slots=True)
class Column:
    """A transition; `tone` says whether it changes anybody, or is held off."""

    before: str
    after: str

    @property
    def tone(self) -> str:
        if self.before != self.after:
            return "change"
        return "protected" if self.before == OWN_OPT_OUT else "same"


def what(change: ChangeSet, request: HttpRequest) -> dict[str, Any]:
    return {
        "operations": told_operations(change),
        "whom": told_selector(change.selector),
        "care": told_policy(change),
        "brought": change.rows.count() if change.kind in BROUGHT else None,
        "json": json.dumps(
            {"operations": change.operations, "selector": change.selector}, indent=2, ensure_ascii=False
        ),
    }


BROUGHT = (ChangeSet.Kind.IMPORT, ChangeSet.Kind.SEGMENT, ChangeSet.Kind.MIGRATION)


def plan(change: ChangeSet, request: HttpRequest) -> dict[str, Any]:
    is_early = change.planned_at is not None and change.state in (State.DRAFT, *EARLY)
    columns, groups, total = matrix_of(change)
    return {
        "columns": columns,
        "groups": groups,
        "total": total,
        "takes": in_time(change.forecast.get("seconds", 0)),
        "digest": bytes(change.plan_digest).hex() if change.plan_digest else "",
        "configured": configured(change),
        "sample": [row | told_row(row) for row in change.sample],
        "holds_no_more": stale_because(change) if is_early else "",
    }


def approvals(change: ChangeSet, request: HttpRequest) -> dict[str, Any]:
    standing = (change.revision, bytes(change.plan_digest or b""))
    rows = [
        (row, (row.revision, bytes(row.plan_digest)) == standing, MARKS[row.verdict])
        for row in change.approvals.order_by("-pk")[:200]
    ]
    agreed = sum(counts and row.verdict == "approve" for row, counts, _ in rows)
    return {"answers": rows, "agreed": agreed}


def batches(change: ChangeSet, request: HttpRequest) -> dict[str, Any]:
    before = _number(request.GET.get("before"))
    rows = change.batches.filter(number__lt=before).annotate(left_out=F("moved_count") + F("refused_count"))
    found = list(rows.order_by("-number")[: ROWS + 1])
    return {
        "batches": [(row, MARKS[row.state], page_of("consent_batch", row.batch_id)) for row in found[:ROWS]],
        "older": f"?tab=batches&before={found[ROWS - 1].number}" if len(found) > ROWS else "",
        "newest": before < NEWEST,
    }


def rollback(change: ChangeSet, request: HttpRequest) -> dict[str, Any]:
    return {"rollbacks": [shown(row) for row in change.rollbacks.order_by("-pk")[:ROWS]]}


def history(change: ChangeSet, request: HttpRequest) -> dict[str, Any]:
    before = _number(request.GET.get("before"))
    fields = ("history_id", "history_date", "history_user_id", "history_change_reason", "state", "revision")
    rows = change.history.filter(history_id__lt=before).order_by("-history_id").only(*fields)
    found = list(rows[: ROWS + 1])
    return {
        "versions": found[:ROWS],
        "older": f"?tab=history&before={found[ROWS - 1].history_id}" if len(found) > ROWS else "",
        "newest": before < NEWEST,
    }


NEWEST = 2**31 - 1
# Name in the address, words, what it asks for, and the permission it takes.
TABS: Sequence[tuple[str, str, Callable[[ChangeSet, HttpRequest], dict[str, Any]], str]] = (
    ("what", "What it does", what, "incidents.view_changeset"),
    ("plan", "Plan", plan, "incidents.view_plannedwrite"),
    ("approvals", "Approvals", approvals, "incidents.view_changeapproval"),
    ("batches", "Batches", batches, "incidents.view_changebatch"),
    ("rollback", "Taken back", rollback, "incidents.view_rollback"),
    ("history", "History", history, "incidents.view_historicalchangeset"),
)


def current(request: HttpRequest) -> str:
    asked = request.GET.get("tab", "")
    return asked if any(asked == name and request.user.has_perm(needed) for name, _, _, needed in TABS) else "what"


def context(change: ChangeSet, request: HttpRequest) -> dict[str, Any]:
    """What the page of a change set shows below its title."""
    tab = current(request)
    shows = next(show for name, _, show, _ in TABS if name == tab)
    return {
        "change_set": change,
        "tab": tab,
        "tabs": [(name, words) for name, words, _, needed in TABS if request.user.has_perm(needed)],
        "incident": told_incident(change, request),
        "review": review_of(change, timezone.now()),
        "mark": STATES.get(change.state, "plain"),
        "said": told(change) if change.planned_at else "",
        "now": timezone.now(),
        "refreshes": f"{reverse('admin:incidents_changeset_progress', args=[change.pk])}?tab={tab}",
        **progress_of(change),
        **shows(change, request),
    }


def progress_of(change: ChangeSet) -> dict[str, Any]:
    """How far it has come: rows that were reached, and what became of them."""
    if change.started_at is None:
        return {"progress": None, "is_busy": change.state in BUSY}
    counts = change.batches.aggregate(
        reached=Max("last_position"), written=Sum("written_count"), moved=Sum("moved_count"),
        refused=Sum("refused_count"), at=Max("applied_at"),
    )  # fmt: skip
    total = total_of(change)
    reached = min(counts["reached"] or 0, total)
    return {
        "progress": {name: value or 0 for name, value in counts.items() if name != "at"}
        | {"reached": reached, "total": total, "percent": percent(reached, total), "at": counts["at"]},
        "is_busy": change.state in BUSY,
    }


def percent(part: int, whole: int) -> int:
    """Rounded down: only what is done says 100."""
    return 100 * part // whole if whole else 100


def review_of(change: ChangeSet, now: datetime) -> str:
    """Whether somebody must still look at a bypass: due, overdue, done, or nothing."""
    if change.bypassed_at is None:
        return ""
    if change.reviewed_at:
        return "done"
    return "overdue" if change.review_due_at and change.review_due_at < now else "due"


def told_incident(change: ChangeSet, request: HttpRequest) -> dict[str, str] | None:
    """By its number alone, and without a way to it, where the viewer may not see it."""
    if change.incident is None:
        return None
    user = person(request)
    sees = user.has_perm("incidents.view_incident")
    if sees and Incident.objects.visible_to(user).filter(pk=change.incident.pk).exists():
        return {"name": str(change.incident), "url": page_of("incidents_incident", change.incident_id)}
    return {"name": change.incident.ref, "url": ""}


def matrix_of(change: ChangeSet) -> tuple[list[Column], list[tuple[str, str, list[int], int]], list[int]]:
    """The transitions as columns, what changes first; a line for each purpose and region, the largest first; totals."""
    cells: dict[tuple[str, str], Counter[Column]] = defaultdict(Counter)
    for row in change.matrix:
        cells[row["purpose"], row["region"]][Column(row["before"], row["after"])] += row["count"]
    found = {column for counts in cells.values() for column in counts}
    order = ("change", "protected", "same")
    columns = sorted(found, key=lambda column: (order.index(column.tone), column.before, column.after))
    lines = sorted(cells.items(), key=lambda item: (-item[1].total(), item[0]))
    shown, rest = lines[:MOST_GROUPS], lines[MOST_GROUPS:]
    if rest:
        together = sum((counts for _, counts in rest), Counter[Column]())
        shown.append((("", f"{len(rest)} more"), together))
    totals = [sum(counts[column] for counts in cells.values()) for column in columns]
    return columns, [(*key, [counts[column] for column in columns], counts.total()) for key, counts in shown], totals


def configured(change: ChangeSet) -> list[dict[str, Any]]:
    """Each operation of configuration in words, with what stands and what would."""
    sentences = told_operations(change)
    return [
        {**row, "sentence": sentence, "before": _plain(row["before"]), "after": _plain(row["after"])}
        for row, sentence in zip(change.configuration, sentences, strict=False)
    ]


def told_row(row: Mapping[str, Any]) -> dict[str, str]:
    """A planned row in words."""
    now = "never asked" if row["before"] is None else INTO[row["before"]]
    return {
        "url": page_of("consent_subject", row["subject"]),
        "now": f"{now} by themselves" if row["before_explicit"] else now,
        "wanted": INTO[row["choice"]],
        "happens": PlannedWrite.Effect(row["effect"]).label,
    }


def _plain(value: Any) -> str:
    """JSON as a person writes it down."""
    if isinstance(value, Mapping):
        return "\n".join(f"{name.replace('_', ' ')}: {_plain(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if value is None:
        return "nothing"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def shown(row: Any) -> dict[str, Any]:
    """A rollback with the later writes that somebody should look at."""
    later = Decision.objects.in_bulk([int(pk) for pk in row.later_sample])
    return {
        "row": row,
        "mark": MARKS.get(row.state, "plain"),
        "percent": percent(row.voided_count, row.item_count),
        "later": [(decision, page_of("consent_decision", decision.pk)) for decision in later.values()],
        "url": page_of("incidents_rollback", row.pk),
    }


def in_time(seconds: int) -> str:
    if seconds < 120:
        return f"about {seconds} second{'' if seconds == 1 else 's'}"
    return f"about {seconds / 60:.0f} minutes" if seconds < 7200 else f"about {seconds / 3600:.1f} hours"


def _number(text: str | None) -> int:
    if not text:
        return NEWEST
    if not text.isdecimal() or len(text) > 9:
        raise Http404("No such page.")
    return int(text)
