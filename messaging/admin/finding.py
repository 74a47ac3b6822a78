"""What staff type into a search box: a number of ours, or an address, by which only those find who may see people."""

from collections.abc import Iterable
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpRequest

from consent.identifiers import Identity
from messaging.models import RECIPIENTS


def may_see_people(request: HttpRequest) -> bool:
    return request.user.has_perm("consent.view_identifier")


def readings(term: str) -> Iterable[Identity]:
    """What was typed, as whatever a message may be sent to."""
    for kind in RECIPIENTS.values():
        try:
            yield Identity.of(kind, term)
        except ValidationError:
            continue


def named(request: HttpRequest, term: str, number: str) -> Q:
    """Rows with this `number`, or with the blind index of this address; all of them where nothing was typed."""
    term = term.strip()
    if not term:
        return Q()
    try:
        return Q(**{number: UUID(term)})
    except ValueError:
        found = [identity.digest for identity in readings(term)] if may_see_people(request) else []
        return Q(digest__in=found)
