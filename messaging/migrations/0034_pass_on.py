"""One commit for what became of a message and for the next one's point of no return."""

from django.db import migrations

from config.database import sql_file


class Migration(migrations.Migration):
    dependencies = [("messaging", "0033_incident_endpoints")]

    operations = [sql_file(__file__, "pass_on.sql")]
