from django.db import migrations

from config.database import always, append_only, kept, readable_by_auditor, sql_file


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
        *readable_by_auditor(
            "messaging_historicaltemplate",
            "messaging_template",
            "messaging_templatebody",
            "messaging_templatefault",
            "messaging_templateversion",
            "messaging_transporthealth",
        ),
        *readable_by_auditor("messaging_deliveryattempt", without=["reply_text"]),
        *readable_by_auditor("messaging_deliveryevent", without=["payload"]),
        *readable_by_auditor("messaging_message", without=["sealed_recipient", "context", "raw"]),
        always(),
    ]
