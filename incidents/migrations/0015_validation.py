import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

from config.database import always, append_only, readable_by_auditor


class Migration(migrations.Migration):
    dependencies = [
        ("incidents", "0014_change_permissions"),
    ]

    operations = [
        migrations.CreateModel(
            name="ValidationRun",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "trigger",
                    models.CharField(
                        choices=[
                            ("periodic", "by the clock"),
                            ("incident", "an incident is open"),
                            ("change_set", "a change was applied"),
                            ("drill", "a drill"),
                            ("restore", "the database was restored"),
                            ("person", "somebody asked"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "scope",
                    models.CharField(help_text="What it was about: new, everything, or CS-12 batch 3.", max_length=100),
                ),
                (
                    "verdict",
                    models.CharField(
                        choices=[
                            ("pass", "nothing broken"),
                            ("fail", "a promise is broken"),
                            ("inconclusive", "something could not be measured"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "broken",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=4),
                        default=list,
                        help_text="The invariants that are broken.",
                        size=None,
                    ),
                ),
                (
                    "unmeasured",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=4),
                        default=list,
                        help_text="Those nobody can tell about.",
                        size=None,
                    ),
                ),
                (
                    "log_tx",
                    models.BigIntegerField(help_text="Up to which transaction the log was closed when it began."),
                ),
                ("started_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "incident",
                    models.ForeignKey(
                        help_text="What it opened.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="incidents.incident",
                    ),
                ),
            ],
            options={
                "ordering": ["-started_at"],
            },
        ),
        migrations.CreateModel(
            name="ValidationCheck",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("invariant", models.CharField(max_length=4)),
                (
                    "verdict",
                    models.CharField(
                        choices=[("met", "met"), ("breached", "broken"), ("unmeasured", "unmeasured")], max_length=10
                    ),
                ),
                ("expected", models.CharField(max_length=100)),
                ("observed", models.CharField(max_length=200)),
                (
                    "words",
                    models.CharField(blank=True, help_text="What breaks it, or why nobody can tell.", max_length=500),
                ),
                ("looked_at", models.BigIntegerField(default=0, help_text="How many rows it looked at.")),
                ("count", models.BigIntegerField(default=0, help_text="How many break it.")),
                (
                    "offenders",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200), default=list, size=None
                    ),
                ),
                (
                    "offenders_digest",
                    models.BinaryField(help_text="SHA-256 of all offenders, sorted, a line each.", max_length=32),
                ),
                ("duration_ms", models.PositiveIntegerField()),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="checks", to="incidents.validationrun"
                    ),
                ),
            ],
            options={
                "ordering": ["run", "pk"],
            },
        ),
        migrations.CreateModel(
            name="DriftRepair",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "found_by",
                    models.CharField(
                        choices=[
                            ("changes", "what had just been written"),
                            ("sweep", "the sweep"),
                            ("full", "a look at everything"),
                        ],
                        max_length=10,
                    ),
                ),
                ("kinds", models.JSONField(default=dict, help_text="How many of each kind.")),
                ("count", models.PositiveIntegerField(help_text="How many were found.")),
                (
                    "reversed_count",
                    models.PositiveIntegerField(help_text="How many explicit opt-outs did not count because of it."),
                ),
                ("repaired", models.PositiveIntegerField(help_text="How many are what the log says now.")),
                (
                    "left",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100),
                        default=list,
                        help_text="Those that people must deal with, by key.",
                        size=None,
                    ),
                ),
                (
                    "sample",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100),
                        default=list,
                        help_text="At most twenty keys.",
                        size=None,
                    ),
                ),
                ("digest", models.BinaryField(help_text="SHA-256 of all keys, sorted, a line each.", max_length=32)),
                ("found_at", models.DateTimeField()),
                ("repaired_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "incident",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="drift_repairs",
                        to="incidents.incident",
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
                "indexes": [models.Index(fields=["-found_at"], name="driftrepair_recent")],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("count__gt", 0)), name="driftrepair_of_something"),
                    models.CheckConstraint(
                        condition=models.Q(("repaired__lte", models.F("count"))),
                        name="driftrepair_repairs_no_more_than_it_found",
                    ),
                ],
            },
        ),
        migrations.AddIndex(
            model_name="validationrun",
            index=models.Index(fields=["-started_at"], name="validationrun_recent"),
        ),
        migrations.AddConstraint(
            model_name="validationrun",
            constraint=models.CheckConstraint(
                condition=models.Q(("ended_at__gte", models.F("started_at"))), name="validationrun_ends_after_it_began"
            ),
        ),
        migrations.AddConstraint(
            model_name="validationcheck",
            constraint=models.UniqueConstraint(fields=("run", "invariant"), name="validationcheck_once_a_run"),
        ),
        migrations.AddConstraint(
            model_name="validationcheck",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("verdict", "unmeasured"), _negated=True),
                    models.Q(("words", ""), _negated=True),
                    _connector="OR",
                ),
                name="validationcheck_unmeasured_says_why",
                violation_error_message="Say why it could not be measured.",
            ),
        ),
        migrations.AddConstraint(
            model_name="validationcheck",
            constraint=models.CheckConstraint(
                condition=models.Q(models.Q(("verdict", "breached"), _negated=True), ("count__gt", 0), _connector="OR"),
                name="validationcheck_breached_by_something",
                violation_error_message="Say how many break it.",
            ),
        ),
        *append_only("incidents_validationrun", "incidents_validationcheck", "incidents_driftrepair"),
        *readable_by_auditor("incidents_validationrun", "incidents_validationcheck", "incidents_driftrepair"),
        always(),
    ]
