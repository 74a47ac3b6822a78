"""Canaries: subjects that are nobody, made to try the ways out, counted nowhere, and opted back in by two steps."""

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from config.keys import derive
from config.models import Scope, ServiceKey, User
from consent import exit_paths, subjects
from consent.identifiers import Identity
from consent.models import ANY, Cause, Channel, Choice, Consent, Identifier, Purpose, Subject
from consent.services import NewDecision, confirm_reversal, may_contact, record, request_reversal
from messaging.inbound.opting_out import KEYWORD
from messaging.models import Message

PURPOSE = "canary"
ACTOR = "system:probe"
ACCOUNT = "exit-path-probe"
KEY_DAYS = 62  # a key is made each month, and outlives it by another


class NotReady(Exception):
    """The canary cannot try anything: that says nothing about the way out."""


@dataclass(frozen=True, slots=True)
class Canary:
    """Who tries, and the scope that must change: contactable before, not contactable after."""

    name: str
    subject_id: UUID
    purpose: str
    channel: str
    attempt: UUID

    @property
    def is_in(self) -> bool:
        return may_contact(self.subject_id, self.purpose, self.channel)


def ready(path: str, attempt: UUID) -> Canary:
    """A canary that may be contacted. Raises NotReady with the reason.

    A browser's signal is honoured once while the person has not said yes again, so that way out gets a new canary each
    time; the others have one for good, which comes back in by the two steps that everybody takes.
    """
    if path == exit_paths.GPC:
        purpose = Purpose.objects.filter(is_covered_by_gpc=True).exclude(regime=Purpose.Regime.MANDATORY).first()
        if purpose is None:
            raise NotReady("No purpose is covered by Sec-GPC.")
        name = f"{path}.{str(attempt)[:8]}"
        canary = Canary(name, _subject(name), purpose.code, "web", attempt)
        if not canary.is_in:
            record([_said(canary, Choice.OPT_IN, ANY)])
    else:
        subject_id = _subject(path, phone() if path == KEYWORD else None)
        canary = Canary(path, subject_id, PURPOSE, channel_of(path), attempt)
        _back_in(canary)
    if not canary.is_in:
        raise NotReady("The canary could not be opted in.")
    return canary


def channel_of(path: str) -> str:
    """By which way the canary of that way out may be contacted until it takes it."""
    return Channel.SMS if path == KEYWORD else Channel.EMAIL


def address(name: str) -> str:
    """The mail address of the canary of that name; empty where canaries have none."""
    local, _, domain = settings.CANARY_EMAIL.rpartition("@")
    return f"{local}+{name}@{domain}" if local else ""


def phone() -> Identity:
    """The number that canaries write texts from. Raises NotReady where CANARY_PHONE holds none."""
    try:
        return Identity.of(Identifier.Kind.PHONE, settings.CANARY_PHONE)
    except ValidationError as error:
        raise NotReady(f"CANARY_PHONE: {error.message}") from error


def last_mail(canary: Canary) -> Message:
    """The newest mail to it, which it answers. One that has none yet opts out once, is owed the confirmation of that,
    and raises NotReady.
    """
    message = (
        Message.objects.filter(subject_id=canary.subject_id, channel=Channel.EMAIL).order_by("-created_at").first()
    )
    if message is None:
        record([_said(canary, Choice.OPT_OUT, canary.channel)])
        raise NotReady("The canary has no mail to answer yet. It is owed one now: the next try answers that.")
    return message


def api_key(now: datetime | None = None) -> str:
    """This month's key of the prober, derived and so kept nowhere; its row is made where it is missing."""
    now = now or timezone.now()
    month = f"probe-key/{now:%Y-%m}"
    lookup = derive(f"{month}/lookup", 6).hex()
    random_part = base64.urlsafe_b64encode(derive(f"{month}/secret")).rstrip(b"=").decode()
    text = f"{ServiceKey.PREFIX}_{lookup}_{random_part}"
    if not ServiceKey.objects.filter(lookup=lookup).exists():
        _keep_key(lookup, text, now)
    return text


@transaction.atomic
def _keep_key(lookup: str, text: str, now: datetime) -> None:
    account, _ = User.objects.get_or_create(username=ACCOUNT, defaults={"is_service": True, "password": "!"})
    if not account.is_service:
        raise NotReady(f"{ACCOUNT} is a person's account: rename it, the prober needs that name.")
    User.objects.select_for_update().get(pk=account.pk)  # two probers make one key
    if not ServiceKey.objects.filter(lookup=lookup).exists():
        key = ServiceKey(
            account=account,
            label=f"tries the ways out, {now:%Y-%m}",
            lookup=lookup,
            digest=ServiceKey.digest_of(text),
            scopes=[Scope.DECISIONS_WRITE],
            created_at=now,
            expires_at=now + timedelta(days=KEY_DAYS),
        )
        key.full_clean()
        key.save_as(ACTOR, "Made by the prober for itself")


def _subject(name: str, number: Identity | None = None) -> UUID:
    """The canary of that name, marked before it decides anything. An address that is somebody's stays theirs; from a
    number that is somebody's nothing is tried.
    """
    own = Identity.of(Identifier.Kind.USER_ID, f"canary:{name}")
    identities = [own]
    if mailbox := address(name):
        identities.append(Identity.of(Identifier.Kind.EMAIL, mailbox))
    if number:
        identities.append(number)
    known = subjects.find(identities)
    mine = known.get((own.kind, own.digest))
    somebodys = [one for one in identities[1:] if known.get((one.kind, one.digest)) not in (None, mine)]
    if number in somebodys:
        raise NotReady("CANARY_PHONE is the number of somebody real, who would be opted out.")
    identities = [one for one in identities if one not in somebodys]
    with transaction.atomic():
        subject_id = subjects.find_or_make([identities]).of(own)
        Subject.objects.filter(pk=subject_id, is_canary=False).update(is_canary=True)
    return subject_id


def _back_in(canary: Canary) -> None:
    """Answer each explicit opt-out of it by the two steps, the widest first, and each in a transaction of its own."""
    out = Consent.objects.explicitly_opted_out().filter(subject=canary.subject_id)
    for purpose, channel in sorted(out.values_list("purpose", "channel")):
        reversal = request_reversal(canary.subject_id, purpose, channel, by=ACTOR)
        confirm_reversal(reversal.pk, by=ACTOR)
    if not canary.is_in:
        record([_said(canary, Choice.OPT_IN, canary.channel)])


def _said(canary: Canary, choice: str, channel: str) -> NewDecision:
    return NewDecision(
        subject=canary.subject_id,
        purpose=canary.purpose,
        channel=channel,
        choice=choice,
        cause=Cause.SUBJECT_CHOICE,
        actor=ACTOR,
    )
