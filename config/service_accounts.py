"""Accounts of programs, and the keys they call with."""

from django.core.exceptions import ValidationError
from django.db import transaction

from config.models import ServiceKey, User


@transaction.atomic
def issue(name: str, scopes: list[str], days: int) -> tuple[ServiceKey, str]:
    """A key for the service account `name`, which is made if there is none. Raises ValidationError."""
    account, created = User.objects.get_or_create(username=name, defaults={"is_service": True})
    if created:
        account.set_unusable_password()
        account.save(update_fields=["password"])
    if not account.is_service:
        raise ValidationError(f"{name} is a person's account. Choose another name: a key belongs to a program.")
    return ServiceKey.issue(account, label=name, scopes=scopes, days=days, by=account)
