from django.db import migrations

from config.database import always, append_only, kept, readable_by_auditor, sql_file


class Migration(migrations.Migration):
    """Where the promises are kept: projection, history, guard and roles."""

    dependencies = [("consent", "0001_initial"), ("config", "0002_database")]

    operations = [
        *append_only(
            "consent_batch",
            "consent_decision",
            "consent_decisionvoid",
            "consent_guardchange",
            "consent_historicalanswertext",
            "consent_historicalconsent",
            "consent_historicaldeadlinerule",
            "consent_historicalexitpath",
            "consent_historicalpurpose",
            "consent_requestevent",
            "consent_reveal",
            "consent_reversal",
            "consent_reversalconfirmation",
            "consent_subjectmerge",
        ),
        *kept(
            "consent_consent",
            "consent_subject",
            "consent_identifier",
            "consent_purpose",
            "consent_exitpath",
            "consent_privacyrequest",
        ),
        # Versions of a request hold what the person wrote, which an erasure must reach.
        *kept("consent_historicalprivacyrequest"),
        sql_file(__file__, "projection.sql"),
        sql_file(__file__, "history.sql"),
        sql_file(__file__, "guard.sql"),
        sql_file(__file__, "people.sql"),
        sql_file(__file__, "roles.sql"),
        *readable_by_auditor(
            "consent_answertext",
            "consent_batch",
            "consent_consent",
            "consent_deadlinerule",
            "consent_decision",
            "consent_decisionvoid",
            "consent_exitpath",
            "consent_exitpathminute",
            "consent_feedcursor",
            "consent_guardchange",
            "consent_historicalanswertext",
            "consent_historicalconsent",
            "consent_historicaldeadlinerule",
            "consent_historicalexitpath",
            "consent_historicalpurpose",
            "consent_purpose",
            "consent_reversalconfirmation",
            "consent_subject",
            "consent_subjectmerge",
        ),
        *readable_by_auditor("consent_historicalprivacyrequest", "consent_privacyrequest", without=["details"]),
        *readable_by_auditor("consent_requestevent", without=["text"]),
        *readable_by_auditor("consent_reveal"),
        *readable_by_auditor("consent_reversal", without=["evidence"]),
        always(),
    ]
