from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0026_tracking_sealed"),
    ]

    operations = [
        migrations.AlterField(
            model_name="inboundmessage",
            name="raw",
            field=models.BinaryField(
                null=True,
                help_text="As it came; emptied when its person is erased, and 30 days after it was dealt with.",
            ),
        ),
        migrations.AddIndex(
            model_name="inboundmessage",
            index=models.Index(
                fields=["received_at"],
                name="inboundmessage_to_forget",
                condition=Q(raw__isnull=False, state__in=["settled", "answered", "closed"]),
            ),
        ),
    ]
