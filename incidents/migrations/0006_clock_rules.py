"""Legal clocks of incidents, what each severity asks for, and who may do what with them.

Which law applies is the officer's decision, and so is every number here: rows are versioned and edited, never deleted.
Where a law can be read in two ways the row begins with the stricter one: 72 hours are counted through weekends.
"""

from django.db import migrations
from django.utils import timezone

from config.grants import granted

MATRIX = """
    incidents.affectedset                   va   v    va   v
    incidents.followup                      vac  v    vac  v
    incidents.historicalfollowup            v    -    v    v
    incidents.incidentclock                 vac  v    v    v
    incidents.historicalincidentclock       v    -    v    v
    incidents.incidentclockrule             vac  v    v    v
    incidents.historicalincidentclockrule   v    -    -    v
    incidents.incidentmoment                v    v    v    v
    incidents.incidentrelation              va   v    va   v
    incidents.incidentrole                  vac  v    vac  v
    incidents.postincidentreview            vac  v    vac  v
    incidents.historicalpostincidentreview  v    -    v    v
    incidents.severitypolicy                vac  v    v    v
    incidents.historicalseveritypolicy      v    -    -    v
"""
NAMED = (
    ("incidents.incident", "view_restricted", "Can see restricted incidents", ("Officer",)),
    ("incidents.incident", "restrict_incident", "Can restrict an incident and put it under legal hold", ("Officer",)),
)

# code, title, jurisdiction, citation, whom to tell, starts at, amount, unit, rolls, zone, text
RULES = [
    (
        "EU-ART33", "Breach notified to the authority", "EU", "GDPR 33(1)", "the supervisory authority", "detected_at",
        72, "hours", False, "UTC",
        ("Not later than 72 hours after having become aware, where feasible; later needs the reasons for the delay. "
        "Information may follow in phases (33(4)). Facts, effects and what was done are documented for every breach "
        "(33(5)), also for one that is not notified. Hours run through weekends here; Reg. 1182/71 art. 3(4) may be "
        "read to allow more."),
    ),
    (
        "EU-ART33-2", "Processor tells the controller", "EU", "GDPR 33(2)", "the controller", "detected_at", None,
        "hours", False, "UTC", "Without undue delay after becoming aware. Contracts often name a number: give it.",
    ),
    (
        "EU-ART34", "People at high risk are told", "EU", "GDPR 34(1)", "the persons concerned", "determination", None,
        "hours", False, "UTC",
        ("Without undue delay once a high risk to their rights is likely. The notice is no marketing: an opt-out does "
        "not stop it, and it carries none."),
    ),
    (
        "US-CANSPAM-OUTAGE", "Unsubscribe mechanism works again", "US", "15 USC 7704(a)(3)(C)",
        "nobody; kept as evidence", "occurred_from", None, "hours", False, "America/New_York",
        ("Excused only if the failure was technical, outside the sender's control and corrected within a reasonable "
        "time. Keep when it began, what caused it and when it worked again."),
    ),
    (
        "EU-1182-71-DAYS", "A term in days under EU law", "EU", "Reg. 1182/71 art. 3", "whoever set the term",
        "determination", None, "calendar_days", True, "Europe/Brussels",
        ("The day of the event is not counted; a last day on a Saturday, Sunday or holiday moves to the next working "
        "day. Give the number of days."),
    ),
    (
        "EU-1182-71-MONTHS", "A term in months under EU law", "EU", "Reg. 1182/71 art. 3", "whoever set the term",
        "determination", None, "months", True, "Europe/Brussels",
        ("It ends on the same date so many months later, or on the last day of a month that lacks it; a Saturday, "
        "Sunday or holiday moves to the next working day. Give the number of months."),
    ),
]  # fmt: skip

# severity, minutes between updates, needs a review, working days for it
POLICIES = [("sev1", 30, True, 5), ("sev2", 60, True, 5), ("sev3", 240, False, 10), ("sev4", None, False, 10)]


def add(apps, schema_editor):
    for code, title, jurisdiction, citation, notify, starts_at, amount, unit, rolls, zone, text in RULES:
        facts = {
            "title": title, "jurisdiction": jurisdiction, "citation": citation, "notify": notify,
            "starts_at": starts_at, "amount": amount, "unit": unit, "rolls_to_working_day": rolls, "time_zone": zone,
            "text": text,
        }  # fmt: skip
        _keep(apps, "IncidentClockRule", {"code": code}, facts)
    for severity, minutes, needs_review, days in POLICIES:
        facts = {"update_minutes": minutes, "needs_review": needs_review, "review_days": days}
        _keep(apps, "SeverityPolicy", {"severity": severity}, facts)


def _keep(apps, model, key, facts):
    """The row and its first version; simple-history's own writer does not see rows of a migration."""
    row, is_new = apps.get_model("incidents", model).objects.get_or_create(**key, defaults=facts)
    if is_new:
        apps.get_model("incidents", f"Historical{model}").objects.create(
            **{field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields},
            history_date=timezone.now(),
            history_type="+",
            history_user_id="system:migration",
            history_change_reason="Shipped with the product",
        )


class Migration(migrations.Migration):
    dependencies = [("incidents", "0005_cases"), ("config", "0003_groups")]

    # Going back leaves the rows: clocks name rules. Permissions go with their models.
    operations = [
        migrations.RunPython(add, migrations.RunPython.noop),
        granted(MATRIX, NAMED),
    ]
