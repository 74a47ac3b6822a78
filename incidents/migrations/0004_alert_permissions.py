"""What each role may do with alerts: responders connect and silence sources, officers silence them and wipe payloads."""

from django.db import migrations

from config.grants import granted

MATRIX = """
    incidents.alertsource            -    -    ac   -
    incidents.alertsecret            v    -    v    v
    incidents.alertoverflow          v    -    v    v
"""
NAMED = (
    ("incidents.alertsource", "silence_alertsource", "Can silence alert source", ("Officer", "Responder")),
    ("incidents.alertdelivery", "wipe_alertdelivery", "Can wipe the payload of alert delivery", ("Officer",)),
)


class Migration(migrations.Migration):
    dependencies = [("incidents", "0003_alerts"), ("config", "0003_groups")]

    operations = [granted(MATRIX, NAMED)]
