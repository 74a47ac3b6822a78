"""Who sees what the past was made of."""

from django.db import migrations

from config.grants import granted

MATRIX = """
    incidents.pastmix   v    -    v    -
"""


class Migration(migrations.Migration):
    dependencies = [("incidents", "0024_changes_four_eyes"), ("config", "0003_groups")]

    operations = [granted(MATRIX)]
