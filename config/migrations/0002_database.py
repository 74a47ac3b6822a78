from django.db import migrations

from config.database import always, append_only, kept, readable_by_auditor, sql_file


class Migration(migrations.Migration):
    dependencies = [("config", "0001_initial")]

    operations = [
        sql_file(__file__, "refuse.sql"),
        *append_only("config_historicalservicekey"),
        *kept("config_servicekey"),
        *readable_by_auditor("config_servicekey", "config_historicalservicekey", without=["lookup", "digest"]),
        always(),
    ]
