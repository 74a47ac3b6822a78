"""How detection begins: settings per group of causes, watches over the product's own ways out, a purpose for canaries.

And who may see and change what. What exists already is left as it is.
"""

from django.db import migrations
from django.utils import timezone

from config.grants import granted

MATRIX = """
    incidents.facetbucket                v    -    v    -
    incidents.marker                     v    v    v    v
    incidents.detectorsettings           vc   -    v    v
    incidents.historicaldetectorsettings v    -    v    v
    incidents.series                     v    -    v    v
    incidents.baselineversion            v    -    v    v
    incidents.bucketscore                v    -    v    v
    incidents.episode                    v    -    v    v
    incidents.alarm                      v    v    v    v
    incidents.detectioncursor            v    -    v    v
    incidents.exitpathwatch              vac  v    vc   v
    incidents.historicalexitpathwatch    v    -    v    v
    incidents.exitpathprobe              va   v    va   v
"""

GROUPS = [
    # group, title, mode
    ("choice", "People's own choices", "active"),
    ("complaint", "Spam complaints", "active"),
    ("desk", "Through the support desk, requests and agents", "active"),
    ("machine", "Scripts and suspected link scanners", "monitor"),
    ("records", "Imports and defaults, which nobody chose", "off"),
]
PROBED = {"one-click": 10, "preference-page": 10, "api": 10, "gpc": 60}  # minutes
CANARY = {
    "name": "Canaries",
    "description": "Nobody real: the product tries its own ways out with it.",
    "regime": "opt_in",
    "is_public": False,
    "channels": ["email"],
    "position": 9000,
}
WRITTEN_BY, REASON = "system:migration", "Shipped with the product"


def add(apps, schema_editor):
    _keep(apps, "consent", "Purpose", {"code": "canary"}, CANARY)
    for group, title, mode in GROUPS:
        _keep(apps, "incidents", "DetectorSettings", {"group": group}, {"title": title, "mode": mode})
    for path in apps.get_model("consent", "ExitPath").objects.filter(code__in=PROBED):
        facts = {"probe_every_minutes": PROBED[path.code]}
        _keep(apps, "incidents", "ExitPathWatch", {"exit_path_id": path.code}, facts)


def _keep(apps, app, model, key, facts):
    """The row and its first version; simple-history's own writer does not see rows of a migration."""
    row, is_new = apps.get_model(app, model).objects.get_or_create(**key, defaults=facts)
    if not is_new:
        return
    fields = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    apps.get_model(app, f"Historical{model}").objects.create(
        **fields,
        history_date=timezone.now(),
        history_type="+",
        history_user_id=WRITTEN_BY,
        history_change_reason=REASON,
    )


class Migration(migrations.Migration):
    dependencies = [("incidents", "0007_detection"), ("config", "0003_groups"), ("consent", "0003_starting_rows")]

    # Going back leaves the rows: decisions of canaries name the purpose, and permissions go with their models.
    operations = [
        migrations.RunPython(add, migrations.RunPython.noop),
        granted(MATRIX),
    ]
