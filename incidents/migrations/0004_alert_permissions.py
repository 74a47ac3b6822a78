"""What each role may do with alerts: responders connect and silence sources, officers silence them and wipe payloads."""

from importlib import import_module

from django.db import migrations

groups = import_module("config.migrations.0003_groups")

# Beside what the roles held before: the matrix of config's 0003_groups.
MATRIX = """
    incidents.alertsource            -    -    ac   -
    incidents.alertsecret            v    -    v    v
    incidents.alertoverflow          v    -    v    v
"""
NAMED = (
    ("incidents.alertsource", "silence_alertsource", "Can silence alert source", ("Officer", "Responder")),
    ("incidents.alertdelivery", "wipe_alertdelivery", "Can wipe the payload of alert delivery", ("Officer",)),
)


def given(apps):
    """(role, permission) for every cell."""
    for label, *cells in (line.split() for line in MATRIX.strip().splitlines()):
        for role, letters in zip(groups.ROLES, cells, strict=True):
            for letter in letters.strip("-"):
                yield role, groups.permission(apps, label, groups.ACTIONS[letter])
    for label, codename, name, roles in NAMED:
        for role in roles:
            yield role, groups.permission(apps, label, codename, name)


def grant(apps, schema_editor):
    for role, permission in given(apps):
        apps.get_model("auth", "Group").objects.get(name=role).permissions.add(permission)


def revoke(apps, schema_editor):
    for role, permission in given(apps):
        for group in apps.get_model("auth", "Group").objects.filter(name=role):
            group.permissions.remove(permission)


class Migration(migrations.Migration):
    dependencies = [("incidents", "0003_alerts"), ("config", "0003_groups")]

    operations = [migrations.RunPython(grant, revoke)]
