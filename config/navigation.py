"""The sidebar: the officer's words for what there is, each shown to those who may see it."""

from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

# Group, then (title, icon, model). A model without an admin page is left out, like one that the viewer may not see.
MENU: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "People",
        (
            ("Subjects", "person", "consent.Subject"),
            ("Consents", "fact_check", "consent.Consent"),
            ("Decisions", "gavel", "consent.Decision"),
            ("Privacy requests", "inbox", "consent.PrivacyRequest"),
            ("Back in", "how_to_reg", "consent.Reversal"),
            ("Tried and failed", "link_off", "consent.InterruptedOptOut"),
            ("Imports", "upload_file", "consent.Import"),
            ("Batches", "layers", "consent.Batch"),
        ),
    ),
    (
        "Messages",
        (
            ("Outbox", "outgoing_mail", "messaging.Message"),
            ("Notices", "campaign", "messaging.Notice"),
            ("Replies", "mark_email_unread", "messaging.InboundMessage"),
            ("Suppressions", "block", "messaging.Suppression"),
            ("Hook deliveries", "webhook", "messaging.HookDelivery"),
            ("Transports", "local_shipping", "messaging.TransportHealth"),
            ("Held back", "pause_circle", "messaging.SendHold"),
            ("Templates", "article", "messaging.Template"),
            ("Template versions", "history_edu", "messaging.TemplateVersion"),
            ("Template faults", "broken_image", "messaging.TemplateFault"),
            ("Contacts by services", "forward_to_inbox", "messaging.Contact"),
            ("Endpoints", "webhook", "messaging.Endpoint"),
            ("Webhook deliveries", "sync_alt", "messaging.WebhookDelivery"),
            ("Differences", "difference", "messaging.Difference"),
            ("Reports of services", "inventory", "messaging.StateReport"),
        ),
    ),
    (
        "Incidents",
        (
            ("Incidents", "crisis_alert", "incidents.Incident"),
            ("Change sets", "published_with_changes", "incidents.ChangeSet"),
            ("Taken back", "undo", "incidents.Rollback"),
            ("Follow-ups", "checklist", "incidents.FollowUp"),
            ("Playbooks", "menu_book", "incidents.Playbook"),
            ("Playbook versions", "history_edu", "incidents.PlaybookVersion"),
            ("Playbook runs", "playlist_play", "incidents.PlaybookRun"),
            ("Legal clocks", "timer", "incidents.IncidentClock"),
            ("Alarms", "notification_important", "incidents.Alarm"),
            ("Validation", "verified", "incidents.ValidationRun"),
            ("Put right", "healing", "incidents.DriftRepair"),
            ("Markers", "flag", "incidents.Marker"),
            ("Causes found", "psychology_alt", "incidents.CauseAssessment"),
            ("Restores", "restore", "incidents.Restore"),
            ("Alert sources", "sensors", "incidents.AlertSource"),
            ("Alert deliveries", "notifications", "incidents.AlertDelivery"),
        ),
    ),
    (
        "Ways out",
        (
            ("Exit paths", "logout", "consent.ExitPath"),
            ("Watches", "visibility", "incidents.ExitPathWatch"),
            ("Probes", "network_check", "incidents.ExitPathProbe"),
            ("Purposes", "category", "consent.Purpose"),
        ),
    ),
    (
        "Configuration",
        (
            ("Deadline rules", "event_upcoming", "consent.DeadlineRule"),
            ("Answer texts", "text_snippet", "consent.AnswerText"),
            ("Rules of legal clocks", "hourglass_top", "incidents.IncidentClockRule"),
            ("Severities", "signal_cellular_alt", "incidents.SeverityPolicy"),
            ("Detectors", "tune", "incidents.DetectorSettings"),
            ("Guard", "shield", "consent.GuardChange"),
            ("Users", "group", "config.User"),
            ("Roles", "badge", "auth.Group"),
            ("Service keys", "key", "config.ServiceKey"),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    overview = [{"title": "Dashboard", "icon": "monitoring", "link": reverse("admin:index")}]
    if request.user.has_perm("consent.view_decision"):
        overview.append({"title": "Live", "icon": "cell_tower", "link": reverse("live")})
    groups: list[dict[str, Any]] = [{"title": "Overview", "items": overview}]
    for title, entries in MENU:
        items = [entry for entry in (_entry(request, *names) for names in entries) if entry]
        if items:
            groups.append({"title": title, "separator": True, "items": items})
    return groups


def _entry(request: HttpRequest, title: str, icon: str, label: str) -> dict[str, Any] | None:
    model = apps.get_model(label)
    if not admin.site.is_registered(model) or not admin.site.get_model_admin(model).has_view_permission(request):
        return None
    return {
        "title": title,
        "icon": icon,
        "link": reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"),
    }


def environment(request: HttpRequest) -> list[str] | None:
    """The label beside the name, so that nobody takes a rehearsal for the real thing. Production has none."""
    if not settings.ENVIRONMENT:
        return None
    return [settings.ENVIRONMENT, "warning"]
