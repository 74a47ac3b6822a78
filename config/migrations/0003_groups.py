"""The four roles, and what each may view (v), add (a) and change (c). Nobody may delete anything."""

from django.db import migrations

ROLES = ("Officer", "Support", "Responder", "Auditor")

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
ACTIONS = {"v": "view", "a": "add", "c": "change"}

# What a model names beyond view, add and change: (model, codename, name, roles).
NAMED = (
    ("consent.decision", "record_opt_out", "Can record an opt-out that a person asked for", ("Officer", "Support")),
    ("incidents.incident", "close_incident", "Can close incident", ("Officer",)),
    ("consent.guardchange", "set_guard", "Can set the guard", ("Officer", "Responder")),
)


def make_roles(apps, schema_editor):
    groups = {name: apps.get_model("auth", "Group").objects.get_or_create(name=name)[0] for name in ROLES}
    for row in MATRIX.split("\n"):
        label, *cells = row.split() or [""]
        for role, letters in zip(ROLES, cells, strict=False):
            for letter in letters.strip("-"):
                groups[role].permissions.add(permission(apps, label, ACTIONS[letter]))
    for label, codename, name, roles in NAMED:
        for role in roles:
            groups[role].permissions.add(permission(apps, label, codename, name))


def permission(apps, label, verb, name=None):
    """Django makes permissions after all migrations; whoever needs one earlier makes it, and Django finds it there."""
    app, model = label.split(".")
    kind, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(app_label=app, model=model)
    words = apps.get_model(app, model)._meta.verbose_name_raw
    return apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=kind,
        codename=verb if name else f"{verb}_{model}",
        defaults={"name": name or f"Can {verb} {words}"},
    )[0]


def remove_roles(apps, schema_editor):
    apps.get_model("auth", "Group").objects.filter(name__in=ROLES).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("config", "0002_database"),
        ("consent", "0001_initial"),
        ("messaging", "0001_initial"),
        ("incidents", "0001_initial"),
    ]

    operations = [migrations.RunPython(make_roles, remove_roles)]
