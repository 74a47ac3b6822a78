"""Rows that the database accepts, with sequences and nothing random."""

import factory
from django.contrib.auth.hashers import make_password

from config.models import User
from consent.identifiers import Identity
from consent.models import ExitPath, Purpose, Subject
from consent.services import NewDecision

PASSWORD = "correct horse battery staple"


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = User

    username = factory.Sequence(lambda n: f"person{n}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@staff.example")
    password = factory.LazyFunction(lambda: make_password(PASSWORD, hasher="md5"))
    is_staff = True


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
