"""Doing what a privacy request asks for: hand the data out, forget the person, correct how they are known."""

from django.core.exceptions import ValidationError
from django.db import transaction

from config.models import User
from consent import access, subjects
from consent.identifiers import Identity
from consent.models import Identifier, PrivacyRequest, RequestEvent
from consent.replies import email_of
from consent.requests import begun, locked, tell
from consent.services import erase

Kind, State, Event = PrivacyRequest.Kind, PrivacyRequest.State, RequestEvent.Kind


@transaction.atomic
def hand_out(request: PrivacyRequest, *, by: User | str) -> bytes:
    """Act on an access request: everything stored about the person, as a JSON file. Each hand-out is in the log."""
    request = locked(request, Kind.ACCESS)
    data = access.stored_about(request.subject_id)
    text = f"Put together {len(data['decisions'])} decisions; SHA-256 {access.digest(data)}."
    tell(begun(request, by, "Data put together"), Event.ACTED, text, by)
    return access.as_json(data)


@transaction.atomic
def forget(request: PrivacyRequest, *, by: User | str) -> int:
    """Act on a deletion request. Answer it before: afterwards nobody can write to this person any more."""
    request = locked(request, Kind.DELETION)
    if request.state != State.ANSWERED and email_of(request.subject_id):
        raise ValidationError(
            f"Answer {request.ref} first: once the address is erased, nobody can write to this person any more."
        )
    emptied = erase(request.subject_id, by=by)
    text = (
        f"Erased {emptied} identifiers and all evidence. Choices stay without a name, so that an opt-out still holds."
    )
    tell(begun(request, by, "Person erased"), Event.ACTED, text, by)
    return emptied


@transaction.atomic
def correct(request: PrivacyRequest, old: Identifier, new: Identity, *, by: User | str) -> Identifier:
    """Act on a correction request: the new identifier names the person from now on, the old one is retired.

    The blind index of the old one stays, so that an import of it still meets the opt-out.
    """
    request = locked(request, Kind.CORRECTION)
    root = access.people(request.subject_id)[0]
    if old.subject_id != root or old.sealed is None:
        raise ValidationError("This identifier does not belong to the person any more: reload the page.")
    if subjects.find([new]).get((new.kind, new.digest), root) != root:
        raise ValidationError(
            "Another person here has this identifier. If they are the same person, merge them on the person's page."
        )
    corrected, _ = Identifier.objects.update_or_create(
        kind=new.kind, digest=new.digest, defaults={"subject_id": root, "sealed": new.seal()}
    )
    if corrected != old:
        Identifier.objects.filter(pk=old.pk).update(sealed=None)
    text = f"Corrected the {old.get_kind_display()}; the old one is retired."
    tell(begun(request, by, "Identifier corrected"), Event.ACTED, text, by)
    return corrected
