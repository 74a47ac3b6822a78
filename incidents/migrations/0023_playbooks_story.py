"""The order of a story is an index of its lines, so that a page of a long one reads no more than a page; and a way out
may work without anybody seeing the mail."""

from django.db import migrations, models

VERDICTS = [
    ("running", "running"),
    ("met", "works"),
    ("no_mail", "works, mail unmeasured"),
    ("breached", "broken"),
    ("unmeasured", "unmeasured"),
]


class Migration(migrations.Migration):
    dependencies = [("incidents", "0022_alerts_silenced")]

    operations = [
        migrations.AddIndex(
            model_name="timelineentry",
            index=models.Index(fields=["incident", "occurred_at", "seq"], name="timelineentry_story"),
        ),
        migrations.AlterField(
            model_name="exitpathprobe",
            name="verdict",
            field=models.CharField(choices=VERDICTS, default="running", max_length=10),
        ),
    ]
