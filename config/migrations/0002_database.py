from django.db import migrations

from config.database import kept, sql_file


class Migration(migrations.Migration):
    dependencies = [("config", "0001_initial")]

    operations = [
        sql_file(__file__, "refuse.sql"),
        *kept("config_servicekey", "config_historicalservicekey"),
    ]
