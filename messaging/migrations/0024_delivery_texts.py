from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0023_texts_writers_permissions"),
    ]

    operations = [
        migrations.AlterField(
            model_name="message",
            name="lane",
            field=models.CharField(
                choices=[
                    ("text", "a text message"),
                    ("critical", "a person or the law waits for it"),
                    ("bulk", "one of many"),
                ],
                default="critical",
                max_length=10,
            ),
        ),
    ]
