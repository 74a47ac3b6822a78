"""From a row that is owed to a call that was answered 2xx: at least once, under one id, on the retry list of the spec.

One worker at a time calls an endpoint, so it gets its news in order and is not stormed; a claim is committed before the
call, and no transaction is open while the network is waited for. A worker that dies leaves a lease that ends.
"""

import json
import random
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID, uuid4

import structlog
from cryptography.exceptions import InvalidTag
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection, connections, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from config.text import without_addresses
from consent.identifiers import unseal
from consent.models import Identifier
from messaging.models import Endpoint, EndpointHealth, WebhookAttempt, WebhookDelivery
from messaging.propagation import endpoints
from messaging.propagation.calling import EXCERPT, Answer, post
from messaging.signing import ID, SIGNATURE, TIMESTAMP, sign

log = structlog.get_logger(__name__)

# Seconds before each try, Standard Webhooks 1.0, "retry schedule"; three days and four hours in all.
PAUSES = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.2  # more, at most: what failed together does not come back together
OPENS_AFTER = 5  # failures in a row, whatever the row; then one call a pause asks whether it is back
FIRST_PAUSE, LONGEST_PAUSE = 5, 600  # seconds
LONGEST_ASKED_FOR = 3600  # seconds of a Retry-After that are believed
AT_A_TIME = 8  # endpoints
BUDGET, WHOLE_BUDGET = 20, 60  # seconds after which no further call is begun: of an endpoint, of a run
RANDOM = random.SystemRandom()
State = WebhookDelivery.State

TO_CALL = """
    SELECT e.id FROM messaging_endpoint e JOIN messaging_endpointhealth h ON h.endpoint_id = e.id
     WHERE e.state = 'active' AND coalesce(h.open_until, '-infinity') <= clock_timestamp()
       AND coalesce(h.lease_until, '-infinity') <= clock_timestamp()
       AND EXISTS (SELECT FROM messaging_webhookdelivery d WHERE d.endpoint_id = e.id
                     AND d.state IN ('due', 'retry_wait') AND d.not_before <= clock_timestamp())
     ORDER BY h.failures_in_a_row, e.id
"""
TAKE_TURN = """
    UPDATE messaging_endpointhealth SET lease = %(lease)s, lease_until = clock_timestamp() + interval '90 seconds'
     WHERE endpoint_id = %(endpoint)s AND coalesce(lease_until, '-infinity') <= clock_timestamp()
       AND coalesce(open_until, '-infinity') <= clock_timestamp()
"""
CLAIM = """
    UPDATE messaging_webhookdelivery
       SET state = 'sending', lease = gen_random_uuid(), lease_until = clock_timestamp() + interval '75 seconds',
           attempts_made = attempts_made + 1, tries = tries + 1
     WHERE id = (
       SELECT d.id FROM messaging_webhookdelivery d JOIN messaging_endpoint e ON e.id = d.endpoint_id
        WHERE d.endpoint_id = %(endpoint)s AND e.state = 'active' AND d.state IN ('due', 'retry_wait')
          AND d.not_before <= clock_timestamp()
        ORDER BY d.not_before, d.source_id LIMIT 1 FOR UPDATE OF d SKIP LOCKED)
    RETURNING *
"""


def endpoints_to_call() -> list[int]:
    """Active ones that are owed something now, that no worker calls and that are not left alone; healthy ones first."""
    with connection.cursor() as cursor:
        cursor.execute(TO_CALL)
        return [endpoint_id for (endpoint_id,) in cursor.fetchall()]


def tell_all() -> int:
    """Call every endpoint that is owed something, side by side, so that a slow one keeps nobody waiting; returns how
    many calls were made.
    """
    running: dict[Future[int], int] = {}
    broken: set[int] = set()  # not begun again in this run: our own fault, which the next run may not have
    calls, ends = 0, time.monotonic() + WHOLE_BUDGET
    with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="webhooks") as pool:
        while True:
            waiting = endpoints_to_call() if time.monotonic() < ends else []
            for endpoint_id in waiting:
                if len(running) < AT_A_TIME and endpoint_id not in broken | set(running.values()):
                    running[pool.submit(_tell_in_thread, endpoint_id)] = endpoint_id
            if not running:
                return calls
            done, _ = wait(running, timeout=1, return_when=FIRST_COMPLETED)
            for future in done:
                endpoint_id = running.pop(future)
                if error := future.exception():
                    broken.add(endpoint_id)
                    log.error("endpoint_not_told", endpoint=endpoint_id, error=str(error))
                else:
                    calls += future.result()


