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
    Import,
    InterruptedOptOut,
    PrivacyRequest,
    Purpose,
    Reversal,
    Subject,
)
from consent.services import NewDecision, record, set_guard
from incidents.detection.raising import digest_of
from incidents.models import (
    Alarm,
    AlertDelivery,
    AlertSource,
    CauseAssessment,
    ChangeApproval,
    ChangeBatch,
    ChangeSet,
    DetectorSettings,
    DriftRepair,
    ExitPathProbe,
    ExitPathWatch,
    FollowUp,
    Incident,
    IncidentClock,
    IncidentClockRule,
    Marker,
    PlannedWrite,
    Playbook,
    PlaybookRun,
    PlaybookVersion,
    Restore,
    Rollback,
    SeverityPolicy,
    ValidationRun,
)
from incidents.playbooks import publishing
from incidents.playbooks.definition import digest_of as digest_of_steps
from incidents.services import declare
from messaging.models import (
    Contact,
    Difference,
    Endpoint,
    EndpointHealth,
    HookDelivery,
    InboundMessage,
    Message,
    Notice,
    SendHold,
    StateReport,
    Suppression,
    Template,
    TemplateBody,
    TemplateFault,
    TemplateVersion,
    TransportHealth,
    WebhookDelivery,
)
from messaging.models.template import MessageClass
from messaging.publishing import approve, check, publish

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


class ImportFactory(factory.django.DjangoModelFactory):
    """A file that was brought; its rows are made by `consent.importing.staging.take`."""

    class Meta:
        model = Import

    file_name = factory.Sequence(lambda n: f"list-{n}.csv")
    digest = factory.Sequence(lambda n: n.to_bytes(32))
    size = 100
    sender = "holdfast"
    purpose = "marketing"
    channel = "email"
    moment = factory.LazyFunction(timezone.now)
    rows = 3
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


class TemplateFaultFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = TemplateFault

    version = factory.SubFactory(TemplateVersionFactory)
    locale = "en"
    error = "The text names nickname, which this message does not have."


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


class StateReportFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = StateReport

    endpoint = factory.SubFactory(EndpointFactory)
    name = factory.Sequence(lambda n: f"night {n}")
    held_at = factory.LazyFunction(timezone.now)
    started_by = "service:shop"


class DifferenceFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Difference

    endpoint = factory.SubFactory(EndpointFactory)
    first_report = factory.SubFactory(StateReportFactory, endpoint=factory.SelfAttribute("..endpoint"))
    last_report = factory.SelfAttribute("first_report")
    kind = Difference.Kind.CONTACTABLE
    subject_id = factory.LazyFunction(lambda: SubjectFactory().pk)
    person = factory.LazyAttribute(lambda difference: difference.subject_id.hex)
    purpose = "marketing"
    channel = "email"
    theirs = "opt_in"
    ours = "opted_out"


class ContactFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Contact

    service = "service:shop"
    subject_id = factory.LazyFunction(lambda: SubjectFactory().pk)
    purpose = "marketing"
    channel = "email"
    contacted_at = factory.LazyFunction(timezone.now)
    fingerprint = factory.Sequence(lambda n: n.to_bytes(32))


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


NOTICE_SCHEMA = {
    "type": "object",
    "properties": {
        "what": {"type": "string", "title": "What happened", "maxLength": 500},
        "found_at": {"type": "string", "format": "date-time"},
        "steps": {"type": "array", "items": {"type": "string"}, "minItems": 1},
    },
    "required": ["what", "found_at", "steps"],
    "additionalProperties": False,
}
NOTICE_FACTS = {
    "what": "A list was copied.",
    "found_at": "2026-11-20T09:00:00+00:00",
    "steps": ["Change your password"],
}


def notice_text(key="breach", message_class=MessageClass.INCIDENT_NOTICE, *, text="") -> TemplateVersion:
    """A published text in English and German that names what happened, when it was found, and what to do."""
    template, _ = Template.objects.get_or_create(key=key, defaults={"title": key, "message_class": message_class})
    number = template.versions.count() + 1
    version = TemplateVersion.objects.create(
        template=template, number=number, context_schema=NOTICE_SCHEMA, samples=[NOTICE_FACTS], created_by="user:author"
    )
    facts = (
        "{{ what }} {{ found_at|date:'Y-m-d' }} {% for step in steps %}{{ step }}{% endfor %} {{ organisation }} "
        "{{ preferences_url }} {% reason %}You get this because your data were touched.{% endreason %}"
    )
    for locale, subject in (("en", "About your data"), ("de", "Zu Ihren Daten")):
        TemplateBody.objects.create(version=version, locale=locale, subject=subject, text=f"{text}{facts}")
    check(version, reason="For tests", by="user:author")
    approve(version, reason="For tests", by="user:publisher")
    return publish(version, reason="For tests", by="user:publisher")


class NoticeFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Notice

    ref = factory.Sequence(lambda n: f"NTC-T{n}")
    title = factory.Sequence(lambda n: f"Notice {n}")
    template = factory.SubFactory(TemplateFactory, message_class=MessageClass.PRIVACY_NOTICE)
    reason = "They must be told"
    cohort_kind = Notice.Kind.LIST
    created_by = "user:someone"


class IncidentFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Incident

    ref = factory.Sequence(lambda n: f"INC-T{n}")
    title = factory.Sequence(lambda n: f"Trouble {n}")
    occurred_from = factory.LazyFunction(lambda: timezone.now() - timedelta(hours=1))
    declared_by = "user:someone"


class IncidentClockRuleFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = IncidentClockRule

    code = factory.Sequence(lambda n: f"LAW-{n}")
    title = "Somebody is told"
    citation = "Art. 1"
    notify = "the authority"
    starts_at = "detected_at"
    amount = 24
    unit = "hours"


class IncidentClockFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = IncidentClock

    incident = factory.SubFactory(IncidentFactory)
    rule = factory.SubFactory(IncidentClockRuleFactory)
    citation = "Art. 1"
    term = "24 hours"
    why = "It is one"
    started_at = factory.LazyFunction(timezone.now)
    decided_by = "user:someone"


class SeverityPolicyFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = SeverityPolicy

    severity = factory.Sequence(lambda n: f"s{n}")


class FollowUpFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = FollowUp

    incident = factory.SubFactory(IncidentFactory)
    title = factory.Sequence(lambda n: f"Mend part {n}")
    kind = FollowUp.Kind.CORRECTIVE
    owner = factory.SubFactory(UserFactory)
    due_on = factory.LazyFunction(lambda: timezone.now().date() + timedelta(days=7))


def incident(title="Relay down", /, *, minutes_ago=10, by="user:anna", **facts) -> Incident:
    """Declared through its own door."""
    return declare(title, occurred_from=timezone.now() - timedelta(minutes=minutes_ago), by=by, **facts)


class ValidationRunFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = ValidationRun

    trigger = ValidationRun.Trigger.PERIODIC
    scope = "news"
    verdict = ValidationRun.Verdict.PASS
    log_tx = factory.Sequence(lambda n: n + 1)
    started_at = factory.LazyFunction(timezone.now)


class DriftRepairFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = DriftRepair

    found_by = DriftRepair.FoundBy.SWEEP
    incident = factory.LazyFunction(lambda: incident("Choices are not what the log says"))
    kinds = factory.LazyFunction(lambda: {"state": 1})
    count = repaired = 1
    reversed_count = 0
    digest = b"\0" * 32
    found_at = factory.LazyFunction(timezone.now)


class CauseAssessmentFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = CauseAssessment

    decision_id = factory.Sequence(lambda n: n + 1)
    cause = "scanner_suspected"
    confidence = 75
    reasons = ("hidden_link_fetched",)
    rules = 1
    assessed_at = factory.LazyFunction(timezone.now)


class PlaybookFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Playbook

    slug = factory.Sequence(lambda n: f"playbook-{n}")
    title = factory.LazyAttribute(lambda playbook: playbook.slug.capitalize())
    owner = "Privacy operations"


class PlaybookVersionFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = PlaybookVersion

    playbook = factory.SubFactory(PlaybookFactory)
    number = 1
    steps = factory.LazyFunction(lambda: [{"key": "look", "title": "Look", "kind": "check"}])
    digest = factory.LazyAttribute(lambda version: digest_of_steps(version.steps, version.attached))
    attached = factory.LazyFunction(dict)
    created_by = "user:someone"


class PlaybookRunFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = PlaybookRun

    incident = factory.SubFactory(IncidentFactory)
    version = factory.SubFactory(PlaybookVersionFactory)
    playbook = factory.SelfAttribute("version.playbook")
    steps = factory.SelfAttribute("version.steps")
    trigger = "person"
    reason = "It burns"
    started_by = "user:someone"
    next_at = factory.LazyFunction(timezone.now)


