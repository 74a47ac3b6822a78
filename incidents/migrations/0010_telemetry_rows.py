"""Who may look at the causes that were found afterwards."""

from django.db import migrations

from config.grants import granted

MATRIX = """
    incidents.causeassessment  v    v    v    v
    incidents.lookcursor       v    v    v    v
"""


class Migration(migrations.Migration):
    dependencies = [("incidents", "0009_telemetry"), ("config", "0003_groups")]

    operations = [granted(MATRIX)]
