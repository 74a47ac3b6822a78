"""Rows that every installation begins with: the ways out that the product itself offers, and purposes to start from.

An officer may rename, close or add; the codes stand in decisions and stay. What exists already is left as it is.
"""

from django.db import migrations
from django.utils import timezone

EXIT_PATHS = [
    # code, name, kind, owner, url
    ("one-click", "One-click unsubscribe of the mail program", "one_click", "Platform team", "/u/"),
    ("preference-page", "Preference page", "preference_page", "Platform team", "/preferences/"),
    ("api", "Service call", "api", "Platform team", "/api/v1/decisions/"),
    ("gpc", "Global Privacy Control signal of the browser", "gpc", "Privacy office", "/.well-known/gpc.json"),
    ("support-email", "E-mail to the support desk", "support", "Support desk", ""),
    ("support-phone", "Call to the support desk", "phone", "Support desk", ""),
]
PURPOSES = [
    # code, name, description, regime, covered by Sec-GPC, channels
    (
        "marketing",
        "Offers and marketing",
        "Offers, discounts and invitations.",
        "opt_in",
        False,
        ["email", "sms", "phone", "post"],
    ),
    (
        "product_news",
        "Product news",
        "What is new in the products and services that you use.",
        "opt_in",
        False,
        ["email", "push"],
    ),
    ("analytics", "Usage analysis", "Measuring how our services are used, to improve them.", "opt_in", False, []),
    (
        "sale_or_share",
        "Sale or sharing of personal data",
        "Passing your data to other companies for money, or for advertising across websites.",
        "opt_out",
        True,
        [],
    ),
    (
        "legal_notices",
        "Legal and security notices",
        "What we must tell you: changes of terms, security warnings, receipts. They carry no advertising.",
        "mandatory",
        False,
        [],
    ),
]
WRITTEN_BY, REASON = "system:migration", "Shipped with the product"


def add(apps, schema_editor):
    for code, name, kind, owner, url in EXIT_PATHS:
        _keep(apps, "ExitPath", code, {"name": name, "kind": kind, "owner": owner, "url": url})
    for position, (code, name, description, regime, covered, channels) in enumerate(PURPOSES, start=1):
        facts = {
            "name": name,
            "description": description,
            "regime": regime,
            "is_covered_by_gpc": covered,
            "channels": channels,
            "position": position * 10,
        }
        _keep(apps, "Purpose", code, facts)


def _keep(apps, model, code, facts):
    """The row and its first version; simple-history's own writer does not see rows of a migration."""
    row, is_new = apps.get_model("consent", model).objects.get_or_create(code=code, defaults=facts)
    if not is_new:
        return
    fields = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    apps.get_model("consent", f"Historical{model}").objects.create(
        **fields,
        history_date=timezone.now(),
        history_type="+",
        history_user_id=WRITTEN_BY,
        history_change_reason=REASON,
    )


class Migration(migrations.Migration):
    dependencies = [("consent", "0002_database")]

    # Going back leaves the rows: codes that decisions name are never deleted.
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
