from django.db import migrations, models

from config.database import AUDITOR, sql_file


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0020_delivery_refusals"),
    ]

    operations = [
        migrations.AddField(
            model_name="message",
            name="given_back",
            field=models.PositiveIntegerField(default=0, help_text="Attempts that were given back untried."),
        ),
        migrations.RunSQL(
            f"GRANT SELECT (given_back) ON messaging_message TO {AUDITOR}",
            reverse_sql=migrations.RunSQL.noop,
        ),
        sql_file(__file__, "given_back.sql"),
    ]
