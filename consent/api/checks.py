"""May we contact this person? One question or a thousand, one statement either way."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import extend_schema

from config.lean import LeanView, answer, query_of, read_json
from config.models import Scope
from config.problems import Fault, invalid
from consent import older_copy
from consent.answers import UNKNOWN_PURPOSE, Answer, Query, check
from consent.api import described, showing
from consent.api.reading import CHANNELS, CODE, KINDS, Subject, is_question, subject_of

MOST = 1000
SUBJECT = (*sorted(KINDS), "id")
QUERY_FIELDS = frozenset(["subject", "purpose", "channel"])


class CheckView(LeanView):
    """Fails closed: without the database the answer is 503, and nobody is contacted on it. After the database went back
    in time a yes is a no, until opt-outs were put back."""

    scopes = {"GET": Scope.CHECK, "POST": Scope.CHECK}

    @extend_schema(**described.CHECK)
    def get(self, request: HttpRequest) -> HttpResponse:
        """One question. `allowed` is the answer; `reason` is the rule that decided."""
        query = query_of(request)
        subject, faults = subject_of({kind: query[kind] for kind in SUBJECT if kind in query}, "")
        faults = [Fault(fault.pointer.strip("/") or "email", fault.code, fault.detail) for fault in faults]
        faults += _scope_faults(query, "")
        if faults:
            raise invalid(faults)
        [[found]] = [_answers([(subject, query["purpose"], query["channel"])], "")]
        return answer(showing.answer(found))

    @extend_schema(**described.CHECK_MANY)
    def post(self, request: HttpRequest) -> HttpResponse:
        """Up to 1000 questions, answered in order."""
        data = read_json(request)
        entries = data.get("queries") if isinstance(data, dict) else None
        if not isinstance(entries, list) or not 1 <= len(entries) <= MOST or set(data) != {"queries"}:
            raise invalid([Fault("/queries", "invalid", f"Send a list of 1 to {MOST} queries.")])
        faults: list[Fault] = []
        questions = [_question(entry, f"/queries/{index}", faults) for index, entry in enumerate(entries)]
        if faults:
            raise invalid(faults)
        return answer({"answers": [showing.answer(found) for found in _answers(questions, "/queries/{}/")]})


Question = tuple[Subject, str, str]


def _question(data: Any, at: str, faults: list[Fault]) -> Question:
    if not isinstance(data, dict):
        faults.append(Fault(at, "invalid", "Send an object: subject, purpose, channel."))
        return [], "", ""
    if not QUERY_FIELDS.issuperset(data):
        faults.append(Fault(at, "unknown_field", "A query has subject, purpose and channel."))
    subject, wrong = subject_of(data.get("subject"), f"{at}/subject")
    faults += wrong
    faults += _scope_faults(data, f"{at}/")
    return subject, data.get("purpose", ""), data.get("channel", "")


def _scope_faults(data: Mapping[str, Any], at: str) -> list[Fault]:
    faults = []
    if not is_question(data.get("purpose"), CODE):
        faults.append(Fault(f"{at}purpose", "unknown", "Name one purpose by its code."))
    if not is_question(data.get("channel"), CHANNELS):
        faults.append(Fault(f"{at}channel", "unknown", f"Name one channel: {', '.join(sorted(CHANNELS))}."))
    return faults


def _answers(questions: Sequence[Question], at: str) -> list[Answer]:
    """One answer each; who is named by several identifiers is asked about by each, and any no is a no."""
    expanded: list[tuple[int, Query]] = []
    for index, (subject, purpose, channel) in enumerate(questions):
        names: Sequence[Any] = subject if isinstance(subject, list) else [subject]
        expanded += [(index, Query(name, purpose, channel)) for name in names]
    found: dict[int, Answer] = {}
    for (index, _), one in zip(expanded, check([query for _, query in expanded]), strict=True):
        if index not in found or _stronger(one, found[index]):
            found[index] = one
    unknown = [index for index, one in found.items() if one.reason == UNKNOWN_PURPOSE.reason]
    if unknown:
        raise invalid([Fault(f"{at.format(i)}purpose", "unknown", "No such purpose.") for i in unknown])
    is_older = older_copy.is_possible()
    return [_relied_on(found[index], is_older) for index in range(len(questions))]


def _relied_on(one: Answer, is_older: bool) -> Answer:
    """No yes while opt-outs may be missing, but about what nobody can leave."""
    if (one.is_in_doubt or is_older) and one.allowed and one.reason != "mandatory":
        return replace(one, allowed=False, reason="restore_under_way")
    return one


def _stronger(one: Answer, other: Answer) -> bool:
    """A no before a yes; of two alike, the one that rests on a decision."""
    return (not one.allowed, one.decision is not None) > (not other.allowed, other.decision is not None)
