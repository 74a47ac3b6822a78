"""Undoing thousands of decisions costs the same per decision, however many were undone before."""

from django.db import migrations

from config.database import sql_file


class Migration(migrations.Migration):
    dependencies = [("consent", "0014_import_permissions")]

    operations = [sql_file(__file__, "effective.sql")]
