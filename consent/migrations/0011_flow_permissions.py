"""Who sees opt-outs that were tried and failed, and who settles them."""

from django.db import migrations

from config.grants import granted

MATRIX = """
    consent.interruptedoptout  v    v    v    v
    consent.exitpathlatency    v    v    v    v
    consent.linkfetch          v    v    v    v
"""
NAMED = (
    (
        "consent.interruptedoptout",
        "settle_interruptedoptout",
        "Can settle an opt-out that was interrupted",
        ("Officer", "Support"),
    ),
)


class Migration(migrations.Migration):
    dependencies = [("consent", "0010_flow"), ("config", "0003_groups")]

    operations = [granted(MATRIX, NAMED)]
