"""What the roles may do with endpoints, and with what they were told."""

from django.db import migrations

from config.grants import granted

MATRIX = """
    messaging.endpoint               vac  v    vc   v
    messaging.historicalendpoint     v    -    v    v
    messaging.endpointsecret         v    -    v    v
    messaging.endpointhealth         v    v    v    v
    messaging.webhookdelivery        vc   v    vc   v
    messaging.webhookattempt         v    v    v    v
    messaging.webhookreplay          v    v    v    v
    messaging.reconciliation         v    v    v    v
"""


class Migration(migrations.Migration):
    dependencies = [("messaging", "0011_propagation"), ("config", "0003_groups")]

    operations = [granted(MATRIX)]
