"""A watch without hours of its own goes by what is usual."""

from django.db import migrations, models

HOURS = models.PositiveIntegerField(
    blank=True,
    help_text="An alarm where nobody used it for so long. Empty: where it is silent against its own usual at these "
    "hours, once three weeks of it are known.",
    null=True,
)


class Migration(migrations.Migration):
    dependencies = [("incidents", "0025_past_mix_permissions")]

    operations = [
        migrations.AlterField("exitpathwatch", "used_within_hours", HOURS),
        migrations.AlterField("historicalexitpathwatch", "used_within_hours", HOURS),
    ]
