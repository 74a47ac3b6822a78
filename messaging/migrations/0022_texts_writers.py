from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

from config.database import always, readable_by_auditor, sql_file


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0021_delivery_given_back"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="templateversion",
            options={"permissions": [("approve_templateversion", "Can approve a text that colleagues wrote")]},
        ),
        migrations.RemoveConstraint(
            model_name="templateversion",
            name="templateversion_approved_by_another",
        ),
        migrations.AddField(
            model_name="templateversion",
            name="writers",
            field=ArrayField(
                base_field=models.CharField(max_length=200),
                default=list,
                editable=False,
                help_text="Everybody who wrote on it: kept by the database.",
                size=None,
            ),
        ),
        migrations.AddConstraint(
            model_name="templateversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("writers__contains", [models.F("approved_by")]), _negated=True),
                    ("approved_by", "system:holdfast"),
                    _connector="OR",
                ),
                name="templateversion_approved_by_another",
                violation_error_message="Somebody who wrote nothing of a version approves it.",
            ),
        ),
        sql_file(__file__, "writers.sql"),
        *readable_by_auditor("messaging_templateversion"),
        always(),
    ]
