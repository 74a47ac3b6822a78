from django.db import migrations

from config.database import sql_file


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0018_leases"),
    ]

    operations = [
        sql_file(__file__, "point_of_no_return.sql"),
    ]
