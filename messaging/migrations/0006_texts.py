"""The texts that the product ships with, taken through every step as first versions. Later ones are made in the admin."""

import json
from pathlib import Path

from django.db import connection, migrations
from django.utils import timezone

from messaging.inlining import inline
from messaging.snapshots import taken

TEXTS = Path(__file__).parent / "texts"
SYSTEM, WHY = "system:holdfast", "Shipped with the product"
LOCALES = ("en", "de", "es", "fr")


def load(apps, schema_editor):
    frame = (TEXTS / "frame.html").read_text(encoding="utf-8")
    for folder in sorted(path.parent for path in TEXTS.glob("*/template.json")):
        publish(apps, folder, json.loads((folder / "template.json").read_text(encoding="utf-8")), frame)


def publish(apps, folder, facts, frame):
    """Made once: what an installation has changed since is left as it is."""
    Template, Version, Body = (
        apps.get_model("messaging", name) for name in ("Template", "TemplateVersion", "TemplateBody")
    )
    template, is_new = Template.objects.get_or_create(
        key=folder.name,
        defaults={
            "title": facts["title"],
            "message_class": facts["message_class"],
            "channel": facts.get("channel", "email"),
        },
    )
    if not is_new:
        return
    apps.get_model("messaging", "HistoricalTemplate").objects.create(
        key=template.key,
        title=template.title,
        message_class=template.message_class,
        channel=template.channel,
        history_date=timezone.now(),
        history_type="+",
        history_user_id=SYSTEM,
        history_change_reason=WHY,
    )
    version = Version.objects.create(
        template=template,
        number=1,
        context_schema=facts["context_schema"],
        samples=facts["samples"],
        created_by=SYSTEM,
    )
    bodies = Body.objects.bulk_create(Body(version=version, **body(folder, locale, frame)) for locale in LOCALES)
    version.snapshots = taken(version.context_schema, version.samples, bodies)
    version.save()
    with connection.cursor() as cursor:
        cursor.execute("SELECT messaging_content_hash(%s)", [version.pk])
        version.content_hash = bytes(cursor.fetchone()[0])
    for state in ("checked", "approved", "published"):
        version.state = state
        for name, value in (("at", timezone.now()), ("by", SYSTEM), ("reason", WHY)):
            setattr(version, f"{state}_{name}", value)
        version.save()


def body(folder, locale, frame):
    """`en.txt` begins with the subject and an empty line; `en.html` with the line that mail programs preview."""
    subject, _, text = (folder / f"{locale}.txt").read_text(encoding="utf-8").partition("\n\n")
    if not (folder / f"{locale}.html").exists():  # a text message
        return {"locale": locale, "subject": subject, "text": text}
    preheader, _, inner = (folder / f"{locale}.html").read_text(encoding="utf-8").partition("\n\n")
    html = frame
    for name, value in (("locale", locale), ("subject", subject), ("preheader", preheader), ("body", inner.strip())):
        html = html.replace(f"[[{name}]]", value)
    return {"locale": locale, "subject": subject, "text": text, "html": html, "inlined": inline(html)}


class Migration(migrations.Migration):
    dependencies = [("messaging", "0005_rendering")]

    operations = [migrations.RunPython(load, migrations.RunPython.noop)]
