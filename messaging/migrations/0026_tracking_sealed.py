from django.db import migrations, models
from django.db.models import Q

from config.database import sql_file


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0025_tracking_trouble"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="message", name="message_rendered_with_its_hash"),
        migrations.RenameField(model_name="message", old_name="raw", new_name="sealed_raw"),
        migrations.AlterField(
            model_name="message",
            name="sealed_raw",
            field=models.BinaryField(null=True, help_text="The bytes on the wire, frozen at rendering, encrypted."),
        ),
        migrations.AlterField(
            model_name="message",
            name="render_hash",
            field=models.BinaryField(max_length=32, null=True, help_text="SHA-256 of the bytes on the wire."),
        ),
        migrations.AddConstraint(
            model_name="message",
            constraint=models.CheckConstraint(
                condition=Q(sealed_raw=None) | Q(render_hash__isnull=False),
                name="message_rendered_with_its_hash",
                violation_error_message="Rendered bytes come with their hash.",
            ),
        ),
        sql_file(__file__, "sealed.sql"),
    ]
