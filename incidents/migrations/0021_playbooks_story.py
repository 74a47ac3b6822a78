"""The order of a story is an index of its lines, so that a page of a long one reads no more than a page."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("incidents", "0018_restore_permissions")]

    operations = [
        migrations.AddIndex(
            model_name="timelineentry",
            index=models.Index(fields=["incident", "occurred_at", "seq"], name="timelineentry_story"),
        )
    ]
