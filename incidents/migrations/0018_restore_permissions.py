"""Who sees that the database went back in time, and who may let sending go on."""

from django.db import migrations

from config.grants import granted

MATRIX = """
    incidents.restore   v    v    v    v
"""
NAMED = (
    (
        "incidents.restore", "let_go_restore", "Can let sending go after the database went back in time",
        ("Officer", "Responder"),
    ),
)  # fmt: skip


class Migration(migrations.Migration):
    dependencies = [("incidents", "0017_restores"), ("config", "0003_groups")]

    operations = [granted(MATRIX, NAMED)]
