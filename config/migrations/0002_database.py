from django.db import migrations

from config.database import always, append_only, kept, readable_by_auditor, sql_file


class Migration(migrations.Migration):
    dependencies = [("config", "0001_initial")]

    operations = [
        sql_file(__file__, "refuse.sql"),
        *append_only("config_historicalservicekey"),
        *kept("config_servicekey"),
        *readable_by_auditor("config_servicekey", "config_historicalservicekey", without=["lookup", "digest"]),
        # An answer of a thousand entries is kept for a day: trying to press it smaller would cost more than writing it.
        migrations.RunSQL(
            "ALTER TABLE config_idempotencyrecord ALTER COLUMN body SET STORAGE EXTERNAL", migrations.RunSQL.noop
        ),
        always(),
    ]
