from django.db import migrations, models

REASON = models.CharField(
    choices=[
        ("no such mailbox", "no such mailbox"),
        ("no such domain", "no such domain"),
        ("mailbox disabled", "mailbox disabled"),
        ("spam complaint", "spam complaint"),
    ],
    max_length=30,
)


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0028_tracking_replies"),
    ]

    operations = [
        migrations.AlterField(model_name="historicalsuppression", name="reason", field=REASON),
        migrations.AlterField(model_name="suppression", name="reason", field=REASON),
    ]
