"""The playbooks that come with the product, published as version 1, and who may do what with playbooks.

Edited in the product from then on: a new version takes the place of one that was shipped.
"""

import hashlib
import json
from pathlib import Path

from django.db import migrations
from django.utils import timezone

from config.grants import granted

MATRIX = """
    incidents.auditorbeat           v    -    v    v
    incidents.playbook              vac  v    v    v
    incidents.historicalplaybook    v    -    v    v
    incidents.playbookversion       va   v    va   v
    incidents.playbookrun           vac  v    vac  v
    incidents.steprun               v    v    v    v
    incidents.trouble               v    v    v    v
"""
NAMED = (
    ("incidents.playbook", "review_playbook", "Can say that a playbook is still right", ("Officer", "Responder")),
    (
        "incidents.playbookversion", "approve_playbookversion", "Can approve and publish a playbook's version",
        ("Officer", "Responder"),
    ),
    ("incidents.playbookrun", "approve_playbookrun", "Can approve a step of a playbook", ("Officer", "Responder")),
)  # fmt: skip
SHIPPED = "system:shipped"


def add(apps, schema_editor):
    for path in sorted((Path(__file__).parent / "playbooks").glob("*.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        _keep(apps, told)


def _keep(apps, told):
    now = timezone.now()
    facts = {"title": told["title"], "owner": told["owner"], "review_every_days": told["review_every_days"]}
    facts |= {"last_reviewed_at": now, "last_reviewed_by": SHIPPED}
    playbook, is_new = apps.get_model("incidents", "Playbook").objects.get_or_create(slug=told["slug"], defaults=facts)
    if not is_new:
        return
    apps.get_model("incidents", "HistoricalPlaybook").objects.create(
        **{field.attname: getattr(playbook, field.attname) for field in playbook._meta.concrete_fields},
        history_date=now,
        history_type="+",
        history_user_id="system:migration",
        history_change_reason="Shipped with the product",
    )
    apps.get_model("incidents", "PlaybookVersion").objects.create(
        playbook=playbook,
        number=1,
        steps=told["steps"],
        attached=told["attached"],
        digest=_digest(told["steps"], told["attached"]),
        state="published",
        created_by=SHIPPED,
        approved_at=now,
        approved_by=SHIPPED,
        published_at=now,
        published_by=SHIPPED,
    )


def _digest(steps, attached):
    """As `incidents.playbooks.definition.digest_of` counted it then."""
    told = json.dumps({"attached": attached, "steps": steps}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(told.encode()).digest()


class Migration(migrations.Migration):
    dependencies = [("incidents", "0011_playbooks"), ("config", "0003_groups")]

    # Going back leaves the rows: runs name versions. Permissions go with their models.
    operations = [
        migrations.RunPython(add, migrations.RunPython.noop),
        granted(MATRIX, NAMED),
    ]
