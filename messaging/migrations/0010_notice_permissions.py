"""Who may see, write, approve, send and pause notices."""

from importlib import import_module

from django.db import migrations

# Officer, Support, Responder, Auditor, as in config/migrations/0003_groups.py.
MATRIX = """
    messaging.notice                 vac  v    v    v
    messaging.noticerecipient        v    v    v    v
    messaging.noticeevent            v    v    v    v
"""
# A responder may stop what an officer sends: at night a wrong notice must not wait for one.
NAMED = (
    ("messaging.notice", "approve_notice", "Can approve a notice that a colleague wrote", ("Officer",)),
    ("messaging.notice", "send_notice", "Can send, resume and cancel a notice", ("Officer",)),
    ("messaging.notice", "pause_notice", "Can pause a notice", ("Officer", "Responder")),
)
GROUPS = import_module("config.migrations.0003_groups")


def granted(apps):
    for row in MATRIX.split("\n"):
        label, *cells = row.split() or [""]
        for role, letters in zip(GROUPS.ROLES, cells, strict=False):
            for letter in letters.strip("-"):
                yield role, GROUPS.permission(apps, label, GROUPS.ACTIONS[letter])
    for label, codename, name, roles in NAMED:
        for role in roles:
            yield role, GROUPS.permission(apps, label, codename, name)


def grant(apps, schema_editor):
    for role, permission in granted(apps):
        apps.get_model("auth", "Group").objects.get_or_create(name=role)[0].permissions.add(permission)


def take_back(apps, schema_editor):
    for role, permission in granted(apps):
        for group in apps.get_model("auth", "Group").objects.filter(name=role):
            group.permissions.remove(permission)


class Migration(migrations.Migration):
    dependencies = [("messaging", "0009_notices"), ("config", "0003_groups")]

    operations = [migrations.RunPython(grant, take_back)]
