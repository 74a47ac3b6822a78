from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0018_confirmed_voids"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="subject",
            index=models.Index(fields=["id"], name="subject_erased", condition=Q(erased_at__isnull=False)),
        ),
        migrations.AddIndex(
            model_name="subject",
            index=models.Index(
                fields=["erased_at"], name="subject_erased_lately", condition=Q(erased_at__isnull=False)
            ),
        ),
    ]