def playbook(*steps, attached=None, **facts) -> Playbook:
    """Published through its own doors, by two people."""
    made = PlaybookFactory(**facts)
    version = publishing.write(made, steps, attached or {}, by="user:anna")
    publishing.publish(publishing.approve(version, by="user:ben"), by="user:ben")
    return made


class ChangeSetFactory(factory.django.DjangoModelFactory):
    """A draft; whatever is further on went through its own doors: `incidents.changes`."""

    class Meta:
        model = ChangeSet

    title = factory.Sequence(lambda n: f"Bring back list {n}")
    reason = "The import of March was read with its columns mixed up."
    kind = ChangeSet.Kind.BULK_EDIT
    operations = factory.LazyFunction(lambda: [{"operation": "set_choice", "args": {"choice": "opt_out"}}])
    selector = factory.LazyFunction(lambda: {"purpose": "marketing", "channel": "email", "state": "opt_in"})
    created_by = "user:anna"


class ChangeApprovalFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = ChangeApproval

    change_set = factory.SubFactory(
        ChangeSetFactory,
        state="in_review",
        plan_digest=b"\1" * 32,
        submitted_at=timezone.now(),
        submitted_by="user:anna",
    )
    verdict = ChangeApproval.Verdict.APPROVE
    revision = factory.SelfAttribute("change_set.revision")
    plan_digest = factory.SelfAttribute("change_set.plan_digest")
    given_by = "user:ben"


class PlannedWriteFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = PlannedWrite

    change_set = factory.SubFactory(ChangeSetFactory)
    position = factory.Sequence(lambda n: n + 1)
    subject = factory.SubFactory(SubjectFactory)
    purpose = "marketing"
    channel = "email"
    choice = "opt_out"
    version = 1
    before = "opt_in"
    before_explicit = False
    region = "DE"
    effect = PlannedWrite.Effect.CHANGES


class ChangeBatchFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = ChangeBatch

    change_set = factory.SubFactory(ChangeSetFactory)
    number = 1
    first_position = 1
    last_position = 1000
    written_count = 1000


class RollbackFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Rollback

    predicate = factory.LazyFunction(lambda: {"tx": 1})
    reason = "A session that declared nothing"
    state = Rollback.State.WAITING
    started_by = "user:anna"


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


class AlarmFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Alarm

    detector = Alarm.Detector.SILENCE
    key = factory.Sequence(lambda n: f"silence:{n}")
    title = factory.Sequence(lambda n: f"Way out {n} fell silent")
    bucket = factory.LazyFunction(timezone.now)
    inputs = factory.LazyFunction(lambda: {"words": "nobody used it for 24 hours"})
    inputs_digest = factory.LazyAttribute(lambda alarm: digest_of(alarm.inputs))
    incident = factory.SubFactory(IncidentFactory)


class MarkerFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Marker

    kind = Marker.Kind.DEPLOY
    title = factory.Sequence(lambda n: f"shop 1.{n}")
    at = factory.LazyFunction(timezone.now)
    source = "service:shop"
    key = factory.Sequence(lambda n: f"release-{n}")


class DetectorSettingsFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = DetectorSettings

    group = factory.Sequence(lambda n: f"group-{n}")
    title = factory.Sequence(lambda n: f"Group {n}")


class ExitPathWatchFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = ExitPathWatch

    exit_path = factory.SubFactory(ExitPathFactory)


class ExitPathProbeFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = ExitPathProbe

    exit_path = factory.SubFactory(ExitPathFactory)
    verdict = ExitPathProbe.Verdict.MET
    steps = factory.LazyFunction(
        lambda: [{"name": "answered", "verdict": "met", "seconds": 0.1, "words": "Answered 200"}]
    )
    lease_until = factory.LazyFunction(timezone.now)
    ended_at = factory.LazyFunction(timezone.now)


class RestoreFactory(factory.django.DjangoModelFactory):
    """One that somebody let go of: only one at a time is open."""

    class Meta:
        model = Restore

    incident = factory.SubFactory(IncidentFactory)
    state = Restore.State.LET_GO
    witness = "file"
    guard_before = "observe"
    let_go_at = factory.LazyFunction(timezone.now)
    let_go_by = "user:someone"
    let_go_reason = "Looked at ten people"


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
