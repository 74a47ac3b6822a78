"""The four roles, and what each may view (v), add (a) and change (c). Nobody may delete anything."""

from django.db import migrations

from config.grants import granted

MATRIX = """
    consent.subject                  va   va   v    v
    consent.identifier               v    v    v    -
    consent.reveal                   va   a    -    v
    consent.subjectmerge             va   va   v    v
    consent.consent                  v    v    v    v
    consent.historicalconsent        v    v    v    v
    consent.decision                 v    v    v    v
    consent.decisionvoid             va   v    v    v
    consent.batch                    v    v    v    v
    consent.evidence                 v    v    -    -
    consent.reversal                 va   va   v    v
    consent.reversalconfirmation     va   va   v    v
    consent.feedcursor               v    -    v    v
    consent.guardchange              va   v    va   v
    consent.exitpath                 vac  v    v    v
    consent.historicalexitpath       v    -    v    v
    consent.exitpathminute           v    v    v    v
    consent.purpose                  vac  v    v    v
    consent.historicalpurpose        v    -    -    v
    consent.deadlinerule             vac  v    -    v
    consent.historicaldeadlinerule   v    -    -    v
    consent.answertext               vac  v    -    v
    consent.historicalanswertext     v    -    -    v
    consent.privacyrequest           vac  vac  v    v
    consent.historicalprivacyrequest v    v    -    v
    consent.requestevent             va   va   v    v
    messaging.template               vac  v    v    v
    messaging.historicaltemplate     v    -    -    v
    messaging.templateversion        vac  v    v    v
    messaging.templatebody           vac  v    v    v
    messaging.templatefault          vc   v    vc   v
    messaging.message                vc   vc   v    v
    messaging.deliveryattempt        v    v    v    v
    messaging.deliveryevent          v    v    v    v
    messaging.suppression            v    v    v    v
    messaging.transporthealth        v    v    v    v
    incidents.incident               vac  v    vac  v
    incidents.historicalincident     v    -    v    v
    incidents.timelineentry          va   v    va   v
    incidents.decisionlink           v    v    v    v
    incidents.decisionrollup         v    v    v    v
    incidents.decisionminute         v    v    v    v
    incidents.backfill               v    -    v    v
    incidents.alertsource            v    -    v    v
    incidents.historicalalertsource  v    -    -    v
    incidents.alertgroup             v    -    v    v
    incidents.alertdelivery          v    -    v    v
    config.servicekey                v    -    v    v
    config.historicalservicekey      v    -    -    v
    config.refusedcall               v    -    v    v
    config.user                      -    -    -    v
    auth.group                       -    -    -    v
"""
# What a model names beyond view, add and change: (model, codename, name, roles).
NAMED = (
    ("consent.decision", "record_opt_out", "Can record an opt-out that a person asked for", ("Officer", "Support")),
    ("incidents.incident", "close_incident", "Can close incident", ("Officer",)),
    ("consent.guardchange", "set_guard", "Can set the guard", ("Officer", "Responder")),
)


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("config", "0002_database"),
        ("consent", "0001_initial"),
        ("messaging", "0001_initial"),
        ("incidents", "0001_initial"),
    ]

    operations = [granted(MATRIX, NAMED)]
