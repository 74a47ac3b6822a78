from django.db import migrations

from config.database import always, sql_file


class Migration(migrations.Migration):
    """How a consent that somebody deleted with the triggers off is projected again."""

    dependencies = [("consent", "0011_flow_permissions")]

    operations = [
        sql_file(__file__, "drift.sql"),
        always(),
    ]
