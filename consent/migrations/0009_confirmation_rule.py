"""By when an opt-out is confirmed by e-mail: no statute says, so it is the organisation's own promise, as a row."""

from django.db import migrations
from django.utils import timezone

CODE = "HOUSE-CONFIRM"
FACTS = {
    "title": "Opt-out confirmed by e-mail",
    "jurisdiction": "",
    "request_kind": "confirmation",
    "amount": 1,
    "unit": "hours",
    "time_zone": "UTC",
    "citation": "Own promise: no statute sets a term",
    "is_default": True,
}


def add(apps, schema_editor):
    row, is_new = apps.get_model("consent", "DeadlineRule").objects.get_or_create(code=CODE, defaults=FACTS)
    if is_new:
        apps.get_model("consent", "HistoricalDeadlineRule").objects.create(
            **{field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields},
            history_date=timezone.now(),
            history_type="+",
            history_user_id="system:migration",
            history_change_reason="Shipped with the product",
        )


class Migration(migrations.Migration):
    dependencies = [("consent", "0008_canary")]

    operations = [migrations.RunPython(add, migrations.RunPython.noop)]  # going back leaves what may have been edited
