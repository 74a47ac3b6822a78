from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0030_tracking_posts"),
    ]

    operations = [
        migrations.RemoveField(model_name="message", name="context"),
        migrations.AddField(
            model_name="message",
            name="sealed_context",
            field=models.BinaryField(null=True, help_text="What its text names, as JSON, encrypted."),
        ),
    ]
