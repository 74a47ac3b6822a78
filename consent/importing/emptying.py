"""What a file said about people is kept for thirty days, or until they are erased."""

from django.db import transaction
from django.utils import timezone

from consent.models import Import, ImportRow

AT_ONCE = 10


def forget() -> int:
    """Drop rows that were never applied, and empty those that were left out; returns how many imports."""
    with transaction.atomic():
        found = (
            Import.objects.to_be_emptied(timezone.now()).select_for_update(skip_locked=True).order_by("pk")[:AT_ONCE]
        )
        for imported in found:
            rows = ImportRow.objects.filter(imported=imported)
            rows.exclude(effect__in=[*ImportRow.LEFT_OUT, ImportRow.Effect.OUTWEIGHED]).delete()
            rows.update(sealed=None)
            imported.emptied_at = timezone.now()
            imported.save(update_fields=["emptied_at"])
    return len(found)
