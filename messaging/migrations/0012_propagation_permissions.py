"""What the four roles may do with endpoints: see config/migrations/0003_groups.py."""

from importlib import import_module

from django.db import migrations

groups = import_module("config.migrations.0003_groups")
ROLES, ACTIONS = groups.ROLES, groups.ACTIONS
MATRIX = """
    messaging.endpoint               vac  v    vc   v
    messaging.historicalendpoint     v    -    v    v
    messaging.endpointsecret         v    -    v    v
    messaging.endpointhealth         v    v    v    v
    messaging.webhookdelivery        vc   v    vc   v
    messaging.webhookattempt         v    v    v    v
    messaging.webhookreplay          v    v    v    v
    messaging.reconciliation         v    v    v    v
"""


def rows():
    return [row.split() for row in MATRIX.strip().splitlines()]


def grant(apps, schema_editor):
    for label, *cells in rows():
        for role, letters in zip(ROLES, cells, strict=True):
            group = apps.get_model("auth", "Group").objects.get(name=role)
            for letter in letters.strip("-"):
                group.permissions.add(groups.permission(apps, label, ACTIONS[letter]))


def take_back(apps, schema_editor):
    for label, *_ in rows():
        app, model = label.split(".")
        for group in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
            group.permissions.remove(*group.permissions.filter(content_type__app_label=app, content_type__model=model))


class Migration(migrations.Migration):
    dependencies = [("messaging", "0011_propagation"), ("config", "0003_groups")]

    operations = [migrations.RunPython(grant, take_back)]
