from django.db import migrations

from config.database import always, append_only, kept, readable_by_auditor, sql_file


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
        *readable_by_auditor(
            "incidents_alertgroup",
            "incidents_backfill",
            "incidents_decisionlink",
            "incidents_decisionminute",
            "incidents_decisionrollup",
        ),
        *readable_by_auditor("incidents_alertdelivery", without=["raw_body"]),
        *readable_by_auditor("incidents_alertsource", "incidents_historicalalertsource", without=["token_digest"]),
        *readable_by_auditor("incidents_historicalincident", "incidents_incident", without=["summary"]),
        *readable_by_auditor("incidents_timelineentry", without=["text"]),
        always(),
    ]