def _tell_in_thread(endpoint_id: int) -> int:
    try:
        return tell(endpoint_id)
    finally:
        connections.close_all()


def tell(endpoint_id: int) -> int:
    """Tell one endpoint what it is owed, the oldest first, until there is nothing, it fails too often, or time is up;
    returns how many calls were made. Nothing where another worker is at it.
    """
    turn = uuid4()
    with connection.cursor() as cursor:
        cursor.execute(TAKE_TURN, {"lease": turn, "endpoint": endpoint_id})
        if cursor.rowcount != 1:
            return 0
    calls, ends = 0, time.monotonic() + BUDGET
    try:
        while time.monotonic() < ends and (claimed := claim(endpoint_id)):
            calls += 1
            send(claimed)
            if EndpointHealth.objects.filter(endpoint=endpoint_id, open_until__gt=Now()).exists():
                break
    finally:
        EndpointHealth.objects.filter(endpoint=endpoint_id, lease=turn).update(lease=None, lease_until=None)
    return calls


def claim(endpoint_id: int) -> WebhookDelivery | None:
    """The next row that is due, ours until its lease ends."""
    return next(iter(WebhookDelivery.objects.raw(CLAIM, {"endpoint": endpoint_id})), None)


def send(delivery: WebhookDelivery) -> Answer:
    """Call the endpoint with no transaction open, and write down how it ended."""
    endpoint = Endpoint.objects.get(pk=delivery.endpoint_id)
    started_at = timezone.now()
    try:
        body = body_of(delivery, endpoint)
        answer = _redacted(post(endpoint.url, body, signed(delivery, endpoint, body)), delivery, endpoint)
    except InvalidTag:
        answer = Answer(None, "What was sealed cannot be opened: was PRIVACY_KEY changed?", "sealed")
    settle(delivery, answer, started_at)
    _learn(endpoint, answer)
    return answer


def signed(delivery: WebhookDelivery, endpoint: Endpoint, body: bytes) -> dict[str, str]:
    """The headers, with a signature by each secret that is good now."""
    moment = int(time.time())
    good = endpoints.secrets_of(endpoint)
    return {
        "Content-Type": "application/json",
        "User-Agent": f"Holdfast/{settings.VERSION}",
        ID: delivery.webhook_id,
        TIMESTAMP: str(moment),
        SIGNATURE: " ".join(sign(secret, delivery.webhook_id, moment, body) for secret in good),
    }


def body_of(delivery: WebhookDelivery, endpoint: Endpoint) -> bytes:
    """The event as JSON. The same facts at every try; user ids as they are known when it is sent."""
    subject: dict[str, Any] = {"id": str(delivery.subject_id)}
    data: dict[str, Any] = {"id": delivery.webhook_id}
    if endpoint.with_user_ids and delivery.subject_id:
        subject["user_ids"] = _user_ids(delivery.subject_id)
    if delivery.kind == WebhookDelivery.Kind.CHANGED:
        data |= {
            "subject": subject | {"merged": [str(merged) for merged in delivery.merged]},
            "purpose": delivery.purpose,
            "channel": delivery.channel,
            "before": delivery.before,
            "after": delivery.after,
            "explicit": delivery.explicit,
            "cause": delivery.cause,
            "decision": None if delivery.decision_id is None else str(delivery.decision_id),
            "version": delivery.version,
            "changed_at": _moment(delivery.occurred_at),
        }
    elif delivery.kind == WebhookDelivery.Kind.MERGED:
        data |= {"subject": subject, "into": {"id": str(delivery.into_id)}, "merged_at": _moment(delivery.occurred_at)}
    elif delivery.facts is not None:
        data |= delivery.facts
    event = {"type": delivery.kind, "timestamp": _moment(delivery.occurred_at), "data": data}
    return json.dumps(event, separators=(",", ":")).encode()


