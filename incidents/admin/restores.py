"""Restores: when the database went back in time, what was put back, what is gone, and who lets sending go on."""

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin import ReasonDialog, RecordAdmin, action, ask, badge, display, moment, person
from config.deeds import carry_out
from incidents.models import Restore
from incidents.restores.letting_go import let_go
from incidents.restores.report import lost_in_words, obstacles, told_in_words, uncovered_in_words

COLOURS: dict[str, str] = {"found": "danger", "replayed": "warning", "let_go": "success"}


@admin.register(Restore)
class RestoreAdmin(RecordAdmin):
    list_display = (
        moment("found_at", "Found"), badge("state", COLOURS), "incident_link", "witness", "opt_outs", "people",
        "erased", moment("let_go_at", "Let go"), "let_go_by",
    )  # fmt: skip
    list_select_related = ("incident",)
    list_filter = ("state",)
    ordering = ("-pk",)
    sortable_by = ()
    readonly_fields = fields = (
        badge("state", COLOURS), "incident_link", moment("found_at", "Found"), "witness",
        moment("marked_at", "Newest mark outside"), moment("copy_at", "Newest choice in the copy"), "times_found",
        "opt_outs", "people", "people_made", "erased", moment("replayed_at", "Put back"), "not_put_back",
        "nobody_can_vouch_for", "services_know_more", "messages_held", "compared", "in_the_way", "guard_before",
        moment("let_go_at", "Let go"), "let_go_by", "let_go_reason",
    )  # fmt: skip
    actions_detail = ("let_go",)

    @display(description="Incident")
    def incident_link(self, restore: Restore) -> SafeString:
        url = reverse("admin:incidents_incident_change", args=[restore.incident_id])
        return format_html('<a href="{}">{}</a>', url, restore.incident.ref)

    @display(description="Not to be put back, at most")
    def not_put_back(self, restore: Restore) -> str:
        return lost_in_words(restore.lost) or "-"

    @display(description="Nobody can vouch for")
    def nobody_can_vouch_for(self, restore: Restore) -> str:
        return uncovered_in_words(restore.uncovered) or "-"

    @display(description="Services had taken")
    def services_know_more(self, restore: Restore) -> str:
        told = told_in_words((restore.mark or {}).get("told", {}))
        return f"{told}. Ask them to report what they hold." if told else "-"

    @display(description="Compared with the journals")
    def compared(self, restore: Restore) -> str:
        found = [
            f"{name}: {one['lines']:,} lines, {one['missing']:,} missing, {one['erasures_missing']:,} not erased"
            + (f", {one['unreadable']:,} cannot be read" if one["unreadable"] else "")
            for name, one in restore.journals.items()
        ]
        return "; ".join(found) or "not yet"

    @display(description="In the way")
    def in_the_way(self, restore: Restore) -> str:
        return " ".join(obstacles(restore)) or "Nothing: look at ten people, then let sending go."

    def has_let_go_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        if not request.user.has_perm("incidents.let_go_restore"):
            return False
        return object_id is None or Restore.objects.open().filter(pk=object_id).exists()

    @action(
        description="Let sending go",
        permissions=["let_go"],
        icon="play_arrow",
        dialog=ask(
            "Let sending go",
            "The journals are compared once more. What this restore held back is sent, and the guard is what it was.",
            submit="Let go",
        ),
    )
    def let_go(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        restore: Any = Restore.objects.filter(pk=object_id).first()
        if restore is None:
            raise Http404("No such restore.")

        def deed() -> str:
            let_go(restore, reason=form.cleaned_data["reason"], by=person(request))
            return "Sending goes on."

        return carry_out(self, request, deed, reverse("admin:incidents_restore_change", args=[object_id]))
