"""A watch over each way out that is shipped; those that come in by mail and text message are tried too.

What exists already is left as it is.
"""

from django.db import migrations
from django.utils import timezone

PROBED = {"mailto": 30, "mail-reply": 30, "sms-keyword": 60}  # minutes; a try may cost a text message
WATCHED = [
    *PROBED, "one-click", "preference-page", "api", "gpc", "mail-provider", "spam-complaint",
    "support-email", "support-phone", "support-post", "support-web",
]  # fmt: skip
WRITTEN_BY, REASON = "system:migration", "Shipped with the product"


def add(apps, schema_editor):
    """The row and its first version; simple-history's own writer does not see rows of a migration."""
    watches, versions = (apps.get_model("incidents", f"{kind}ExitPathWatch") for kind in ("", "Historical"))
    for path in apps.get_model("consent", "ExitPath").objects.filter(code__in=WATCHED):
        row, is_new = watches.objects.get_or_create(
            exit_path_id=path.code, defaults={"probe_every_minutes": PROBED.get(path.code, 0)}
        )
        if is_new:
            versions.objects.create(
                **{field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields},
                history_date=timezone.now(),
                history_type="+",
                history_user_id=WRITTEN_BY,
                history_change_reason=REASON,
            )


class Migration(migrations.Migration):
    dependencies = [
        ("incidents", "0026_watches_by_usual"),
        ("consent", "0004_support_desk"),
        ("messaging", "0008_tracking_rows"),
    ]

    # Going back leaves the rows: officers may have changed them.
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
