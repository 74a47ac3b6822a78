"""One person: what holds, what changed, and everything that led to a contact."""

from uuid import UUID

from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from drf_spectacular.utils import extend_schema

from config.api import as_cursor, from_cursor
from config.lean import LeanView, answer
from config.models import Scope
from consent import story
from consent.api import described, showing
from consent.identifiers import Identity, masked, unseal
from consent.models import Consent, Identifier, Subject

PAGE = 100
MOST_ENTRIES = 1000


class SubjectView(LeanView):
    scopes = {"GET": Scope.SUBJECTS_READ}

    @extend_schema(**described.SUBJECT)
    def get(self, request: HttpRequest, subject: UUID) -> HttpResponse:
        """How a person is known (masked) and what holds for them. After a merge, `merged_into` speaks for both."""
        person = _person(subject)
        root = person.merged_into_id or person.pk
        return answer(
            {
                "id": str(person.pk),
                "merged_into": str(person.merged_into_id) if person.merged_into_id else None,
                "created_at": showing.moment(person.created_at),
                "erased_at": showing.moment(person.erased_at) if person.erased_at else None,
                "locale": person.locale,
                "identifiers": [_identifier(row) for row in Identifier.objects.filter(subject=root).order_by("pk")],
                "consents": [
                    showing.consent(row) for row in Consent.objects.filter(subject=root).order_by("purpose", "channel")
                ],
            }
        )


class HistoryView(LeanView):
    scopes = {"GET": Scope.SUBJECTS_READ}

    @extend_schema(**described.HISTORY)
    def get(self, request: HttpRequest, subject: UUID) -> HttpResponse:
        """Each version of each consent of the person, newest first, as the database wrote it."""
        versions = Consent.history.filter(subject_id__in=_ids(subject)).order_by("-history_id")
        if "cursor" in request.GET:
            versions = versions.filter(history_id__lt=from_cursor(request.GET["cursor"], 1)[0])
        rows = list(versions[: PAGE + 1])
        following = None
        if len(rows) > PAGE:
            following = request.build_absolute_uri(f"?cursor={as_cursor(rows[PAGE - 1].history_id)}")
        return answer({"next": following, "previous": None, "results": [showing.version(row) for row in rows[:PAGE]]})


class WhyView(LeanView):
    scopes = {"GET": Scope.SUBJECTS_READ}

    @extend_schema(**described.WHY)
    def get(self, request: HttpRequest, subject: UUID) -> HttpResponse:
        """Why was this person contacted? Choices, messages and incidents in one line of time, newest first."""
        entries = story.tell(_ids(subject))
        return answer(
            {
                "subject": str(subject),
                "is_cut": len(entries) > MOST_ENTRIES,
                "entries": [
                    {
                        "at": showing.moment(entry.at),
                        "kind": entry.kind,
                        "text": entry.text,
                        "by": entry.by,
                        "decision": str(entry.decision) if entry.decision is not None else None,
                    }
                    for entry in entries[:MOST_ENTRIES]
                ],
            }
        )


def _person(subject: UUID) -> Subject:
    try:
        return Subject.objects.get(pk=subject)
    except Subject.DoesNotExist as error:
        raise Http404 from error


def _ids(subject: UUID) -> list[UUID]:
    """Everybody who was merged into the one that speaks for this subject, and that one."""
    person = _person(subject)
    root = person.merged_into_id or person.pk
    return list(Subject.objects.filter(Q(pk=root) | Q(merged_into=root)).values_list("pk", flat=True))


def _identifier(row: Identifier) -> dict[str, str | None]:
    """Masked: a service that knows the address recognises it, and one that does not learns nothing."""
    value = masked(Identity(row.kind, unseal(row.kind, bytes(row.sealed)))) if row.sealed else None
    return {"kind": row.kind, "value": value}
