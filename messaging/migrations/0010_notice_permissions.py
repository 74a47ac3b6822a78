"""Who may see, write, approve, send and pause notices."""

from django.db import migrations

from config.grants import granted

MATRIX = """
    messaging.notice                 vac  v    v    v
    messaging.noticerecipient        v    v    v    v
    messaging.noticeevent            v    v    v    v
"""
# A responder may stop what an officer sends: at night a wrong notice must not wait for one.
NAMED = (
    ("messaging.notice", "approve_notice", "Can approve a notice that a colleague wrote", ("Officer",)),
    ("messaging.notice", "send_notice", "Can send, resume and cancel a notice", ("Officer",)),
    ("messaging.notice", "pause_notice", "Can pause a notice", ("Officer", "Responder")),
)


class Migration(migrations.Migration):
    dependencies = [("messaging", "0009_notices"), ("config", "0003_groups")]

    operations = [granted(MATRIX, NAMED)]
