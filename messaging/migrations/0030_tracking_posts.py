import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

from config.database import readable_by_auditor


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0029_tracking_reasons"),
    ]

    operations = [
        migrations.AddField(
            model_name="inboundmessage",
            name="hook",
            field=models.ForeignKey(
                db_index=False,
                help_text="What came in place of a letter.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="messaging.hookdelivery",
            ),
        ),
        migrations.AddIndex(
            model_name="inboundmessage",
            index=models.Index(fields=["hook"], name="inboundmessage_of_hook", condition=Q(hook__isnull=False)),
        ),
        *readable_by_auditor("messaging_inboundmessage", without=["raw", "sender", "recipient", "subject"]),
    ]
