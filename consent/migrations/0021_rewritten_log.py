"""An opt-out that the history tells of stands where the log was rewritten under it."""

from django.db import migrations

from config.database import always, sql_file


class Migration(migrations.Migration):
    dependencies = [("consent", "0020_imports_taken")]

    operations = [
        sql_file(__file__, "rewritten.sql"),
        always(),
    ]
