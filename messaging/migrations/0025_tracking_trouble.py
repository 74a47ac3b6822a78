from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0024_delivery_texts"),
    ]

    operations = [
        migrations.RemoveIndex(model_name="message", name="message_in_trouble"),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                fields=["-created_at"],
                name="message_in_trouble",
                condition=Q(state__in=["failed", "rejected", "render_failed", "in_doubt", "filed"])
                | Q(
                    state__in=["suppressed", "expired"],
                    message_class__in=["privacy_notice", "incident_notice"],
                    sealed_recipient__isnull=False,
                ),
            ),
        ),
    ]
