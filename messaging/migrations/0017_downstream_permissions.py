"""Who sees what services reported, and settles where they differ."""

from django.db import migrations

from config.grants import granted

MATRIX = """
    messaging.contact       v    v    v    v
    messaging.statereport   v    v    v    v
    messaging.difference    vc   v    vc   v
"""


class Migration(migrations.Migration):
    dependencies = [("messaging", "0016_downstream"), ("config", "0003_groups")]

    operations = [granted(MATRIX)]
