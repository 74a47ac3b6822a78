"""Imports: a file is brought, the page says what it would do and what was left out; undone by a button."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET

from config import csv_files
from config.admin import ReasonDialog, RecordAdmin, RecordInline, action, ask, display, moment, person, widgets
from config.deeds import add_errors, carry_out, form_page
from consent.admin import columns
from consent.admin.forms import Text, channel_choices, purpose_choices
from consent.importing import applying, listing, planning, staging
from consent.importing.senders import SENDERS
from consent.models import Channel, Import, ImportPortion, ImportRow

MOST_BYTES = 10 * 2**20  # somebody waits for it to be read
HAPPENS = ("applied", "undone", "emptied")
COLOURS = {
    "undone": "danger",
    "applied": "success",
    "applying": "warning",
    "planned": "info",
    "taken": "info",
    "emptied": "",
}


def state_of(imported: Import) -> tuple[str, str]:
    if imported.undone_at:
        return "undone", "undone"
    if imported.applied_at:
        return "applied", "applied"
    if imported.taken_by:
        return "taken", f"in {imported.taken_by}: see there"
    if imported.emptied_at:
        return "emptied", "not applied, and forgotten"
    if imported.portions.exists():
        return "applying", "applied in part"
    return "planned", "nothing changed yet"


class UploadForm(forms.Form):
    file = forms.FileField(
        widget=widgets.UnfoldAdminFileFieldWidget,
        help_text=f"CSV or XLSX, at most {MOST_BYTES // 2**20} MB. Nothing changes: you see what it would do.",
    )
    sender = forms.ChoiceField(
        label="Whose file it is",
        required=False,
        choices=[("", "Find out by its columns"), *((code, one.title) for code, one in SENDERS.items())],
        widget=widgets.UnfoldAdminSelectWidget,
        help_text="A bare list of addresses says nothing of itself: choose “An opt-out list” if every row is one.",
    )
    purpose = forms.ChoiceField(
        label="About",
        choices=purpose_choices,
        widget=widgets.UnfoldAdminSelectWidget,
        help_text="For rows that name none.",
    )
    channel = forms.ChoiceField(
        choices=channel_choices,
        initial=Channel.EMAIL,
        widget=widgets.UnfoldAdminSelectWidget,
        help_text="For rows that name none.",
    )
    sheet = forms.CharField(
        required=False, max_length=100, widget=Text, help_text="Of a spreadsheet. Empty: the first that is shown."
    )
    dated = forms.SplitDateTimeField(
        label="The list is of",
        required=False,
        widget=widgets.UnfoldAdminSplitDateTimeWidget,
        help_text="In your time zone, for rows that say no moment. An opt-in without one is left out.",
    )
    opt_outs_only = forms.BooleanField(
        label="Leave opt-ins out", required=False, widget=widgets.UnfoldBooleanSwitchWidget
    )

    def upload(self) -> staging.Upload:
        facts = self.cleaned_data
        file = facts.pop("file")
        if file.size > MOST_BYTES:
            raise ValidationError(
                f"The file is larger than {MOST_BYTES // 2**20} MB. Split it, or have it imported by "
                "manage.py import_suppressions, which takes more."
            )
        return staging.Upload(name=file.name, data=file.read(), **facts)


class SenderFilter(admin.SimpleListFilter):
    """The senders that there are, and not a search for those that came."""

    title, parameter_name = "sender", "sender"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [(code, one.title) for code, one in SENDERS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(sender=self.value()) if self.value() else queryset


class LeftOut(RecordInline):
    model = ImportRow
    fk_name = "imported"
    verbose_name_plural = "left out"
    fields = readonly_fields = ("number", "why_left_out", "choice", "scope", moment("decided_at", "Decided"))
    ordering = ("number",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ImportRow]:
        return super().get_queryset(request).filter(effect__in=listing.LISTED)

    @display(description="Why")
    def why_left_out(self, row: ImportRow) -> str:
        return listing.reason(row)

    @display(description="About")
    def scope(self, row: ImportRow) -> str:
        return f"{columns.purpose(row)} by {columns.channel(row)}" if row.purpose else "-"


class Portions(RecordInline):
    model = ImportPortion
    fk_name = "imported"
    verbose_name_plural = "written"
    fields = readonly_fields = ("number", "written", "batch", moment("applied_at", "When"), "applied_by")
    ordering = ("number",)


@admin.register(Import)
class ImportAdmin(RecordAdmin):
    list_display = ("ref", "file_name", "standing", "whose", "scope", "created_by", moment("created_at", "Brought"))
    list_filter = (SenderFilter,)
    search_fields = ("file_name",)
    ordering = ("-pk",)
    sortable_by = ()
    readonly_fields = fields = (
        "standing", "would", "next_step", "seen_before", "file_name", "sha256", "size", "whose", "found", "sheet",
        "scope",
        moment("moment", "Rows without a moment count from"), "created_by", moment("created_at", "Brought"),
        "applied_by", moment("applied_at", "Applied"), "undone_by", moment("undone_at", "Undone"), "undone_reason",
        moment("emptied_at", "Forgotten"),
    )  # fmt: skip
    inlines = (LeftOut, Portions)
    actions_detail = ("download_left_out", "undo_it")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Import]:
        return super().get_queryset(request).prefetch_related("portions")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """What did not happen yet has no line."""
        names = [(field, field if isinstance(field, str) else field.__name__) for field in self.fields]
        happened = {what for what in HAPPENS if getattr(obj, f"{what}_at", None)}
        return [field for field, name in names if name.split("_")[0] in happened or name.split("_")[0] not in HAPPENS]

    @display(description="Number")
    def ref(self, imported: Import) -> str:
        return imported.ref

    @display(description="State", label=COLOURS)
    def standing(self, imported: Import) -> tuple[str, str]:
        return state_of(imported)

    @display(description="Whose columns")
    def whose(self, imported: Import) -> str:
        return SENDERS[imported.sender].title if imported.sender in SENDERS else imported.sender

    @display(description="About, where a row names nothing")
    def scope(self, imported: Import) -> str:
        return f"{columns.purpose(imported)} by {columns.channel(imported)}"

    @display(description="What its rows do")
    def would(self, imported: Import) -> SafeString:
        lines = ((f"{count:,}", words) for count, words in planning.told(imported.counts))
        return format_html_join("\n", "<div>{} × {}</div>", lines)

    @display(description="To write it")
    def next_step(self, imported: Import) -> str:
        if imported.taken_by and not imported.applied_at and not imported.undone_at:
            return f"It is written by {imported.taken_by}. Where that was given up: write another change set."
        if state_of(imported)[0] not in ("planned", "applying"):
            return "nothing is left to do"
        by_command = (
            "Opt-outs alone need no approval: an operator writes them with manage.py import_suppressions --apply and "
            "the same file, and what is written already stays as it is."
        )
        if imported.portions.exists():
            return by_command
        return f"Write a change set (Change sets, +, Write imported rows) and choose {imported.ref}. {by_command}"

    @display(description="The same file before")
    def seen_before(self, imported: Import) -> str:
        return ", ".join(f"{one.ref} ({state_of(one)[1]})" for one in staging.earlier(imported)) or "never"

    @display(description="SHA-256")
    def sha256(self, imported: Import) -> str:
        return bytes(imported.digest).hex()

    @display(description="Columns as found")
    def found(self, imported: Import) -> str:
        return ", ".join(imported.columns) or "none"

    # Bringing a file

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("consent.add_import")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = UploadForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            try:
                imported = staging.take(form.upload(), by=person(request))
            except ValidationError as error:
                add_errors(form, error)
            else:
                self.message_user(request, f"{imported.ref} is read and planned. Nothing has changed yet.")
                return HttpResponseRedirect(_page(imported.pk))
        fields = [(None, {"fields": list(form.fields)})]
        title = "Bring a suppression list or an export of preferences"
        return form_page(self, request, form, fields, title=title, submit="See what it would do", has_file_field=True)

    # What was left out

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(require_GET(self.left_out_view))
        return [path("<int:object_id>/left-out.csv", view, name="consent_import_left_out"), *super().get_urls()]

    def has_rows_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """It says whom the rows are about: for whoever may bring such a file."""
        return self.has_add_permission(request)

    @action(description="Download what was left out", permissions=["rows"], icon="download")
    def download_left_out(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:consent_import_left_out", args=[object_id]))

    def left_out_view(self, request: HttpRequest, object_id: int) -> HttpResponseBase:
        if not self.has_rows_permission(request):
            raise PermissionDenied
        imported = the(object_id)
        self.log_change(request, imported, "Downloaded the rows that were left out, with whom they are about.")
        return csv_files.download(f"{imported.ref}-left-out.csv", listing.lines(imported))

    # Undoing

    def has_undo_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        if not request.user.has_perm("consent.undo_import"):
            return False
        return (
            object_id is None or ImportPortion.objects.filter(imported__pk=object_id, imported__undone_at=None).exists()
        )

    @action(
        description="Undo it",
        permissions=["undo"],
        icon="undo",
        dialog=ask(
            "Undo this import",
            "Everybody gets back what stood before. Choices that people made meanwhile stay.",
            submit="Undo it",
        ),
    )
    def undo_it(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            voided = applying.undo(the(object_id), reason=form.cleaned_data["reason"], by=person(request))
            return f"Undone: {voided:,} decisions are void."

        return carry_out(self, request, deed, _page(object_id))


def the(object_id: Any) -> Import:
    imported = Import.objects.filter(pk=object_id).first()
    if imported is None:
        raise Http404("No such import.")
    return imported


def _page(object_id: Any) -> str:
    return reverse("admin:consent_import_change", args=[object_id])
