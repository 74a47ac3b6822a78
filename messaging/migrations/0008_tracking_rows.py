"""What tracking begins with: the ways out that lead here, and who may see what came in."""

from django.db import migrations
from django.utils import timezone

from config.grants import granted

EXIT_PATHS = [
    # code, name, kind, owner
    ("mailto", "Unsubscribe by mail of the mail program", "reply", "Platform team"),
    ("mail-reply", "Reply to a mail with a word like STOP", "reply", "Support desk"),
    ("spam-complaint", "Report as spam", "complaint", "Platform team"),
    ("mail-provider", "Unsubscribe at the mail provider", "one_click", "Platform team"),
    ("sms-keyword", "STOP by text message", "keyword", "Platform team"),
]
MATRIX = """
    messaging.suppression            vc   vc   v    v
    messaging.historicalsuppression  v    v    v    v
    messaging.hookdelivery           v    v    v    v
    messaging.inboundmessage         vc   vc   v    v
"""
SYSTEM, REASON = "system:migration", "Shipped with the product"


def add_exit_paths(apps, schema_editor):
    for code, name, kind, owner in EXIT_PATHS:
        row, is_new = apps.get_model("consent", "ExitPath").objects.get_or_create(
            code=code, defaults={"name": name, "kind": kind, "owner": owner}
        )
        if is_new:
            facts = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
            apps.get_model("consent", "HistoricalExitPath").objects.create(
                **facts,
                history_date=timezone.now(),
                history_type="+",
                history_user_id=SYSTEM,
                history_change_reason=REASON,
            )


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0007_tracking"),
        ("consent", "0004_support_desk"),
        ("config", "0003_groups"),
    ]

    # Going back leaves the rows: codes that decisions name are never deleted, and published texts are kept.
    operations = [
        migrations.RunPython(add_exit_paths, migrations.RunPython.noop),
        granted(MATRIX),
    ]