def settle(delivery: WebhookDelivery, answer: Answer, started_at: datetime) -> None:
    """Write the attempt and what it leads to, under the lease; a success counts also where the lease had ended."""
    state, pause = outcome_of(delivery.tries, answer)
    facts: dict[str, Any] = {
        "state": state,
        "lease": None,
        "lease_until": None,
        "last_error": "" if answer.is_taken else str(answer)[:500],
        "not_before": Now() + pause,
        "settled_at": None if state == State.RETRY_WAIT else Now(),
    }
    with transaction.atomic():
        rows = WebhookDelivery.objects.filter(pk=delivery.pk, attempts_made=delivery.attempts_made)
        if not rows.filter(state=State.SENDING, lease=delivery.lease).update(**facts):
            if answer.is_taken:
                rows.filter(state=State.RETRY_WAIT).update(**facts)
            return
        WebhookAttempt.objects.create(
            delivery=delivery,
            number=delivery.attempts_made,
            started_at=started_at,
            ended_at=max(started_at, timezone.now()),
            status=answer.status,
            reply=answer.text,
            error=answer.error,
        )


def outcome_of(tries: int, answer: Answer) -> tuple[str, timedelta]:
    """The next state and the pause before another try. After a 410 it waits for somebody to resume the endpoint,
    however often it was tried.
    """
    if answer.is_taken:
        return State.DELIVERED, timedelta()
    if answer.status == 410:
        return State.RETRY_WAIT, timedelta()
    if tries >= len(PAUSES):
        return State.FAILED, timedelta()
    seconds = PAUSES[tries] * RANDOM.uniform(1, 1 + JITTER)
    return State.RETRY_WAIT, max(timedelta(seconds=seconds), asked_for(answer, timezone.now()))


def asked_for(answer: Answer, now: datetime) -> timedelta:
    """What a 429 or 503 asks for in Retry-After, seconds or a date, an hour at most."""
    if answer.status not in (429, 503):
        return timedelta()
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        try:
            when = parsedate_to_datetime(text)
        except ValueError:
            return timedelta()
        seconds = (when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds()
    return timedelta(seconds=min(max(0.0, seconds), LONGEST_ASKED_FOR))


def _learn(endpoint: Endpoint, answer: Answer) -> None:
    """One that fails is left alone for a while, whatever it is owed; one that is gone, until somebody resumes it."""
    rows = EndpointHealth.objects.filter(endpoint=endpoint)
    if answer.is_taken:
        rows.update(failures_in_a_row=0, open_until=None, last_success_at=Now())
        return
    rows.update(failures_in_a_row=F("failures_in_a_row") + 1, last_failure_at=Now(), last_error=str(answer)[:500])
    if answer.status == 410:
        try:
            endpoints.disable(endpoint, reason="It answered 410: gone.", by="system:webhooks")
        except ValidationError:  # disabled or retired meanwhile
            return
        log.error("endpoint_gone", endpoint=endpoint.name)
        return
    failures = rows.values_list("failures_in_a_row", flat=True).get()
    pause = asked_for(answer, timezone.now())
    if failures >= OPENS_AFTER:
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - OPENS_AFTER, 10))
        pause = max(pause, timedelta(seconds=RANDOM.uniform(longest / 2, longest)))
    if pause:
        rows.update(open_until=Now() + pause)


@transaction.atomic
def recover(at_once: int = 200) -> int:
    """A worker never came back: nobody knows what it was answered, so the same event is sent again."""
    abandoned = WebhookDelivery.objects.abandoned(Now()).select_for_update(skip_locked=True)[:at_once]
    for delivery in abandoned:
        answer = Answer(None, "The worker went away during the call.", "worker_lost")
        settle(delivery, answer, timezone.now())
    return len(abandoned)


def _redacted(answer: Answer, delivery: WebhookDelivery, endpoint: Endpoint) -> Answer:
    """Without addresses, and without the user ids that a service was told and repeats: attempts are kept for good."""
    text = without_addresses(answer.text)
    if text and endpoint.with_user_ids and delivery.subject_id:
        for user_id in _user_ids(delivery.subject_id):
            text = text.replace(user_id, "(a user id)")
    return replace(answer, text=text[:EXCERPT])  # what stands for an address may be longer than it


def _user_ids(subject_id: UUID) -> list[str]:
    known = Identifier.objects.filter(subject=subject_id, kind=Identifier.Kind.USER_ID, sealed__isnull=False)
    return sorted(unseal(Identifier.Kind.USER_ID, bytes(i.sealed or b"")) for i in known)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
