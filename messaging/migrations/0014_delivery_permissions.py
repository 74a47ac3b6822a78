"""Who may hold sending, and decide with another what becomes of a message in doubt."""

from django.db import migrations

from config.grants import granted

MATRIX = """
    messaging.sendhold      v    v    v    v
    messaging.doubtruling   vac  vac  v    v
"""
NAMED = (("messaging.sendhold", "hold_sending", "Can hold sending and let it go", ("Officer", "Responder")),)


class Migration(migrations.Migration):
    dependencies = [("messaging", "0013_delivery"), ("config", "0003_groups")]

    operations = [granted(MATRIX, NAMED)]
