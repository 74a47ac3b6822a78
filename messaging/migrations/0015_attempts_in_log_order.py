from django.db import migrations, models

from config.database import always, readable_by_auditor, sql_file


class Migration(migrations.Migration):
    dependencies = [("messaging", "0014_delivery_permissions")]

    operations = [
        # Those that ended before anybody wrote down by which transaction did so in one that has ended, too.
        migrations.AddField(
            model_name="deliveryattempt",
            name="ended_tx",
            field=models.BigIntegerField(
                default=1,
                editable=False,
                help_text="The transaction that ended it: by this, what ended is read in log order.",
                null=True,
            ),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="deliveryattempt",
            name="ended_tx",
            field=models.BigIntegerField(
                editable=False,
                help_text="The transaction that ended it: by this, what ended is read in log order.",
                null=True,
            ),
        ),
        migrations.AddIndex(
            model_name="deliveryattempt",
            index=models.Index(
                condition=models.Q(("ended_at__isnull", False)),
                fields=["ended_tx", "id"],
                name="deliveryattempt_log_order",
            ),
        ),
        sql_file(__file__, "attempts.sql"),
        *readable_by_auditor("messaging_deliveryattempt", without=["reply_text"]),
        always(),
    ]
