"""What each role may view (v), add (a) and change (c), granted by the migration that brings the models. Nobody deletes.

A migration says `MATRIX` (a line per model: its label, then a cell per role) and `NAMED` (what a model names beyond
that: label, codename, name, roles), and runs `granted(MATRIX, NAMED)`. `tests/test_admin.py` reads them all.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from django.db import migrations

ROLES = ("Officer", "Support", "Responder", "Auditor")
ACTIONS = {"v": "view", "a": "add", "c": "change"}
Named = tuple[str, str, str, tuple[str, ...]]


def granted(matrix: str, named: Sequence[Named] = ()) -> migrations.RunPython:
    """May run twice, and can go back."""

    def give(apps: Any, schema_editor: Any) -> None:
        for role, permission in pairs(apps):
            apps.get_model("auth", "Group").objects.get_or_create(name=role)[0].permissions.add(permission)

    def take_back(apps: Any, schema_editor: Any) -> None:
        for role, permission in pairs(apps):
            for group in apps.get_model("auth", "Group").objects.filter(name=role):
                group.permissions.remove(permission)

    def pairs(apps: Any) -> Iterator[tuple[str, Any]]:
        for role, label, action in cells(matrix):
            yield role, permission_of(apps, label, f"{action}_{label.split('.')[1]}")
        for label, codename, name, roles in named:
            for role in roles:
                yield role, permission_of(apps, label, codename, name)

    return migrations.RunPython(give, take_back)


def cells(matrix: str) -> Iterator[tuple[str, str, str]]:
    """(role, model's label, action) for each letter."""
    for label, *row in filter(None, map(str.split, matrix.splitlines())):
        for role, letters in zip(ROLES, row, strict=True):
            for letter in letters.strip("-"):
                yield role, label, ACTIONS[letter]


def permission_of(apps: Any, label: str, codename: str, name: str = "") -> Any:
    """Django makes permissions after all migrations; whoever needs one earlier makes it, and Django finds it there."""
    app, model = label.split(".")
    kind, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(app_label=app, model=model)
    words = f"Can {codename.partition('_')[0]} {apps.get_model(app, model)._meta.verbose_name_raw}"
    permissions = apps.get_model("auth", "Permission").objects
    return permissions.get_or_create(content_type=kind, codename=codename, defaults={"name": name or words})[0]
