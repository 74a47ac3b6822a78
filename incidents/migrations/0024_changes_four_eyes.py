"""Four eyes on a change set: whoever edited it wrote it too, nothing but the rows of a script needs nobody, and a bypass is
of one plan."""

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


LOOKED_TO = models.PositiveIntegerField(default=0, editable=False, help_text="How far the look under way has come.")
DIGEST = models.BinaryField(help_text="The plan that the bypass was asked for.", max_length=32, null=True)


class Migration(migrations.Migration):
    dependencies = [("incidents", "0023_playbooks_story")]

    operations = [
        migrations.AddField("changeset", "editors", EDITORS),
        migrations.AddField("historicalchangeset", "editors", EDITORS),
        migrations.AddField("changeset", "looked_to", LOOKED_TO),
        migrations.AddField("historicalchangeset", "looked_to", LOOKED_TO),
        migrations.AddField("changeset", "bypass_digest", DIGEST),
        migrations.AddField("historicalchangeset", "bypass_digest", DIGEST),
        migrations.RemoveConstraint("changeset", "changeset_bypass_has_a_reason_and_a_review"),
        migrations.AddConstraint(
            "changeset",
            models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("bypass_digest", None), ("bypass_reason", ""), ("bypassed_at", None), ("review_due_at", None),
                        ("second_person", ""),
                    ),
                    models.Q(
                        ("bypass_digest__isnull", False), ("bypassed_at__isnull", False),
                        ("review_due_at__isnull", False), models.Q(("bypass_reason", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="changeset_bypass_has_a_reason_and_a_review",
                violation_error_message="A bypass says why, for which plan, and by when somebody reviews it.",
            ),
        ),
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
        migrations.AlterField(
            "rollback",
            "predicate",
            models.JSONField(help_text="change_set; or db_user with since and until; or tx; or batch; or import."),
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
