"""From an alarm to an incident: opened once per key, and joined while it is open."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime

from django.db import IntegrityError, transaction

from consent.models import ExitPath, Purpose
from incidents import timeline
from incidents.models import AlertGroup, AlertSource, Incident
from incidents.services import declare
from incidents.timeline import Kind

NAME = "Holdfast detection"


@transaction.atomic
def open_or_join(
    key: str,
    title: str,
    *,
    occurred_from: datetime,
    detected_at: datetime,
    by: str,
    severity: str,
    purposes: Sequence[str],
    exit_paths: Sequence[str],
    mode: str,
    source: str,
    text: str,
) -> tuple[Incident, bool]:
    """The open incident of this key with a line added, or a new one in triage; whether it is new comes with it."""
    digest = hashlib.sha256(key.encode()).digest()
    ours = _source()
    groups = AlertGroup.objects.select_for_update(no_key=True, of=("self",)).select_related("incident")
    group = groups.filter(source=ours, key=digest, is_open=True).first()
    if group and group.incident.is_open:
        group.last_at, group.delivery_count = max(group.last_at, detected_at), group.delivery_count + 1
        group.save(update_fields=["last_at", "delivery_count"])
        timeline.append(group.incident, Kind.ALERT, text, source=source, actor=by, occurred_at=detected_at)
        return group.incident, False
    if group:
        AlertGroup.objects.filter(pk=group.pk).update(is_open=None)
    incident = declare(
        title[:200],
        occurred_from=min(occurred_from, detected_at),
        by=by,
        severity=severity,
        purposes=_known(Purpose, purposes),
        exit_paths=_known(ExitPath, exit_paths),
        mode=mode,
        status=Incident.Status.TRIAGE,
        source=source,
    )
    timeline.append(incident, Kind.ALERT, text, source=source, actor=by, occurred_at=detected_at)
    AlertGroup.objects.create(
        source=ours,
        key=digest,
        group_key=key,
        title=title[:200],
        incident=incident,
        first_at=detected_at,
        last_at=detected_at,
        delivery_count=1,
    )
    return incident, True


def _known(model: type[Purpose] | type[ExitPath], codes: Sequence[str]) -> list[str]:
    """An alarm is never lost over a code that nobody registered; `*` means all, like none named."""
    return list(model.objects.filter(code__in=codes).values_list("code", flat=True)) if codes else []


def _source() -> AlertSource:
    """A source that nobody can post to: it is off, and its token was never told. Its row makes rivals take turns."""
    locked = AlertSource.objects.select_for_update(no_key=True)
    if found := locked.filter(name=NAME).first():
        return found
    try:
        with transaction.atomic():
            row = AlertSource(name=NAME, is_active=False, token_digest=hashlib.sha256(secrets.token_bytes(32)).digest())
            row.save_as("system:detection", "Alarms of the product itself")
    except IntegrityError:
        pass  # somebody was quicker
    return locked.get(name=NAME)
