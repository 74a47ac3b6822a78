"""Who may approve a text: an officer; whoever writes texts and may not approve them is a choice of the installation."""

from django.db import migrations

from config.grants import granted

MATRIX = ""
NAMED = (
    ("messaging.templateversion", "approve_templateversion", "Can approve a text that colleagues wrote", ("Officer",)),
)


class Migration(migrations.Migration):
    dependencies = [("messaging", "0022_texts_writers"), ("config", "0003_groups")]

    operations = [granted(MATRIX, NAMED)]
