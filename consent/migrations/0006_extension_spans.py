"""How much longer the laws that were read allow, where the person is told why within the first deadline."""

from django.db import migrations
from django.utils import timezone

# code of the rule without its kind, and so many of its units more
EXTENSIONS = {
    "US-CA-RESPOND": 45,  # 11 CCR 7021(b): 90 calendar days in all
    "US-CO": 45,  # C.R.S. 6-1-1306(2)(b)
    "US-CT": 45,  # Conn. Gen. Stat. 42-518(c)(1)
    "EU-ART12-3": 2,  # GDPR 12(3): "by two further months where necessary"
}
KINDS = ("ACCESS", "DELETION", "CORRECTION")


def allow(apps, schema_editor):
    """A rule that an officer gave an extension already keeps it."""
    Rule, History = apps.get_model("consent", "DeadlineRule"), apps.get_model("consent", "HistoricalDeadlineRule")
    for code, extension in EXTENSIONS.items():
        for rule in Rule.objects.filter(code__in=[f"{code}-{kind}" for kind in KINDS], extension=0):
            rule.extension = extension
            rule.save()
            History.objects.create(
                **{field.attname: getattr(rule, field.attname) for field in rule._meta.concrete_fields},
                history_date=timezone.now(),
                history_type="~",
                history_user_id="system:migration",
                history_change_reason="How much longer the law allows",
            )


class Migration(migrations.Migration):
    dependencies = [("consent", "0005_extension")]

    operations = [migrations.RunPython(allow, migrations.RunPython.noop)]
