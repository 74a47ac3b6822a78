"""What the preference page shows of a person: each public purpose and way of contact, with what is stored now."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from cryptography.exceptions import InvalidTag
from django.http import QueryDict
from django.utils import formats, translation

from consent import tokens
from consent.answers import Answer, Query, check
from consent.identifiers import Identity, masked, unseal
from consent.models import ANY, Consent, Identifier, Purpose, Reversal, Subject
from consent.public.languages import TEXTS, words_for

YES, NO = "yes", "no"
STATE_TEXTS = {
    "explicit_opt_in": "state_yes",
    "explicit_opt_out": "state_no",
    "recorded_opt_in": "state_entered_yes",
    "recorded_opt_out": "state_entered_no",
    "no_objection": "state_never_asked_yes",
    "opt_in_needed": "state_never_asked_no",
    "mandatory": "state_mandatory",
}


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a token names; after a merge, the subject that speaks for them. `address`: masked, to know oneself by."""

    subject_id: UUID
    locale: str
    address: str


@dataclass(slots=True)
class Row:
    """One question, the stored answer, and which button is pressed: the stored one, or what the person just chose."""

    purpose: str
    channel: str
    label: str
    answer: Answer
    state: str
    picked: str = ""

    @property
    def name(self) -> str:
        return f"{self.purpose}/{self.channel}"

    @property
    def stored(self) -> str:
        """yes, no, or empty where nobody has asked: then neither button is pressed, and saving records nothing."""
        return {"opted_in": YES, "opted_out": NO}.get(self.answer.state, "")


@dataclass(slots=True)
class Group:
    """A purpose with its questions; none where the law decides."""

    name: str
    description: str
    is_mandatory: bool
    rows: list[Row] = field(default_factory=list)


def person_of(token: str) -> Person | None:
    """None where the token is not ours, or names somebody that this installation has never known."""
    read = tokens.read(token)
    if read is None:
        return None
    subject = Subject.objects.select_related("merged_into").filter(pk=read.subject_id).first()
    if subject is None:
        return None
    subject = subject.merged_into or subject
    return Person(subject.pk, subject.locale, _address(subject.pk))


def groups_for(person: Person, language: str, asked_for: Iterable[Reversal] = ()) -> list[Group]:
    """Everything the page asks about, in four statements; what the database says now, not what was meant to be."""
    texts = TEXTS[language]
    purposes = list(Purpose.objects.filter(is_public=True))
    stored: dict[str, set[str]] = {}
    for code, channel in Consent.objects.filter(subject=person.subject_id).values_list("purpose", "channel"):
        stored.setdefault(code, set()).add(channel)
    for reversal in asked_for:
        stored.setdefault(reversal.purpose, set()).add(reversal.channel)
    asked = [
        (p, channel) for p in purposes for channel in _channels(p, stored.get(p.code, set()), list(texts.channels))
    ]
    answers = check([Query(person.subject_id, purpose.code, channel) for purpose, channel in asked])
    groups = {}
    for purpose in purposes:
        groups[purpose.code] = Group(*words_for(purpose, language), purpose.regime == Purpose.Regime.MANDATORY)
    for (purpose, channel), answer in zip(asked, answers, strict=True):
        row = Row(purpose.code, channel, texts.channels[channel], answer, _state(answer, language))
        row.picked = row.stored
        groups[purpose.code].rows.append(row)
    return list(groups.values())


def rows_of(groups: list[Group]) -> list[Row]:
    return [row for group in groups for row in group.rows]


def wishes(rows: list[Row], posted: QueryDict) -> list[tuple[Row, str]] | None:
    """What the person chose: rows whose answer differs from the one that the page had shown. None: not readable.

    The comparison is with what the person saw. A choice made elsewhere while the page was open is thereby not undone
    by a button that they never touched.
    """
    known = {f"choice/{row.name}" for row in rows}
    picked = {name: str(posted[name]) for name in posted if name.startswith("choice/")}
    for row in rows:
        row.picked = picked.get(f"choice/{row.name}", row.picked)
    if not picked.keys() <= known or not set(picked.values()) <= {YES, NO}:
        return None
    return [
        (row, picked[f"choice/{row.name}"])
        for row in rows
        if f"choice/{row.name}" in picked and picked[f"choice/{row.name}"] != posted.get(f"shown/{row.name}")
    ]


def notice_version(groups: list[Group], language: str) -> str:
    """Names the words that the person read: they change when an officer rewrites a purpose."""
    text = "\n".join(f"{group.name}\0{group.description}" for group in groups) + TEXTS[language].preferences_lead
    return f"preference-page:{language}:{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def day(moment: datetime | None, language: str) -> str:
    with translation.override(language):
        return formats.date_format(moment, "DATE_FORMAT") if moment else ""


def _channels(purpose: Purpose, stored: set[str], order: list[str]) -> list[str]:
    """Those that the purpose offers, and those that something is stored for: nobody is kept in the dark about it."""
    if purpose.regime == Purpose.Regime.MANDATORY:
        return []
    offered = set(purpose.channels or [ANY])
    return sorted(offered | (stored - {ANY}), key=order.index)


def _state(answer: Answer, language: str) -> str:
    text: str = getattr(TEXTS[language], STATE_TEXTS[answer.reason])
    return text.replace("{date}", day(answer.since, language))


def _address(subject_id: UUID) -> str:
    sealed = Identifier.objects.filter(subject=subject_id, kind=Identifier.Kind.EMAIL, sealed__isnull=False)
    shown = []
    for kind, value in sealed.order_by("pk").values_list("kind", "sealed")[:3]:
        try:
            shown.append(masked(Identity(kind, unseal(kind, bytes(value or b"")))))
        except InvalidTag:  # sealed by another key; the choices are worth showing anyway
            continue
    return ", ".join(shown)
