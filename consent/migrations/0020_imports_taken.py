from django.db import migrations, models

from config.database import readable_by_auditor


class Migration(migrations.Migration):
    dependencies = [("consent", "0019_erased_people")]

    operations = [
        migrations.AddField(
            model_name="import",
            name="taken_by",
            field=models.CharField(
                blank=True,
                help_text="What else its rows became part of, and is written by: CS-12.",
                max_length=30,
            ),
        ),
        *readable_by_auditor("consent_import"),
    ]
