from django.db import migrations, models

from config.database import readable_by_auditor


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0019_point_of_no_return"),
    ]

    operations = [
        migrations.AddField(
            model_name="transporthealth",
            name="refusals_in_a_row",
            field=models.PositiveIntegerField(
                default=0, help_text="Recipients or messages refused for good, and none taken in between."
            ),
        ),
        *readable_by_auditor("messaging_transporthealth"),
    ]
