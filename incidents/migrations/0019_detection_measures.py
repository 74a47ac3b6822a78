"""Hours of the week by people's clocks; what the past was made of, added up once a day; questions by way out."""

from django.db import migrations, models

from config.database import always, readable_by_auditor


class Migration(migrations.Migration):
    dependencies = [
        ("incidents", "0018_restore_permissions"),
    ]

    operations = [
        migrations.CreateModel(
            name="PastMix",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("purpose", models.CharField(max_length=50)),
                ("channel", models.CharField(max_length=10)),
                ("day", models.DateField()),
                ("counts", models.JSONField(help_text="kind → name, or its keyed hash → count.")),
            ],
            options={
                "verbose_name_plural": "past mixes",
            },
        ),
        migrations.RemoveConstraint(
            model_name="baselineversion",
            name="baselineversion_once",
        ),
        migrations.RemoveConstraint(
            model_name="facetbucket",
            name="facetbucket_one_row",
        ),
        migrations.AddField(
            model_name="baselineversion",
            name="zone",
            field=models.CharField(default="UTC", help_text="Whose clocks tell these hours.", max_length=50),
        ),
        migrations.AlterField(
            model_name="baselineversion",
            name="hours",
            field=models.JSONField(help_text="Mean count of a bucket in each of the 168 hours from Monday 00:00."),
        ),
        migrations.AddIndex(
            model_name="decisionminute",
            index=models.Index(
                condition=models.Q(("choice", "opt_out"), ("is_drill", False)),
                fields=["exit_path", "minute"],
                name="decisionminute_by_way_out",
            ),
        ),
        migrations.AddConstraint(
            model_name="baselineversion",
            constraint=models.UniqueConstraint(fields=("series", "learnt_to", "zone"), name="baselineversion_once"),
        ),
        migrations.AddConstraint(
            model_name="facetbucket",
            constraint=models.UniqueConstraint(
                fields=("purpose", "channel", "bucket", "kind", "label"), name="facetbucket_one_row"
            ),
        ),
        migrations.AddConstraint(
            model_name="pastmix",
            constraint=models.UniqueConstraint(fields=("purpose", "channel"), name="pastmix_newest_only"),
        ),
        *readable_by_auditor("incidents_baselineversion"),
        *readable_by_auditor("incidents_pastmix", without=["counts"]),
        always(),
    ]
