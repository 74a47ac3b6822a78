"""A data migration that takes back what it wrote projects the same keys a second time, as the owner of the tables.

It widens nothing: consent_reproject writes what the log says and nothing else, and whatever the owner voids calls it
already. The owner still writes no consent by hand, and is still no member of the projector.
"""

from django.db import migrations

AS_PROJECTOR = """
    SET LOCAL ROLE holdfast_projector;
    {} EXECUTE ON FUNCTION consent_reproject(bigint[]) {} holdfast_owner;
    SET LOCAL ROLE holdfast_owner;
"""


class Migration(migrations.Migration):
    dependencies = [("consent", "0015_effective_by_key")]

    operations = [
        migrations.RunSQL(AS_PROJECTOR.format("GRANT", "TO"), reverse_sql=AS_PROJECTOR.format("REVOKE", "FROM"))
    ]
