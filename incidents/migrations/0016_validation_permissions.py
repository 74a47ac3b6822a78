"""Who may look at what validation found: everybody who deals with incidents. Nobody writes it but the product."""

from django.db import migrations

from config.grants import granted

MATRIX = """
    incidents.validationrun    v    -    v    v
    incidents.validationcheck  v    -    v    v
    incidents.driftrepair      v    -    v    v
"""


class Migration(migrations.Migration):
    dependencies = [("incidents", "0015_validation"), ("config", "0003_groups")]

    operations = [granted(MATRIX)]
