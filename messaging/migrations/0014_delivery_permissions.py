"""Who may hold sending, and decide with another what becomes of a message in doubt."""

from importlib import import_module

from django.db import migrations

ROLES = ("Officer", "Support", "Responder", "Auditor")
MATRIX = {
    "messaging.sendhold": ("vac", "v", "vac", "v"),
    "messaging.doubtruling": ("vac", "vac", "v", "v"),
}
MAY_HOLD = ("Officer", "Responder")
groups = import_module("config.migrations.0003_groups")


def give(apps, schema_editor):
    role = {name: apps.get_model("auth", "Group").objects.get(name=name) for name in ROLES}
    for label, cells in MATRIX.items():
        for name, letters in zip(ROLES, cells, strict=True):
            for letter in letters:
                role[name].permissions.add(groups.permission(apps, label, groups.ACTIONS[letter]))
    may_hold = groups.permission(apps, "messaging.sendhold", "hold_sending", "Can hold sending and let it go")
    for name in MAY_HOLD:
        role[name].permissions.add(may_hold)


class Migration(migrations.Migration):
    dependencies = [("messaging", "0013_delivery"), ("config", "0003_groups")]

    operations = [migrations.RunPython(give, migrations.RunPython.noop)]
