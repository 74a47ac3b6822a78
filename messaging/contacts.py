"""Contacts that services made themselves, taken down as they report them: after the fact, perhaps hours later."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from config.text import CONTROL
from consent import subjects
from consent.identifiers import Identity
from consent.models import Channel, Purpose
from consent.story import Entry
from messaging.models import Contact

MOST = 1000
SKEW = timedelta(minutes=5)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
NEWEST_OF_PERSON = 200


@dataclass(frozen=True, slots=True)
class NewContact:
    """What a service reports. `subject`: a known person's id, or the address that was written to."""

    subject: UUID | Identity
    purpose: str
    channel: str
    contacted_at: datetime
    reference: str = ""


class Reported(NamedTuple):
    """A contact as it is kept; not `is_new` where the same was reported before."""

    contact: Contact
    is_new: bool


@transaction.atomic
def report(contacts: Sequence[NewContact], *, by: str) -> list[Reported]:
    """Take contacts down, all or none, in their order. People whom nobody knows are taken too. Four statements.

    Raises ValidationError by position and field: `{"3/purpose": …}`.
    """
    if faults := dict(_faults(contacts)):
        raise ValidationError(faults)
    known = subjects.find(contact.subject for contact in contacts if isinstance(contact.subject, Identity))
    roots = subjects.roots({*known.values(), *(c.subject for c in contacts if isinstance(c.subject, UUID))})
    if unknown := [i for i, c in enumerate(contacts) if isinstance(c.subject, UUID) and c.subject not in roots]:
        raise ValidationError({f"{i}/subject/id": "No such person. Send the address instead." for i in unknown})
    rows = [_row(contact, by, known, roots) for contact in contacts]
    prints = [bytes(row.fingerprint) for row in rows]
    before = set(Contact.objects.filter(fingerprint__in=prints).values_list("fingerprint", flat=True))
    Contact.objects.bulk_create(rows, ignore_conflicts=True)
    kept = {bytes(row.fingerprint): row for row in Contact.objects.filter(fingerprint__in=prints)}
    known_before = {bytes(fingerprint) for fingerprint in before}
    return [Reported(kept[fingerprint], fingerprint not in known_before) for fingerprint in prints]


def told(subject_ids: list[UUID]) -> Iterable[Entry]:
    """The provider that messaging registers with `consent.story`: what services say that they sent to a person."""
    rows = Contact.objects.filter(subject_id__in=subject_ids).order_by("-pk")[:NEWEST_OF_PERSON]
    for row in rows:
        text = f"Contacted about {row.purpose} by {row.get_channel_display()}, as {row.service} reports"
        url = reverse("admin:messaging_contact_change", args=[row.pk])
        yield Entry(row.contacted_at, "contact", text, row.service, None, url)


def _faults(contacts: Sequence[NewContact]) -> Iterable[tuple[str, str]]:
    named = {contact.purpose for contact in contacts}
    purposes = set(Purpose.objects.filter(code__in=named).values_list("code", flat=True))
    latest = timezone.now() + SKEW
    for index, contact in enumerate(contacts):
        if contact.purpose not in purposes:
            yield f"{index}/purpose", "No such purpose. Register it first."
        if contact.channel not in Channel.values:
            yield f"{index}/channel", f"No such channel. Known: {', '.join(Channel.values)}."
        if not EARLIEST <= contact.contacted_at <= latest:
            yield f"{index}/contacted_at", "It lies in the future, or before the year 2000. Check the sender's clock."
        if len(contact.reference) > 200 or CONTROL.search(contact.reference):
            yield f"{index}/reference", "At most 200 characters, and no control characters."


def _row(contact: NewContact, by: str, known: dict[tuple[str, bytes], UUID], roots: dict[UUID, UUID]) -> Contact:
    kind, digest, subject_id = "", None, None
    if isinstance(contact.subject, UUID):
        subject_id = contact.subject
    else:
        kind, digest = contact.subject.kind, contact.subject.digest
        subject_id = known.get((kind, digest))
    facts = [
        by, kind, digest.hex() if digest else str(subject_id), contact.purpose, contact.channel,
        contact.contacted_at.astimezone(UTC).isoformat(), contact.reference,
    ]  # fmt: skip
    return Contact(
        service=by,
        subject_id=roots[subject_id] if subject_id else None,
        kind=kind,
        digest=digest,
        purpose=contact.purpose,
        channel=contact.channel,
        contacted_at=contact.contacted_at,
        reference=contact.reference,
        fingerprint=hashlib.sha256(json.dumps(facts).encode()).digest(),
    )
