"""What services sent themselves, over HTTP: reported by the thousand, listed without addresses."""

from typing import Any

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.api import CursorPagination, Fault, Moment, MomentFilter, Text, TextFilter, idempotent, invalid
from config.models import Scope
from config.schema import IDEMPOTENCY_KEY
from consent.models import Channel
from messaging import contacts
from messaging.api.endpoint_shapes import Exact, given
from messaging.api.endpoints import caller
from messaging.api.persons import Person, named
from messaging.models import Contact


class NewContact(Exact):
    subject = Person()
    purpose = Text(max_length=50, help_text="A registered code.")
    channel = serializers.ChoiceField(Channel.choices)
    contacted_at = Moment(help_text="When it went out.")
    reference = Text(
        max_length=200, required=False, allow_blank=True, help_text="Your own name for it: a campaign, a message id."
    )


class NewContacts(Exact):
    contacts = serializers.ListField(child=NewContact(), min_length=1, max_length=contacts.MOST)


class ContactShown(serializers.ModelSerializer[Contact]):
    id = serializers.CharField(read_only=True)
    subject = serializers.UUIDField(
        source="subject_id", allow_null=True, help_text="null where nobody was known by that address."
    )

    class Meta:
        model = Contact
        fields = ["id", "service", "subject", "purpose", "channel", "contacted_at", "reference", "received_at"]
        read_only_fields = fields


class ContactsShown(serializers.Serializer[Any]):
    contacts = ContactShown(many=True)
    new = serializers.IntegerField(help_text="How many were not reported before.")


class ContactFilter(FilterSet):
    subject = django_filters.UUIDFilter(field_name="subject_id")
    service = TextFilter()
    purpose = TextFilter(max_length=50)
    channel = django_filters.ChoiceFilter(choices=Channel.choices)
    contacted_from = MomentFilter(field_name="contacted_at", lookup_expr="gte")
    contacted_to = MomentFilter(field_name="contacted_at", lookup_expr="lte")


@extend_schema_view(get=extend_schema(operation_id="contacts_list"))
class ContactsView(generics.ListAPIView[Contact]):
    """Contacts that services made and reported, the newest first."""

    queryset = Contact.objects.all()
    serializer_class = ContactShown
    pagination_class = CursorPagination
    ordering = "-id"
    scopes = {"GET": Scope.CONTACTS_READ, "POST": Scope.CONTACTS_WRITE}
    filter_backends = (DjangoFilterBackend,)
    filterset_class = ContactFilter

    @extend_schema(
        operation_id="contacts_report",
        request=PolymorphicProxySerializer("ContactsReport", [NewContact, NewContacts], None),
        responses={201: PolymorphicProxySerializer("ContactsReported", [ContactShown, ContactsShown], None)},
        parameters=[IDEMPOTENCY_KEY],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Report one contact that you made, or up to 1000 in `contacts`: all or none. Report those to people whom
        nobody knows too. One that came after its person's opt-out opens an incident.
        """
        is_list = isinstance(request.data, dict) and "contacts" in request.data
        told = given(NewContacts, request)["contacts"] if is_list else [given(NewContact, request)]
        rows = [contacts.NewContact(**{**facts, "subject": named(facts["subject"])}) for facts in told]
        try:
            reported = contacts.report(rows, by=caller(request))
        except ValidationError as error:
            raise invalid(list(_pointed(error, is_list=is_list))) from error
        shown = ContactShown([row.contact for row in reported], many=True).data
        if not is_list:
            return Response(shown[0], status=201)
        return Response({"contacts": shown, "new": sum(row.is_new for row in reported)}, status=201)

    def get_queryset(self) -> QuerySet[Contact]:
        return Contact.objects.defer("digest", "fingerprint")


def _pointed(error: ValidationError, *, is_list: bool) -> Any:
    for place, texts in error.message_dict.items():
        index, _, field = place.partition("/")
        pointer = f"/contacts/{index}/{field}" if is_list else f"/{field}"
        yield Fault(pointer, "invalid", " ".join(texts))
