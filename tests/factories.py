"""Rows that the database accepts, with sequences and nothing random."""

from datetime import timedelta
from functools import cache

import factory
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.db.models import Model
from django.utils import timezone

from config.models import Scope, ServiceKey, User
from consent.identifiers import Identity
from consent.models import (
    AnswerText,
    Batch,
    Consent,
    DeadlineRule,
    Decision,
    ExitPath,
    GuardChange,
    InterruptedOptOut,
    PrivacyRequest,
    Purpose,
    Reversal,
    Subject,
)
from consent.services import NewDecision, record, set_guard
from incidents.models import AlertDelivery, AlertSource, CauseAssessment, Incident
from incidents.services import declare
from messaging.models import (
    Endpoint,
    EndpointHealth,
    HookDelivery,
    InboundMessage,
    Message,
    SendHold,
    Suppression,
    Template,
    TemplateVersion,
    TransportHealth,
    WebhookDelivery,
)
from messaging.models.template import MessageClass

PASSWORD = "correct horse battery staple"


@cache
def password_hash() -> str:
    """Slow by intent, so once a run."""
    return make_password(PASSWORD)


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"person{n}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@staff.example")
    password = factory.LazyFunction(password_hash)
    is_staff = True

    @factory.post_generation
    def role(user, create, name, **kwargs):
        """UserFactory(role="Officer") puts the user into the group that the migration made."""
        if name:
            user.groups.add(Group.objects.get(name=name))

    class Params:
        service = factory.Trait(is_service=True, is_staff=False, password="!")


class ServiceKeyFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = ServiceKey

    account = factory.SubFactory(UserFactory, service=True)
    label = factory.Sequence(lambda n: f"key {n}")
    lookup = factory.Sequence(lambda n: f"{n:012x}")
    digest = factory.Sequence(lambda n: ServiceKey.digest_of(f"key {n}"))
    scopes = factory.LazyFunction(lambda: [Scope.CHECK])
    expires_at = factory.LazyFunction(lambda: timezone.now() + timedelta(days=90))


class PurposeFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Purpose
        django_get_or_create = ("code",)

    code = factory.Sequence(lambda n: f"purpose-{n}")
    name = factory.LazyAttribute(lambda purpose: purpose.code.capitalize())


class ExitPathFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = ExitPath
        django_get_or_create = ("code",)

    code = factory.Sequence(lambda n: f"path-{n}")
    name = factory.LazyAttribute(lambda path: path.code.capitalize())
    kind = ExitPath.Kind.API
    owner = "Platform team"


class SubjectFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Subject


def email(address: str) -> list[Identity]:
    return [Identity.of("email", address)]


def opt_out(subject, /, purpose="marketing", channel="email", **facts) -> NewDecision:
    """`subject`: a Subject, its id, or an e-mail address."""
    return _decision("opt_out", subject, purpose, channel, facts)


def opt_in(subject, /, purpose="marketing", channel="email", **facts) -> NewDecision:
    return _decision("opt_in", subject, purpose, channel, facts)


def _decision(choice, subject, purpose, channel, facts) -> NewDecision:
    if isinstance(subject, Subject):
        subject = subject.pk
    elif isinstance(subject, str):
        subject = email(subject)
    code = purpose.code if isinstance(purpose, Purpose) else purpose
    return NewDecision(
        **{
            "subject": subject,
            "purpose": code,
            "channel": channel,
            "choice": choice,
            "cause": "subject_choice",
            **facts,
        }
    )


class ServiceFactory(factory.django.DjangoModelFactory):
    """The account behind a service's keys."""

    class Meta:
        model = User

    username = factory.Sequence(lambda n: f"service{n}")
    is_service = True


def service_key(*scopes, account=None, by=None) -> str:
    """A fresh key's text, with the scopes."""
    account = account or ServiceFactory()
    return ServiceKey.issue(account, label="tests", scopes=list(scopes), by=by or account)[1]


class DeadlineRuleFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = DeadlineRule

    code = factory.Sequence(lambda n: f"rule-{n}")
    title = factory.LazyAttribute(lambda rule: rule.code.capitalize())
    request_kind = "access"
    amount = 30
    unit = DeadlineRule.Unit.CALENDAR_DAYS
    citation = "Art. 12(3) GDPR"


class PrivacyRequestFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = PrivacyRequest

    ref = factory.Sequence(lambda n: f"TEST-{n}")
    subject = factory.SubFactory(SubjectFactory)
    kind = PrivacyRequest.Kind.ACCESS
    received_via = "email"
    rule = factory.SubFactory(DeadlineRuleFactory)
    due_at = factory.LazyFunction(lambda: timezone.now() + timedelta(days=30))
    logged_by = "user:someone"


class BatchFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Batch

    kind = "import"
    reason = factory.Sequence(lambda n: f"List {n} of the shop")
    created_by = "user:someone"


class InterruptedOptOutFactory(factory.django.DjangoModelFactory):
    """A press that neither the database nor the disk took."""

    class Meta:
        model = InterruptedOptOut

    key = factory.Sequence(lambda n: n.to_bytes(32))
    subject_id = factory.LazyFunction(lambda: SubjectFactory().pk)
    exit_path = "one-click"
    purpose = "marketing"
    channel = "email"
    is_certain = True
    tried_at = last_tried_at = factory.LazyFunction(lambda: timezone.now() - timedelta(minutes=5))
    place = "POST /u/"
    error_code = "OSError"
    state = InterruptedOptOut.State.WAITING


class ReversalFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Reversal

    subject = factory.SubFactory(SubjectFactory)
    purpose = "marketing"
    channel = "email"
    kind = Reversal.Kind.STAFF
    reason = "They called us"
    evidence = "Ticket 7"
    requested_by = "user:someone"


class AnswerTextFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = AnswerText

    title = factory.Sequence(lambda n: f"Answer {n}")
    request_kind = PrivacyRequest.Kind.ACCESS
    body = "About {ref}, which we received on {received}."


class TemplateFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Template

    key = factory.Sequence(lambda n: f"template-{n}")
    title = factory.LazyAttribute(lambda template: template.key.capitalize())
    message_class = MessageClass.CONFIRMATION


class TemplateVersionFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = TemplateVersion

    template = factory.SubFactory(TemplateFactory)
    number = 1
    created_by = "user:someone"


class MessageFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Message

    intent = factory.Sequence(lambda n: n.to_bytes(32))
    message_class = MessageClass.CONFIRMATION
    purpose = "marketing"
    subject_id = factory.LazyFunction(lambda: SubjectFactory().pk)
    sealed_recipient = factory.Sequence(lambda n: Identity.of("email", f"reader{n}@example.org").seal())
    template_key = "confirmation"


class SendHoldFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = SendHold

    scope = "template"
    value = factory.Sequence(lambda n: f"text_{n}")
    reason = "An exercise"
    held_by = "user:someone"


class TransportHealthFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = TransportHealth

    transport = factory.Sequence(lambda n: f"relay{n}")


class EndpointFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Endpoint
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"service-{n}")
    url = "https://hooks.example/changes"
    owner = "Platform team"
    state_changed_by = created_by = "user:someone"

    @factory.post_generation
    def health(endpoint, create, extracted, **facts):
        EndpointHealth.objects.create(endpoint=endpoint, **facts)


class WebhookDeliveryFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = WebhookDelivery

    endpoint = factory.SubFactory(EndpointFactory)
    kind = WebhookDelivery.Kind.CHANGED
    source_id = factory.Sequence(lambda n: n + 1)
    subject_id = factory.LazyFunction(lambda: SubjectFactory().pk)
    purpose = "marketing"
    channel = "email"
    after = "opt_out"
    version = 1
    occurred_at = factory.LazyFunction(timezone.now)


class SuppressionFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Suppression

    digest = factory.Sequence(lambda n: n.to_bytes(32))
    reason = Suppression.Reason.NO_MAILBOX


class HookDeliveryFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = HookDelivery

    provider = "postmark"
    kind = HookDelivery.Kind.TRACKING
    body = b"{}"
    body_digest = b"\0" * 32


class InboundMessageFactory(factory.django.DjangoModelFactory):
    """A letter that waits for a person."""

    class Meta:
        model = InboundMessage

    source = "smtp"
    sender = factory.Sequence(lambda n: f"writer{n}@example.org")
    recipient = "reply@holdfast.example"
    subject = "A question"
    raw = factory.LazyAttribute(lambda row: f"From: {row.sender}\nSubject: {row.subject}\n\nWhy me?\n".encode())
    raw_digest = factory.Sequence(lambda n: n.to_bytes(32))
    kind = InboundMessage.Kind.REPLY
    state = InboundMessage.State.OPEN


class IncidentFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Incident

    ref = factory.Sequence(lambda n: f"INC-T{n}")
    title = factory.Sequence(lambda n: f"Trouble {n}")
    occurred_from = factory.LazyFunction(lambda: timezone.now() - timedelta(hours=1))
    declared_by = "user:someone"


def incident(title="Relay down", /, *, minutes_ago=10, by="user:anna", **facts) -> Incident:
    """Declared through its own door."""
    return declare(title, occurred_from=timezone.now() - timedelta(minutes=minutes_ago), by=by, **facts)


class CauseAssessmentFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = CauseAssessment

    decision_id = factory.Sequence(lambda n: n + 1)
    cause = "scanner_suspected"
    confidence = 75
    reasons = ("hidden_link_fetched",)
    rules = 1
    assessed_at = factory.LazyFunction(timezone.now)


class AlertSourceFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = AlertSource

    name = factory.Sequence(lambda n: f"Alertmanager {n}")
    token_digest = factory.Sequence(lambda n: n.to_bytes(32))


class AlertDeliveryFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = AlertDelivery

    source = factory.SubFactory(AlertSourceFactory)
    raw_body = b"{}"
    body_digest = b"\0" * 32
    content_type = "application/json"


def rows(model: type[Model], count: int) -> list[Model]:
    """That many rows of any model that has an admin page."""
    if model in (Consent, Decision, Subject):
        for code in ("marketing", "support"):
            PurposeFactory(code=code)
        record([opt_out(f"somebody{n}@example.org") for n in range(count)])
    elif model is GuardChange:
        for number in range(count):
            set_guard("observe", reason=f"Exercise {number}", by="user:someone")
    elif model is Group:
        Group.objects.bulk_create(Group(name=f"Role {number}") for number in range(count))
    else:
        makers = {maker._meta.model: maker for maker in factory.django.DjangoModelFactory.__subclasses__()}
        assert model in makers, f"Give {model.__name__} a factory in tests/factories.py: its admin page wants rows."
        makers[model].create_batch(count)
    return list(model._default_manager.order_by("-pk")[:count])
