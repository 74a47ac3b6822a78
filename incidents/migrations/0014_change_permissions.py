"""Who may do what with change sets."""

from django.db import migrations

from config.grants import granted

MATRIX = """
    incidents.changeset             vac  -    vac  v
    incidents.historicalchangeset   v    -    v    v
    incidents.changeapproval        va   -    va   v
    incidents.changebatch           v    -    v    v
    incidents.changerow             v    -    v    v
    incidents.plannedwrite          v    -    v    v
    incidents.rollback              va   -    va   v
    incidents.rollbackitem          v    -    v    v
"""
NAMED = (
    (
        "incidents.changeset", "approve_changeset", "Can approve or decline a change set", ("Officer", "Responder"),
    ),
    (
        "incidents.changeset", "apply_changeset", "Can apply, pause and resume a change set", ("Officer", "Responder"),
    ),
    (
        "incidents.changeset", "bypass_changeset",
        "Can let a change set through without approvals, in an emergency", ("Responder",),
    ),
    ("incidents.changeset", "roll_back_changeset", "Can take back what was written", ("Officer", "Responder")),
)  # fmt: skip


class Migration(migrations.Migration):
    dependencies = [("incidents", "0013_changes"), ("config", "0003_groups")]

    operations = [granted(MATRIX, NAMED)]
