from django.db import migrations

from config.database import append_only, kept, sql_file


class Migration(migrations.Migration):
    dependencies = [("messaging", "0001_initial"), ("config", "0002_database")]

    operations = [
        *append_only("messaging_deliveryevent", "messaging_historicaltemplate"),
        *kept(
            "messaging_message",
            "messaging_deliveryattempt",
            "messaging_template",
            "messaging_templateversion",
            "messaging_templatebody",
            "messaging_templatefault",
        ),
        sql_file(__file__, "published.sql"),
    ]
