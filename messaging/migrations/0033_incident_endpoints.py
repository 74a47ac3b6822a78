"""An endpoint is told of choices or of incidents, and a delivery may hold what it tells of an incident."""

from django.db import migrations, models
from django.db.models import Q

from config.database import always, readable_by_auditor

ABOUT = models.CharField(
    "told of",
    choices=[("choices", "each change of a choice"), ("incidents", "incidents: opened, made worse, over")],
    default="choices",
    help_text="It never changes.",
    max_length=10,
)
KINDS = [
    ("consent.changed", "a change of state"),
    ("subject.merged", "two records found to be one person"),
    ("incident.opened", "an incident"),
    ("incident.escalated", "an incident that became worse"),
    ("incident.closed", "an incident that is over"),
    ("webhook.test", "a test"),
]


class Migration(migrations.Migration):
    dependencies = [("messaging", "0032_holds_of_several")]

    operations = [
        migrations.RemoveConstraint(model_name="webhookdelivery", name="webhookdelivery_tells_of_something"),
        migrations.AddField(model_name="endpoint", name="about", field=ABOUT),
        migrations.AddField(model_name="historicalendpoint", name="about", field=ABOUT.clone()),
        migrations.AddField(
            model_name="webhookdelivery",
            name="facts",
            field=models.JSONField(help_text="What is told of an incident.", null=True),
        ),
        migrations.AlterField(
            model_name="webhookdelivery", name="kind", field=models.CharField(choices=KINDS, max_length=20)
        ),
        migrations.AlterField(
            model_name="webhookdelivery",
            name="source_id",
            field=models.BigIntegerField(
                help_text="The version of consent or incident, or the merge, that it tells.", null=True
            ),
        ),
        migrations.AddConstraint(
            model_name="endpoint",
            constraint=models.CheckConstraint(
                condition=Q(about="choices") | Q(about="incidents", purposes=[], channels=[], with_user_ids=False),
                name="endpoint_about_incidents_has_no_scope",
                violation_error_message="Purposes, channels and user ids are for services that are told of choices.",
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.CheckConstraint(
                condition=Q(kind="webhook.test")
                | Q(source_id__isnull=False, subject_id__isnull=False)
                | Q(kind__startswith="incident.", source_id__isnull=False, facts__isnull=False),
                name="webhookdelivery_tells_of_something",
                violation_error_message="A delivery names what it tells of.",
            ),
        ),
        *readable_by_auditor("messaging_endpoint", "messaging_historicalendpoint", "messaging_webhookdelivery"),
        always(),
    ]
