"""What a row may become: appended once and kept, or tracked with every version; who changed it is always known."""

from typing import Any, ClassVar, NoReturn

from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import models
from simple_history.models import HistoricalRecords


class AppendOnly(models.Model):
    """A row that is written once. The database refuses to change it too (`config.database.append_only`)."""

    personal: ClassVar[tuple[str, ...]] = ()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise PermissionDenied(f"{self._meta.verbose_name} is append-only: add a new row that corrects this one.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise PermissionDenied(f"{self._meta.verbose_name} is append-only: it cannot be deleted.")


class TrackedModel(models.Model):
    """Configuration and cases that people edit: each version is kept by simple-history, with who and why."""

    personal: ClassVar[tuple[str, ...]] = ()

    history = HistoricalRecords(
        inherit=True,
        history_id_field=models.BigAutoField(),
        history_user_id_field=models.TextField(null=True),
        history_user_getter=lambda historical_instance=None, **_: historical_instance.history_user_id,
        history_user_setter=lambda historical_instance, user: setattr(
            historical_instance, "history_user_id", user and str(user)
        ),
        history_change_reason_field=models.TextField(null=True),
    )

    class Meta:
        abstract = True

    def save_as(self, by: object, reason: str = "", **kwargs: Any) -> None:
        """Save, and put who and why into the history row of this save."""
        self._history_user = by
        self._change_reason = reason or None
        self.save(**kwargs)


class WrittenByDatabase(HistoricalRecords):
    """History that a trigger writes, so that update(), bulk_create, COPY and raw SQL leave one row per change too.

    simple-history keeps its model, manager and `as_of`; its own writer, which any of those paths goes round, is off.
    """

    def post_save(self, *args: Any, **kwargs: Any) -> None:
        """The trigger has written it already."""

    def post_delete(self, *args: Any, **kwargs: Any) -> None:
        """Never deleted."""

    def pre_delete(self, *args: Any, **kwargs: Any) -> None:
        """Never deleted."""

    def create_historical_record(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ImproperlyConfigured("The database writes this history; nothing else may.")
