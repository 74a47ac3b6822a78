"""What a row may become: appended once and kept, or tracked with every version; who changed it is always known."""

from typing import Any, ClassVar, NoReturn, Self

from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import models
from django.db.models import Exists, OuterRef
from simple_history.manager import HistoricalQuerySet, HistoryManager
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


class ByVersion(HistoricalQuerySet):
    """The newest version of each is the one with the highest number; two of them may bear the same date."""

    def latest_of_each(self) -> Self:
        later = self.filter(**{self._pk_attr: OuterRef(self._pk_attr)}, version__gt=OuterRef("version"))
        return self.filter(~Exists(later))


class ReadOnlyHistory(HistoryManager):
    """simple-history's bulk helpers write nothing: the trigger has written it already."""

    def bulk_history_create(self, *args: Any, **kwargs: Any) -> list[Any]:
        return []


class DatabaseVersion(models.Model):
    """A version that a trigger wrote; nobody rewrites it."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise PermissionDenied(f"{self._meta.verbose_name} is written by the database alone.")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise PermissionDenied(f"{self._meta.verbose_name} is kept: it cannot be deleted.")


def _neighbour(step: int) -> property:
    """The version before or after, by number and not by date."""

    def find(row: Any) -> Any:
        return type(row).objects.filter(id=row.id, version=row.version + step).first()

    return property(find)


class WrittenByDatabase(HistoricalRecords):
    """History that a trigger writes, so that update(), bulk_create, COPY and raw SQL leave one row per change too.

    simple-history keeps its model, manager and `as_of`; its own writer, which any of those paths goes round, is off.
    The tracked model has a `version` that the database counts; `history_id` grows with it, and has an index.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.indexes = kwargs.pop("indexes", [])
        kwargs.setdefault("history_manager", ReadOnlyHistory)
        kwargs.setdefault("historical_queryset", ByVersion)
        super().__init__(*args, **kwargs)

    def get_meta_options(self, model: type[models.Model]) -> dict[str, Any]:
        return super().get_meta_options(model) | {
            "ordering": ("-history_id",),
            "get_latest_by": ("history_id",),
            "indexes": self.indexes,
        }

    def get_extra_fields(self, model: type[models.Model], fields: Any) -> dict[str, Any]:
        return super().get_extra_fields(model, fields) | {"prev_record": _neighbour(-1), "next_record": _neighbour(+1)}

    def post_save(self, *args: Any, **kwargs: Any) -> None:
        """The trigger has written it already."""

    def post_delete(self, *args: Any, **kwargs: Any) -> None:
        """Never deleted."""

    def pre_delete(self, *args: Any, **kwargs: Any) -> None:
        """Never deleted."""

    def create_historical_record(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ImproperlyConfigured("The database writes this history; nothing else may.")
