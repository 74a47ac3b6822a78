from django.db import migrations

from config.database import append_only, kept, sql_file


class Migration(migrations.Migration):
    dependencies = [("config", "0001_initial")]

    operations = [
        sql_file(__file__, "refuse.sql"),
        *append_only("config_historicalservicekey"),
        *kept("config_servicekey"),
    ]
