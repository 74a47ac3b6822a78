from django.db import migrations

from config.database import append_only, kept, sql_file


class Migration(migrations.Migration):
    dependencies = [("incidents", "0001_initial"), ("config", "0002_database")]

    operations = [
        *append_only(
            "incidents_timelineentry",
            "incidents_decisionlink",
            "incidents_historicalincident",
            "incidents_historicalalertsource",
        ),
        *kept(
            "incidents_incident",
            "incidents_alertsource",
            "incidents_alertgroup",
            "incidents_alertdelivery",
            "incidents_decisionrollup",
            "incidents_decisionminute",
            "incidents_backfill",
        ),
        sql_file(__file__, "deliveries.sql"),
    ]
