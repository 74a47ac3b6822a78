"""Rows that the database accepts, with sequences and nothing random."""

from datetime import timedelta
from functools import cache

import factory
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.utils import timezone

from config.models import Scope, ServiceKey, User
from consent.identifiers import Identity
from consent.models import ExitPath, Purpose, Subject
from consent.services import NewDecision

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
