"""Four eyes on a change set: whoever edited it wrote it too, and nothing but the rows of a script needs nobody."""

import django.contrib.postgres.fields
from django.db import migrations, models

from config.database import always, readable_by_auditor, sql_file

EDITORS = django.contrib.postgres.fields.ArrayField(
    base_field=models.CharField(max_length=200),
    default=list,
    editable=False,
    help_text="Whoever edited it beside its author.",
    size=None,
)


class Migration(migrations.Migration):
    dependencies = [("incidents", "0018_restore_permissions")]

    operations = [
        migrations.AddField("changeset", "editors", EDITORS),
        migrations.AddField("historicalchangeset", "editors", EDITORS),
        migrations.AddConstraint(
            "changeset",
            models.CheckConstraint(
                condition=models.Q(
                    ("required_approvals__gte", 1),
                    models.Q(("kind", "migration"), ("operations", [{"operation": "rows"}])),
                    _connector="OR",
                ),
                name="changeset_only_a_script_needs_nobody",
                violation_error_message="Only the rows of a script need no approval, and nothing beside them.",
            ),
        ),
        sql_file(__file__, "changes_four_eyes.sql"),
        *readable_by_auditor(
            "incidents_changeset",
            "incidents_historicalchangeset",
            without=[
                "reason", "bypass_reason", "review_result", "paused_reason", "rollback_reason", "ended_reason",
                "history_change_reason",
            ],
        ),
        always(),
    ]  # fmt: skip
