"""Who sees what files said, who brings them, and who undoes one."""

from django.db import migrations

from config.grants import granted

MATRIX = """
    consent.import         va   v    v    v
    consent.importrow      v    v    v    v
    consent.importportion  v    v    v    v
"""
NAMED = (("consent.import", "undo_import", "Can undo an import", ("Officer", "Responder")),)


class Migration(migrations.Migration):
    dependencies = [("consent", "0013_imports"), ("config", "0003_groups")]

    operations = [granted(MATRIX, NAMED)]
