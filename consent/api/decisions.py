"""Record choices, follow the log, look at one decision, get its receipt."""

import time
from collections import Counter
from typing import Any, TypeGuard

from django.db import DatabaseError, InterfaceError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from drf_spectacular.utils import extend_schema

from config import idempotency
from config.idempotency import REPLAYED, Answer
from config.lean import LeanView, answer, as_json, read_json
from config.models import Scope
from config.problems import Fault, Refused, invalid
from consent import flow, receipts, spool
from consent.api import described, failing, log, showing, spooling
from consent.api.reading import CODE, draft_of
from consent.exit_paths import Outcome, count_use
from consent.group_commit import record_once, record_one
from consent.models import Decision
from consent.services import DecisionsRefused, NewDecision, record
from consent.validation import problems_of

MOST = 1000


class DecisionsView(LeanView):
    scopes = {"GET": Scope.DECISIONS_READ, "POST": Scope.DECISIONS_WRITE}

    @extend_schema(**described.RECORD)
    def post(self, request: HttpRequest) -> HttpResponse:
        """Record one choice, or up to 1000 in `decisions`: all or none. 201 means durable."""
        began = time.perf_counter()
        data = read_json(request)
        uses = _uses(data)
        try:
            if isinstance(data, dict) and "decisions" in data:
                return _record_many(request, data)
            return _record_single(request, data)
        except Refused as refused:
            if refused.status == 400:
                _count_refused_uses(data, refused)
            raise
        finally:
            for exit_path, count in uses.items():
                flow.started(exit_path, count)
                flow.took(exit_path, time.perf_counter() - began)

    @extend_schema(**described.FOLLOW)
    def get(self, request: HttpRequest) -> HttpResponse:
        """The log, in its one order. Keep `next`: it is where you go on when there is news."""
        return answer(log.page(request))


def _record_single(request: HttpRequest, data: Any) -> HttpResponse:
    caller = request.caller  # type: ignore[attr-defined]
    draft = draft_of(data, actor=caller.actor)
    if isinstance(draft, list):
        raise invalid(draft)
    claim = idempotency.claim_of(request, caller.account.pk)
    if spool.is_needed() and draft.is_opt_out:
        return spooling.take([draft], claim)
    try:
        if claim is None:
            return answer(showing.recorded(record_one(draft)), 201)
        outcome = record_once(draft, claim, lambda row: Answer(201, as_json(showing.recorded(row))))
    except DecisionsRefused as error:
        raise showing.refusal(error) from error
    except (DatabaseError, InterfaceError) as error:
        return spooling.take_instead(error, [draft], claim)
    return answer(outcome.body, outcome.status, REPLAYED if outcome.is_replayed else None)


def _record_many(request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
    caller = request.caller  # type: ignore[attr-defined]
    claim = idempotency.claim_of(request, caller.account.pk)
    drafts = drafts_of(data, caller.actor)
    try:
        with transaction.atomic():
            if claim and (kept := idempotency.begin(claim)):
                return answer(kept.body, kept.status, REPLAYED)
            body = as_json(showing.recorded_list(_recorded(drafts)))
            if claim:
                idempotency.keep({claim: Answer(201, body)})
    except (DatabaseError, InterfaceError) as error:
        return spooling.take_instead(error, drafts, claim, is_list=True)
    return answer(body, 201)


def _recorded(drafts: list[NewDecision]) -> list[Any]:
    try:
        return record(drafts, savepoint=False)
    except DecisionsRefused as error:
        raise showing.refusal(error, "/decisions/{}") from error


def drafts_of(data: dict[str, Any], actor: str) -> list[NewDecision]:
    """Raises Refused with everything that is wrong, so that the sender can mend it in one go."""
    entries = data["decisions"]
    if unknown := sorted(set(data) - {"decisions"}):
        raise invalid([Fault(f"/{unknown[0][:200]}", "unknown_field", "Beside `decisions` there are no fields.")])
    if not isinstance(entries, list) or not 1 <= len(entries) <= MOST:
        raise invalid([Fault("/decisions", "invalid", f"Send a list of 1 to {MOST} decisions.")])
    read = [draft_of(entry, actor=actor, at=f"/decisions/{index}") for index, entry in enumerate(entries)]
    faults = [fault for one in read if isinstance(one, list) for fault in one]
    drafts = [one for one in read if not isinstance(one, list)]
    if faults:
        positions = [index for index, one in enumerate(read) if not isinstance(one, list)]
        for problem in problems_of(drafts):
            pointer = f"/decisions/{positions[problem.index]}/{problem.field}"
            faults.append(Fault(pointer, problem.code, problem.message))
        raise invalid(sorted(faults, key=lambda fault: int(fault.pointer.split("/")[2])))
    return drafts


def _uses(data: Any) -> Counter[str]:
    """How many opt-outs by which way out a call brings, as far as it can be read; each way's answer took this call."""
    entries = data.get("decisions", [data]) if isinstance(data, dict) else []
    return Counter(
        entry["exit_path"]
        for entry in (entries if isinstance(entries, list) else [])[:MOST]
        if isinstance(entry, dict) and entry.get("choice") == "opt_out" and _is_code(entry.get("exit_path"))
    )


def _is_code(path: Any) -> TypeGuard[str]:
    return isinstance(path, str) and CODE.fullmatch(path) is not None


def _count_refused_uses(data: Any, refused: Refused) -> None:
    """A way out that refused somebody is a way out that does not work: counted with the first reason, and kept."""
    entries = data.get("decisions") if isinstance(data, dict) and "decisions" in data else [data]
    first: dict[int, str] = {}
    kept: list[tuple[dict[str, Any], str, str]] = []
    words: dict[int, str] = {}
    for fault in refused.errors:
        steps = fault.pointer.split("/")
        index = int(steps[2]) if len(steps) > 2 and steps[1] == "decisions" and steps[2].isdecimal() else 0
        first.setdefault(index, fault.code)
        words.setdefault(index, fault.detail)
    for index, code in first.items():
        entry = entries[index] if isinstance(entries, list) and index < len(entries) else None
        if isinstance(entry, dict) and entry.get("choice") == "opt_out":
            kept.append((entry, code, words[index]))
            path = entry.get("exit_path")
            if isinstance(path, str) and 0 < len(path) <= 50 and path.isascii() and path.isprintable():
                count_use(path, Outcome.REFUSED, code[:30])
    failing.keep_refused(kept)


class DecisionView(LeanView):
    scopes = {"GET": Scope.DECISIONS_READ}

    @extend_schema(**described.DECISION)
    def get(self, request: HttpRequest, decision: int) -> HttpResponse:
        """One decision of the log."""
        return answer(showing.decision(_decision(decision)))


class ReceiptView(LeanView):
    scopes = {"GET": Scope.DECISIONS_READ}

    @extend_schema(**described.RECEIPT)
    def get(self, request: HttpRequest, decision: int) -> HttpResponse:
        """What was taken, signed: its holder can show it to anybody who has the public key."""
        facts = showing.facts(_decision(decision))
        key = receipts.public_key()
        return answer({**facts, "receipt": receipts.sign(facts), "algorithm": "Ed25519", "public_key": key})


def _decision(number: int) -> Decision:
    try:
        return Decision.objects.get(pk=number)
    except (Decision.DoesNotExist, OverflowError) as error:
        raise Http404 from error
