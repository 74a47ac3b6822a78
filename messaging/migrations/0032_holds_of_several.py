from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0031_tracking_contexts"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="sendhold", name="sendhold_one_at_a_time"),
        migrations.AddConstraint(
            model_name="sendhold",
            constraint=models.UniqueConstraint(
                condition=models.Q(("released_at", None)),
                fields=("scope", "value", "held_by"),
                name="sendhold_one_of_each_holder",
                violation_error_message="You hold this already. Let go of it first, or leave it.",
            ),
        ),
    ]
