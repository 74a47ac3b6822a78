"""People, a service and a company's life to look at. Only while DEBUG is on: these passwords lie in a file."""

import os

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command, get_commands
from django.utils import timezone

from config.models import Scope, ServiceKey, User
from config.service_accounts import issue
from config.stack.folder import ROLES, Folder
from consent.models import Subject

SERVICE = "demo-shop"


def accounts(folder: Folder) -> None:
    """One login per role, and a service key with every scope; those that exist stay as they are."""
    if not settings.DEBUG:
        raise ImproperlyConfigured("Demo accounts are made only with DEBUG=1: their passwords are kept in a file.")
    passwords = folder.secrets()["demo"]
    known = set(User.objects.filter(username__in=ROLES).values_list("username", flat=True))
    for role in ROLES:
        if role not in known:
            join(User.objects.create_user(role, f"{role}@holdfast.example", passwords[role], is_staff=True), role)
    lookup = str(folder.secrets().get("service_key", "__")).split("_")[1]
    if not ServiceKey.objects.usable(timezone.now()).filter(lookup=lookup).exists():
        _, text = issue(SERVICE, list(Scope.values), days=90)
        folder.write("secrets", folder.secrets() | {"service_key": text})


def join(user: User, role: str) -> None:
    """The group of that name says what the role may do; where there is none, only the administrator sees anything."""
    group = Group.objects.filter(name__iexact=role).first()
    if group:
        user.groups.add(group)
    elif role == "administrator":
        user.is_superuser = True
        user.save(update_fields=["is_superuser"])


def story() -> None:
    """Some weeks of a company's choices, into a database that has none. DEMO=0 leaves it empty."""
    if os.environ.get("DEMO") != "0" and "load_demo" in get_commands() and not Subject.objects.exists():
        call_command("load_demo")
