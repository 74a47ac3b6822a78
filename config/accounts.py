"""The admin pages of those who use the product: users, their roles, and the keys of services."""

from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from config.admin import (
    HistoryAdmin,
    KeptAdmin,
    ReasonDialog,
    RecordAdmin,
    RecordInline,
    action,
    ask,
    display,
    go_to,
    moment,
    named,
    person,
    theme_forms,
    widgets,
)
from config.models import Scope, ServiceKey, User


class NewServiceKeyForm(forms.ModelForm):
    scopes = forms.MultipleChoiceField(choices=Scope.choices, widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget)
    days = forms.IntegerField(
        min_value=1,
        max_value=ServiceKey.LONGEST.days,
        initial=90,
        widget=widgets.UnfoldAdminIntegerFieldWidget,
        help_text="The key stops working after this many days, 365 at most.",
    )

    class Meta:
        model = ServiceKey
        fields = ("account", "label")


class KeyState(admin.SimpleListFilter):
    title = parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("usable", "usable"), ("expired", "expired"), ("revoked", "revoked")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        now = timezone.now()
        if self.value() == "usable":
            return queryset.usable(now)
        if self.value() == "expired":
            return queryset.filter(expires_at__lte=now)
        return queryset.filter(revoked_at__isnull=False) if self.value() == "revoked" else queryset


@admin.register(ServiceKey)
class ServiceKeyAdmin(HistoryAdmin, KeptAdmin):
    """Keys are issued and revoked, never edited; the text of a key is shown once."""

    list_display = (
        "label",
        "account",
        "may",
        moment("expires_at", "Expires"),
        moment("last_used_at", "Last used"),
        moment("revoked_at", "Revoked"),
    )
    list_select_related = ("account",)
    list_filter = (KeyState,)
    search_fields = ("label", "lookup")
    ordering = ("-created_at",)
    fields = (
        "label",
        named("account"),
        "begins_with",
        "may",
        moment("created_at", "Issued"),
        moment("expires_at", "Expires"),
        moment("last_used_at", "Last used"),
        moment("revoked_at", "Revoked"),
        named("revoked_by"),
    )
    readonly_fields = fields
    actions_detail = ("revoke",)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("config.change_servicekey")

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return ("account", "label", "scopes", "days") if obj is None else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return () if obj is None else self.readonly_fields

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any) -> type:
        if obj is None:
            kwargs.setdefault("form", NewServiceKeyForm)
        return super().get_form(request, obj, change=change, **kwargs)

    def save_model(self, request: HttpRequest, obj: ServiceKey, form: forms.ModelForm, change: bool) -> None:
        key, text = ServiceKey.issue(
            form.cleaned_data["account"],
            label=form.cleaned_data["label"],
            scopes=form.cleaned_data["scopes"],
            days=form.cleaned_data["days"],
            by=person(request),
        )
        obj.__dict__.update(key.__dict__)
        self.message_user(request, f"Copy this key now, it is not shown again: {text}", messages.WARNING)

    @display(description="Begins with")
    def begins_with(self, key: ServiceKey) -> str:
        return f"{key.PREFIX}_{key.lookup}_"

    @display(description="May")
    def may(self, key: ServiceKey) -> str:
        return ", ".join(str(Scope(scope).label) for scope in key.scopes if scope in Scope.values)

    @action(
        description="Revoke",
        permissions=["revoke"],
        icon="block",
        dialog=ask("Revoke this key", "Whatever still uses it is refused from now on.", submit="Revoke"),
    )
    def revoke(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        key = ServiceKey.objects.get(pk=object_id)
        key.revoke(by=person(request), reason=form.cleaned_data["reason"])
        self.message_user(request, f"{key} is revoked.")
        return go_to(reverse("admin:config_servicekey_change", args=[object_id]))


class TimeZoneSelect(widgets.UnfoldAdminSelectWidget):
    """The zones that this machine knows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.choices = [(name, name) for name in sorted(available_timezones())]


class KeysOfAccount(RecordInline):
    model = ServiceKey
    fk_name = "account"
    fields = readonly_fields = ("label", moment("expires_at", "Expires"), moment("revoked_at", "Revoked"))
    ordering = ("-created_at",)
    show_change_link = True


@admin.register(User)
class PersonAdmin(KeptAdmin, UserAdmin):
    """Who may log in. An account is switched off, not deleted: records name it."""

    form = theme_forms.UserChangeForm
    add_form = theme_forms.UserCreationForm
    change_password_form = theme_forms.AdminPasswordChangeForm
    list_display = ("username", "first_name", "last_name", "is_active", "is_service", moment("last_login"))
    list_filter = ("is_active", "is_service", "groups")
    search_fields = ("username", "email")
    ordering = ("username",)
    filter_horizontal = ()
    inlines = (KeysOfAccount,)
    add_fieldsets = (
        (None, {"fields": ("username", "email", "time_zone", "is_service")}),
        ("Login", {"fields": ("usable_password", "password1", "password2")}),
        ("What they may do", {"fields": ("is_staff", "groups")}),
    )
    fieldsets = (
        (None, {"fields": ("username", "password", "first_name", "last_name", "email", "time_zone")}),
        ("What they may do", {"fields": ("is_active", "is_staff", "is_service", "is_superuser", "groups")}),
    )

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "time_zone":
            kwargs["widget"] = TimeZoneSelect
        if db_field.name == "groups":
            kwargs["widget"] = widgets.UnfoldAdminCheckboxSelectMultipleWidget
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: User, form: forms.ModelForm, change: bool) -> None:
        if obj.is_service:  # a program has keys, not a password
            obj.is_staff = obj.is_superuser = False
            obj.set_unusable_password()
        super().save_model(request, obj, form, change)


admin.site.unregister(Group)


@admin.register(Group)
class RoleAdmin(RecordAdmin):
    """The roles that migrations make. Who needs more than one gets more than one; nobody may delete."""

    list_display = ("name", "members")
    fields = ("name", "members", "may_view", "may_add", "may_change", "may_also")
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).annotate(member_count=Count("user"))

    @display(description="Members")
    def members(self, role: Any) -> int:
        return role.member_count

    @display(description="May view")
    def may_view(self, role: Group) -> str:
        return granted(role, "view_", "Can view ")

    @display(description="May add")
    def may_add(self, role: Group) -> str:
        return granted(role, "add_", "Can add ")

    @display(description="May change")
    def may_change(self, role: Group) -> str:
        return granted(role, "change_", "Can change ")

    @display(description="May also")
    def may_also(self, role: Group) -> str:
        named = role.permissions.exclude(codename__regex="^(view|add|change)_").values_list("name", flat=True)
        return "; ".join(name.removeprefix("Can ") for name in named)


def granted(role: Group, prefix: str, words: str) -> str:
    """The models behind a verb, in their own words; histories go with what they are the history of."""
    names = role.permissions.filter(codename__startswith=prefix).exclude(codename__startswith=f"{prefix}historical")
    return ", ".join(sorted(name.removeprefix(words) for name in names.values_list("name", flat=True)))
