"""Privacy requests, from receipt to close. Each step is a verb here, and leaves a line in the request's own log.

Every verb raises ValidationError, in words that say what to do, when it cannot be done.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone

from config.models import User
from consent import causes, subjects
from consent.deadlines import due
from consent.exit_paths import of_request
from consent.identifiers import Identity
from consent.models import (
    ANY,
    Cause,
    Choice,
    DeadlineRule,
    ExitPath,
    PrivacyRequest,
    RequestEvent,
    Subject,
)
from consent.services import NewDecision, Recorded, actor_of, record
from consent.signals import request_extended, request_logged
from consent.validation import EARLIEST, SKEW

Kind, State, Outcome = PrivacyRequest.Kind, PrivacyRequest.State, PrivacyRequest.Outcome
Event = RequestEvent.Kind
Person = UUID | Sequence[Identity]
Scope = tuple[str, str]  # purpose and channel

EVERYTHING: Sequence[Scope] = ((ANY, ANY),)


def log_request(
    person: Person,
    kind: str,
    *,
    by: User | str,
    received_via: str = "email",
    received_at: datetime | None = None,
    details: str = "",
    rule: DeadlineRule | None = None,
    locale: str = "",
    scopes: Sequence[Scope] = EVERYTHING,
    key: str = "",
) -> PrivacyRequest:
    """Write a request down and start its clock. An opt-out takes effect now, without verification (11 CCR 7026).

    The opt-out is recorded first and in a transaction of its own: it stands even where the request is then refused, so
    call this outside a transaction. `scopes` and `key` (the same key again: the same opt-out) are the opt-out's.
    """
    recorded: list[Recorded] = []
    if kind == Kind.OPT_OUT:
        recorded = opt_out_at_once(
            person,
            by=by,
            received_via=received_via,
            received_at=received_at,
            details=details,
            locale=locale,
            scopes=scopes,
            key=key,
        )
    received_at = received_at or timezone.now()
    if problem := problem_with(received_at):
        raise ValidationError({"received_at": problem})
    rule = rule or default_rule(kind)
    with transaction.atomic():
        subject = Subject.objects.get(pk=recorded[0].subject_id if recorded else _subject(person))
        number = _next_number()
        request = PrivacyRequest(
            pk=number,
            ref=f"PR-{number}",
            subject=subject,
            kind=kind,
            received_via=received_via,
            received_at=received_at,
            rule=rule,
            due_at=due_by(rule, received_at),
            locale=locale or subject.locale or settings.LANGUAGE_CODE,
            details=details,
            logged_by=actor_of(by),
        )
        request.full_clean(exclude=["subject", "rule", "assignee"])
        request.save_as(actor_of(by), "Logged")
        tell(request, Event.LOGGED, f"Received by {request.get_received_via_display()}.", by)
        if recorded:
            tell(request, Event.ACTED, _effect(recorded), by)
        request_logged.send(PrivacyRequest, request=request, by=actor_of(by))
    return request


def opt_out_at_once(
    person: Person,
    *,
    by: User | str,
    received_via: str,
    received_at: datetime | None = None,
    details: str = "",
    locale: str = "",
    scopes: Sequence[Scope] = EVERYTHING,
    key: str = "",
    cause: str = Cause.PRIVACY_REQUEST,
    reference: str = "",
) -> list[Recorded]:
    """Record the explicit opt-out that somebody asked the desk for; with the same key, once.

    `reference`: where the proof is kept. An exit path that nobody registered, or a moment of receipt that makes no
    sense, does not stand in its way.
    """
    path = of_request(received_via)
    is_registered = path and ExitPath.objects.filter(code=path).exists()
    evidence = {"received_via": received_via, "details": details} | ({"reference": reference} if reference else {})
    makes_sense = received_at is not None and not problem_with(received_at)
    return record(
        [
            NewDecision(
                subject=each,
                purpose=purpose,
                channel=channel,
                choice=Choice.OPT_OUT,
                cause=cause,
                actor=actor_of(by),
                exit_path=path if is_registered else "",
                decided_at=received_at if received_at and makes_sense else timezone.now(),
                locale=locale,
                reasons=causes.said(f"received_by_{received_via}" if received_via else "asked_the_desk"),
                evidence=evidence,
                idempotency_key=_key_of(key, each, purpose, channel) if key else None,
            )
            for each in _each_of(person)
            for purpose, channel in scopes
        ]
    )


def default_rule(kind: str) -> DeadlineRule:
    rule = DeadlineRule.objects.filter(request_kind=kind, is_default=True).first()
    if rule is None:
        label = dict(Kind.choices).get(kind, kind)
        raise ValidationError(
            {"rule": f"No deadline rule is the default for the kind “{label}”: choose one, or mark one as the default."}
        )
    return rule


def due_by(rule: DeadlineRule, received_at: datetime, *, is_extended: bool = False) -> datetime:
    """The last moment that the rule leaves for what was received then. Extended, both spans count from the receipt."""
    return due(
        received_at,
        rule.amount + (rule.extension if is_extended else 0),
        rule.unit,
        rule.calendar,
        rolls_to_working_day=rule.rolls_to_working_day,
        time_zone=rule.time_zone,
    )


@transaction.atomic
def assign(request: PrivacyRequest, to: User | None, *, by: User | str) -> PrivacyRequest:
    """Give a request to a colleague, or with None back to the queue. Taking it oneself is the same."""
    request = locked(request)
    if to is not None and (not to.is_active or to.is_service):
        raise ValidationError(f"{to} cannot work on requests: choose an active member of staff.")
    if to == request.assignee:
        return request
    request.assignee = to
    if to is not None and request.state == State.OPEN:
        request.state = State.IN_PROGRESS
    request.save_as(actor_of(by), f"Assigned to {to.username}" if to else "Back to the queue")
    tell(request, Event.ASSIGNED, f"Assigned to {to.username}." if to else "Given back to the queue.", by)
    return request


@transaction.atomic
def note(request: PrivacyRequest, text: str, *, by: User | str) -> RequestEvent:
    """Something worth knowing later: what was said on the telephone, a letter that was sent."""
    if not text.strip():
        raise ValidationError("Write down what happened.")
    return tell(locked(request), Event.NOTE, text.strip(), by)


@transaction.atomic
def extend(request: PrivacyRequest, *, reason: str, by: User | str) -> PrivacyRequest:
    """Take the longer time that the rule allows, once, and owe the person the news and the reason.

    Both within the first deadline (GDPR 12(3): "within one month of receipt … together with the reasons for the delay";
    11 CCR 7021(b)).
    """
    request = locked(request)
    if not reason.strip():
        raise ValidationError("Say why more time is needed: the person is told.")
    if request.state == State.ANSWERED:
        raise ValidationError(f"{request.ref} is answered: there is nothing to wait for.")
    if request.extended_at:
        raise ValidationError(f"{request.ref} was extended already. A request is extended once.")
    if not request.rule.extension:
        raise ValidationError(f"The rule {request.rule_id} allows no extension.")
    if request.due_at < timezone.now():
        raise ValidationError(f"{request.ref} is overdue: an extension must be told before the first deadline ends.")
    request.due_at = due_by(request.rule, request.received_at, is_extended=True)
    request.extended_at, request.extended_by, request.extended_reason = timezone.now(), actor_of(by), reason.strip()
    request.save_as(actor_of(by), "Extended")
    tell(request, Event.EXTENDED, f"Due on {request.due_on} now: {reason.strip()}", by)
    request_extended.send(PrivacyRequest, request=request, by=actor_of(by))
    return request


@transaction.atomic
def close(request: PrivacyRequest, outcome: str, *, reason: str, by: User | str) -> PrivacyRequest:
    """The end of a request; it is not opened again. What follows is a request of its own."""
    request = locked(request)
    if outcome not in Outcome.values:
        raise ValidationError("Choose an outcome: done, denied, withdrawn or duplicate.")
    if not reason.strip():
        raise ValidationError("Say why the request is closed; for a denial, on what basis.")
    request.state, request.outcome, request.close_reason = State.CLOSED, outcome, reason.strip()
    request.closed_at, request.closed_by = timezone.now(), actor_of(by)
    request.save_as(actor_of(by), f"Closed: {outcome}")
    tell(request, Event.CLOSED, f"{request.get_outcome_display()}: {reason.strip()}", by)
    return request


def locked(request: PrivacyRequest, kind: str | None = None) -> PrivacyRequest:
    """The request as it is now, under its lock."""
    now = PrivacyRequest.objects.select_for_update().get(pk=request.pk)
    if now.is_closed:
        raise ValidationError(f"{now.ref} is closed. Log a new request for what comes after.")
    if kind is not None and now.kind != kind:
        raise ValidationError(f"{now.ref} asks for something else ({now.get_kind_display()}).")
    return now


def begun(request: PrivacyRequest, by: User | str, reason: str) -> PrivacyRequest:
    if request.state == State.OPEN:
        request.state = State.IN_PROGRESS
        request.save_as(actor_of(by), reason)
    return request


def tell(request: PrivacyRequest, kind: str, text: str, by: User | str) -> RequestEvent:
    return RequestEvent.objects.create(request=request, kind=kind, text=text, recorded_by=actor_of(by))


def _effect(recorded: Sequence[Recorded]) -> str:
    """What the opt-out did, for whoever reads the request later."""
    scopes = ", ".join(sorted({f"{_all(r.purpose, 'purposes')} by {_all(r.channel, 'channels')}" for r in recorded}))
    text = f"Opted out of {scopes} (decision {', '.join(f'#{r.id}' for r in recorded)})."
    if any(r.effective.state == Choice.OPT_IN for r in recorded):
        text += " The person chose to opt in again after that, and this later choice stands."
    return text


def _all(code: str, what: str) -> str:
    return f"all {what}" if code == ANY else code


def _each_of(person: Person) -> list[Person]:
    """An unverified request must not make one person of two: where identifiers name several, each is opted out."""
    if isinstance(person, UUID) or len(set(subjects.find(person).values())) < 2:
        return [person]
    return [[identity] for identity in person]


def _key_of(key: str, person: Person, purpose: str, channel: str) -> str:
    """Names the person too: a form that is sent again with its address corrected is another opt-out, not a replay."""
    parts = [person.bytes] if isinstance(person, UUID) else sorted(identity.digest for identity in person)
    return f"request:{key}:{hashlib.sha256(b''.join(parts)).hexdigest()[:32]}:{purpose}:{channel}"


def _subject(person: Person) -> UUID:
    if isinstance(person, UUID):
        if (root := subjects.roots([person]).get(person)) is None:
            raise ValidationError({"person": "No such person."})
        return root
    if not person:
        raise ValidationError({"person": "Give an e-mail address, a telephone number or a user id."})
    if len(set(subjects.find(person).values())) > 1:
        raise ValidationError(
            {
                "person": "These identifiers belong to different people here. Log the request for one of them; if they "
                "are the same person, merge them on the person's page first."
            }
        )
    return subjects.find_or_make([person]).of(person[0])


def problem_with(received_at: datetime) -> str:
    if received_at.tzinfo is None:
        return "Give the moment of receipt with its offset, like 2026-03-01T12:00:00Z."
    if received_at > timezone.now() + SKEW:
        return "The moment of receipt lies in the future. Check date and time zone."
    return "The moment of receipt lies before the year 2000." if received_at < EARLIEST else ""


def _next_number() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('consent_privacyrequest', 'id'))")
        return int(cursor.fetchone()[0])
