"""Back in by mail, for a service without a page of its own: its first step, and a mail that leads to the second."""

from datetime import timedelta
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from config.models import User
from consent import subjects
from consent.answers import Query, check
from consent.models import ANY, Identifier, Purpose, Reversal, Subject
from consent.services import request_reversal
from consent.signals import reversal_to_ask

OPEN_FOR = timedelta(days=7)  # as the database has it


@transaction.atomic
def ask_by_mail(subject_id: UUID, purpose: str, channel: str, *, by: User | str, reason: str = "") -> Reversal:
    """The first step, and its person is owed a mail with the way to the second; nothing else changes.

    Who said no is not to be pressed: once in seven days for each scope. Raises ValidationError by field where that
    was done, where the preference page does not ask about the purpose, where they never said no to it, or where no
    address is known.
    """
    root = subjects.roots([subject_id])[subject_id]
    Subject.objects.select_for_update(no_key=True).get(pk=root)  # two at once; who records a choice does not wait
    asked_about = Purpose.objects.filter(code=purpose, is_public=True).exclude(regime=Purpose.Regime.MANDATORY)
    if purpose == ANY or not asked_about.exists():
        why = "The preference page does not ask about this purpose: ask the person on a page of yours."
        raise ValidationError({"purpose": ValidationError(why, code="not_public")})
    if check([Query(root, purpose, channel)])[0].reason != "explicit_opt_out":
        why = "They did not opt out of this: there is nothing to ask them a second time."
        raise ValidationError({"by_mail": ValidationError(why, "nothing_to_reverse")})
    if not Identifier.objects.filter(subject=root, kind=Identifier.Kind.EMAIL, sealed__isnull=False).exists():
        raise ValidationError({"by_mail": ValidationError("No e-mail address of this person is known.", "no_address")})
    standing = open_ones(root).filter(purpose=purpose, channel=channel, requested_by__startswith="service:")
    if last := standing.order_by("-requested_at").first():
        why = f"They were asked at {last.requested_at:%Y-%m-%d %H:%M} UTC. Ask again when those seven days are over."
        raise ValidationError({"by_mail": ValidationError(why, "asked_already")})
    reversal = request_reversal(root, purpose, channel, by=by, reason=reason)
    reversal.refresh_from_db()
    reversal_to_ask.send(sender=Reversal, reversal=reversal)
    return reversal


def open_ones(subject_id: UUID) -> QuerySet[Reversal]:
    """First steps whose second is the person's own, and may still come."""
    since = timezone.now() - OPEN_FOR
    return Reversal.objects.filter(
        subject=subject_id, kind=Reversal.Kind.SUBJECT, confirmation=None, requested_at__gt=since
    )
