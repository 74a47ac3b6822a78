"""Who confirmed that opt-outs no longer count, which takes two people."""

from django.db import migrations, models

from config.database import readable_by_auditor, sql_file


class Migration(migrations.Migration):
    dependencies = [("consent", "0017_merges_in_order")]

    operations = [
        migrations.AddField(
            "decisionvoid",
            "confirmed_by",
            models.CharField(blank=True, db_default="", help_text="The second person.", max_length=200),
        ),
        migrations.AddConstraint(
            "decisionvoid",
            models.CheckConstraint(
                condition=models.Q(
                    ("confirmed_by", ""),
                    models.Q(("confirmed_by", models.F("voided_by")), _negated=True),
                    _connector="OR",
                ),
                name="decisionvoid_confirmed_by_another",
                violation_error_message="A second person confirms it, not whoever asked.",
            ),
        ),
        sql_file(__file__, "confirmed_voids.sql"),
        *readable_by_auditor("consent_decisionvoid"),
    ]
