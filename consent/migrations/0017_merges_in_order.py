import django.db.models.expressions
from django.db import migrations, models

from config.database import readable_by_auditor


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0016_owner_projects"),
    ]

    operations = [
        migrations.AddField(
            model_name="subjectmerge",
            name="tx",
            field=models.BigIntegerField(
                db_default=django.db.models.expressions.RawSQL("(pg_current_xact_id()::text)::bigint", ()),
                editable=False,
            ),
        ),
        migrations.AddIndex(
            model_name="subjectmerge",
            index=models.Index(fields=["tx", "id"], name="subjectmerge_log_order"),
        ),
        *readable_by_auditor("consent_subjectmerge"),
    ]
