"""The texts that the product ships with, as published first versions. Later ones are made in the admin."""

import hashlib
import json
from pathlib import Path

from django.db import migrations
from django.utils import timezone

TEXTS = Path(__file__).parent / "texts"
SYSTEM = "system:holdfast"


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
        key=folder.name, defaults={"title": facts["title"], "message_class": facts["message_class"]}
    )
    if not is_new:
        return
    apps.get_model("messaging", "HistoricalTemplate").objects.create(
        key=template.key,
        title=template.title,
        message_class=template.message_class,
        history_date=timezone.now(),
        history_type="+",
        history_user_id=SYSTEM,
        history_change_reason="Shipped with the product",
    )
    version = Version.objects.create(
        template=template,
        number=1,
        context_schema=facts["context_schema"],
        samples=facts["samples"],
        created_by=SYSTEM,
    )
    bodies = [body(path, frame) for path in sorted(folder.glob("*.txt"))]
    Body.objects.bulk_create(Body(version=version, **body) for body in bodies)
    parts = sorted([body["locale"], body["subject"], body["text"], body["html"]] for body in bodies)
    version.content_hash = hashlib.sha256(
        json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()
    ).digest()
    version.state, version.published_at, version.published_by = "published", timezone.now(), SYSTEM
    version.published_reason = "Shipped with the product"
    version.save()


def body(path, frame):
    """`en.txt` begins with the subject and an empty line; `en.html`, where there is one, goes into the frame."""
    subject, _, text = path.read_text(encoding="utf-8").partition("\n\n")
    if not path.with_suffix(".html").exists():
        return {"locale": path.stem, "subject": subject, "text": text, "html": ""}
    inner = path.with_suffix(".html").read_text(encoding="utf-8").strip()
    html = frame.replace("[[locale]]", path.stem).replace("[[subject]]", subject).replace("[[body]]", inner)
    return {"locale": path.stem, "subject": subject, "text": text, "html": html}


class Migration(migrations.Migration):
    dependencies = [("messaging", "0002_database")]

    operations = [migrations.RunPython(load, migrations.RunPython.noop)]
