"""How the admin shows a person, masked, and finds one by an exact identifier."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin import display, mask
from consent import subjects
from consent.access import people
from consent.identifiers import Identity, unseal
from consent.models import Identifier, Subject

SEARCH_HELP = "An exact e-mail address, telephone number (+49 …), user id or subject id."


def short(subject_id: UUID) -> str:
    return f"{str(subject_id)[:8]}…"


def masked(subject: Subject) -> str:
    """`a…@example.org · +49…820`; asks nothing where `identifiers` were prefetched."""
    known: Iterable[Identifier] = subject.identifiers.all()
    shown = [mask(unseal(i.kind, bytes(i.sealed))) for i in known if i.sealed is not None]
    if shown:
        return " · ".join(shown)
    return f"{'erased' if subject.erased_at else 'person'} {short(subject.pk)}"


def hidden(identifier: Identifier) -> str:
    """`e-mail address: a…@example.org`"""
    if identifier.sealed is None:
        return f"{identifier.get_kind_display()}: erased"
    return f"{identifier.get_kind_display()}: {mask(unseal(identifier.kind, bytes(identifier.sealed)))}"


def name(subject: Subject, request: HttpRequest) -> str:
    """The masked identifiers, for those who may see them; a piece of the random id for an auditor."""
    may_see = request.user.has_perm("consent.view_identifier")
    return masked(subject) if may_see else f"person {short(subject.pk)}"


def link(subject: Subject, text: str) -> SafeString:
    url = reverse("admin:consent_subject_change", args=[subject.merged_into_id or subject.pk])
    return format_html('<a href="{}">{}</a>', url, text)


class PersonColumn:
    """`person` in list_display and fields: masked for those who may see identifiers, a piece of the id for the rest."""

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return self._for(request, super().get_list_display(request), "person")  # type: ignore[misc]

    def get_list_display_links(self, request: HttpRequest, list_display: Any) -> list[str]:
        return [list_display[0]]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return self._for(request, super().get_fields(request, obj), "person_link")  # type: ignore[misc]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return self._for(request, super().get_readonly_fields(request, obj), "person_link")  # type: ignore[misc]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        queryset = super().get_queryset(request)  # type: ignore[misc]
        return queryset.select_related("subject").prefetch_related("subject__identifiers")

    def _for(self, request: HttpRequest, columns: Iterable[Any], shown: str) -> list[Any]:
        may_see = request.user.has_perm("consent.view_identifier")
        name = shown if may_see else shown.replace("person", "subject")
        return [name if column == "person" else column for column in columns]

    @display(description="Person")
    def person(self, obj: Any) -> str:
        return masked(obj.subject)

    @display(description="Person")
    def subject(self, obj: Any) -> str:
        return f"person {short(obj.subject_id)}"

    @display(description="Person")
    def person_link(self, obj: Any) -> SafeString:
        return link(obj.subject, masked(obj.subject))

    @display(description="Person")
    def subject_link(self, obj: Any) -> SafeString:
        return link(obj.subject, f"person {short(obj.subject_id)}")


def found(term: str) -> list[UUID]:
    """The subjects that an exact identifier or subject id names: by blind index, never by likeness."""
    term = term.strip()
    if ids := _by_number(term):
        return ids
    identities = list(_readings(term))
    return [root for subject_id in sorted(set(subjects.find(identities).values())) for root in people(subject_id)]


def _readings(term: str) -> Iterable[Identity]:
    for kind in Identifier.Kind.values:
        try:
            yield Identity.of(kind, term)
        except ValidationError:
            continue


class ExactSearch:
    """The search box of lists about people: `search_by` is the column that holds the subject."""

    search_fields = ("pk",)  # shows the box; what is typed never reaches these
    search_help_text = SEARCH_HELP
    search_by = "subject"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        asked = self.search_for(term)
        if asked is None:
            if not request.user.has_perm("consent.view_identifier"):
                asked = Q(**{f"{self.search_by}__in": _by_number(term)})
            else:
                asked = Q(**{f"{self.search_by}__in": found(term)})
        return queryset.filter(asked), False

    def search_for(self, term: str) -> Q | None:
        """What else may be typed, like a reference number."""
        return None


def _by_number(term: str) -> list[UUID]:
    """An auditor may follow a subject id, not look a person up by their address."""
    try:
        subject_id = UUID(term)
    except ValueError:
        return []
    return people(subject_id) if subjects.roots([subject_id]) else []
