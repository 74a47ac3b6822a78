"""What messaging and the auditor of playbooks say is wrong becomes an incident in triage, is joined while it lasts, and
its end is told."""

from collections.abc import Iterable
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Min
from django.utils import timezone

from incidents import timeline
from incidents.attention import CLOCK
from incidents.models import Incident, Trouble
from incidents.playbooks import auditing
from incidents.services import open_or_join
from incidents.timeline import Kind, Source
from incidents.vocabulary import IncidentType
from messaging.condition import Condition, conditions
from messaging.models import TemplateFault

WATCHER = "system:messages"
MOST = 50  # texts that are told apart
DIFFERS = "differs-"  # how the key of a service that holds something else begins


def watch() -> int:
    """Open what is new, tell what is over; returns how many of both. Who watches at the same time waits."""
    now = timezone.now()
    found = {condition.key: condition for condition in (*conditions(now), *faults(now), *auditing.conditions())}
    changed = 0
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('incidents.trouble'))")
        known = Trouble.objects.filter(over_at=None).exclude(key__startswith=CLOCK)
        lasting = {trouble.key: trouble for trouble in known.select_related("incident__duplicate_of")}
        for key, trouble in lasting.items():
            if key not in found:
                _over(trouble, now)
                changed += 1
        for key, condition in found.items():
            changed += _tell(condition, lasting.get(key), now)
    return changed


def faults(now: datetime) -> Iterable[Condition]:
    """Published texts that fail, one condition a text. One bounded statement."""
    rows = TemplateFault.objects.open().order_by().values("version__template_id")
    named = rows.annotate(since=Min("first_at")).values_list("version__template_id", "since")
    for template, since in named[:MOST]:
        yield Condition(f"template-{template}", f"The text {template} fails", min(since, now))


def _tell(condition: Condition, lasting: Trouble | None, now: datetime) -> int:
    """One line while it lasts, not one a look. An incident that was closed meanwhile is opened anew; one that was
    declined is not, until the trouble was over once."""
    if lasting:
        Trouble.objects.filter(pk=lasting.pk).update(seen_at=now)
        if lasting.incident.survivor.status != Incident.Status.CLOSED:
            return 0
    incident, _ = open_or_join(
        condition.key,
        condition.title,
        occurred_from=min(condition.since, now),
        detected_at=now,
        by=WATCHER,
        severity=Incident.Severity.SEV3 if condition.key == "mail-in-doubt" else Incident.Severity.SEV2,
        source=Source.DETECTOR,
        type=IncidentType.PROPAGATION if condition.key.startswith(DIFFERS) else IncidentType.OTHER,
    )
    if lasting:
        Trouble.objects.filter(pk=lasting.pk).update(incident=incident)
    else:
        Trouble.objects.create(
            key=condition.key, title=condition.title[:200], incident=incident, since=condition.since, seen_at=now
        )
    return 1


def _over(trouble: Trouble, now: datetime) -> None:
    Trouble.objects.filter(pk=trouble.pk).update(over_at=now)
    minutes = int((now - trouble.since).total_seconds() // 60)
    text = (
        f"No longer so: {trouble.title}. It lasted {minutes:,} min. The incident stays open until somebody closes it."
    )
    timeline.append(
        trouble.incident.survivor, Kind.DETECTOR, text, source=Source.DETECTOR, actor=WATCHER, old=trouble.key[:200]
    )
