from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0027_tracking_letters"),
    ]

    operations = [
        migrations.AlterField(
            model_name="webhookattempt",
            name="reply",
            field=models.CharField(
                blank=True, help_text="How a refusal began; of an answer 2xx its length and SHA-256.", max_length=500
            ),
        ),
    ]
