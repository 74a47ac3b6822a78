"""The HTTP surface on one page."""

from django.contrib import admin
from django.urls import path

from config import docs, health
from consent.api import catalogue, checks, decisions, people, requests, reversals
from consent.public.acknowledging import acknowledge
from consent.public.front import front_page, gpc_support, robots
from consent.public.one_click import hidden_link, one_click
from consent.public.preferences import preferences
from incidents.admin import live
from incidents.api import alerts, cases, changes, incidents, markers, playbooks, telemetry
from incidents.webhooks import receive
from messaging.api import contacts, endpoints, messages, notices, reports
from messaging.webhooks import receive_mail, receive_text

urlpatterns = [
    # For people, without a login.
    path("", front_page, name="front-page"),
    path("robots.txt", robots),
    path(".well-known/gpc.json", gpc_support),
    path("u/<str:token>/", one_click, name="one-click"),
    path("u/<str:token>/more/", hidden_link, name="hidden-link"),
    path("u/<str:token>", one_click),  # a redirect to the other would lose the press
    path("preferences/<str:token>/", preferences, name="preferences"),
    path("preferences/<str:token>", preferences),
    path("read/<str:token>/", acknowledge),
    path("read/<str:token>", acknowledge),
    # For programs that cannot hold a key.
    path("hooks/alerts/<str:token>/", receive, name="alerts"),
    path("hooks/mail/<str:provider>/", receive_mail, {"kind": "tracking"}, name="mail-events"),
    path("hooks/mail/<str:provider>/inbound/", receive_mail, {"kind": "inbound"}, name="mail-inbound"),
    path("hooks/sms/<str:provider>/", receive_text, name="sms-inbound"),
    # For probes.
    path("livez", health.livez),
    path("readyz", health.readyz),
    path("metrics", health.metrics),
    path("admin/live/", admin.site.admin_view(live.live), name="live"),
    path("admin/live/numbers/", admin.site.admin_view(live.numbers), name="live-numbers"),
    path("admin/", admin.site.urls),
    # Services: record, follow, ask
    path("api/v1/decisions/", decisions.DecisionsView.as_view()),
    path("api/v1/decisions/<int:decision>/", decisions.DecisionView.as_view()),
    path("api/v1/decisions/<int:decision>/receipt/", decisions.ReceiptView.as_view()),
    path("api/v1/check/", checks.CheckView.as_view()),
    path("api/v1/reversals/", reversals.ReversalsView.as_view()),
    path("api/v1/reversals/<uuid:reversal>/confirm/", reversals.ConfirmView.as_view()),
    path("api/v1/subjects/<uuid:subject>/", people.SubjectView.as_view()),
    path("api/v1/subjects/<uuid:subject>/history/", people.HistoryView.as_view()),
    path("api/v1/subjects/<uuid:subject>/why/", people.WhyView.as_view()),
    path("api/v1/purposes/", catalogue.PurposesView.as_view()),
    path("api/v1/requests/", requests.RequestsView.as_view()),
    path("api/v1/requests/<str:ref>/", requests.RequestView.as_view()),
    path("api/v1/exit-paths/", catalogue.ExitPathsView.as_view()),
    # Services: incidents
    path("api/v1/incidents/", incidents.IncidentsView.as_view()),
    path("api/v1/incidents/<str:ref>/", incidents.IncidentView.as_view()),
    path("api/v1/incidents/<str:ref>/window/", incidents.WindowView.as_view()),
    path("api/v1/incidents/<str:ref>/scope/", incidents.ScopeView.as_view()),
    path("api/v1/incidents/<str:ref>/contain/", incidents.ContainView.as_view()),
    path("api/v1/incidents/<str:ref>/close/", incidents.CloseView.as_view()),
    path("api/v1/incidents/<str:ref>/accept/", cases.AcceptView.as_view()),
    path("api/v1/incidents/<str:ref>/acknowledge/", cases.AcknowledgeView.as_view()),
    path("api/v1/incidents/<str:ref>/decline/", cases.DeclineView.as_view()),
    path("api/v1/incidents/<str:ref>/recover/", cases.RecoverView.as_view()),
    path("api/v1/incidents/<str:ref>/monitor/", cases.MonitorView.as_view()),
    path("api/v1/incidents/<str:ref>/reopen/", cases.ReopenView.as_view()),
    path("api/v1/incidents/<str:ref>/merge/", cases.MergeView.as_view()),
    path("api/v1/incidents/<str:ref>/updates/", cases.UpdateView.as_view()),
    path("api/v1/incidents/<str:ref>/moments/", cases.MomentView.as_view()),
    path("api/v1/incidents/<str:ref>/people/", cases.PeopleView.as_view()),
    path("api/v1/incidents/<str:ref>/people/<int:role>/renounce/", cases.RenounceView.as_view()),
    path("api/v1/incidents/<str:ref>/clocks/", cases.ClocksView.as_view()),
    path("api/v1/incidents/<str:ref>/clocks/<str:rule>/", cases.ClockView.as_view()),
    path("api/v1/incidents/<str:ref>/follow-ups/", cases.FollowUpsView.as_view()),
    path("api/v1/incidents/<str:ref>/follow-ups/<int:follow_up>/", cases.FollowUpView.as_view()),
    path("api/v1/incidents/<str:ref>/playbooks/", playbooks.PlaybooksView.as_view()),
    path("api/v1/incidents/<str:ref>/playbooks/<int:run>/", playbooks.PlaybookView.as_view()),
    path("api/v1/incidents/<str:ref>/review/", cases.ReviewView.as_view()),
    path("api/v1/incidents/<str:ref>/related/", cases.RelatedView.as_view()),
    path("api/v1/incidents/<str:ref>/affected/", cases.AffectedView.as_view()),
    path("api/v1/incidents/<str:ref>/timeline/export/", cases.ExportView.as_view()),
    path("api/v1/incidents/<str:ref>/timeline/", incidents.TimelineView.as_view()),
    path("api/v1/incidents/<str:ref>/decisions/", incidents.DecisionsView.as_view()),
    path("api/v1/change-sets/", changes.ChangeSetsView.as_view()),
    path("api/v1/change-sets/<str:ref>/", changes.ChangeSetView.as_view()),
    path("api/v1/change-sets/<str:ref>/plan/", changes.PlanView.as_view()),
    path("api/v1/change-sets/<str:ref>/submit/", changes.SubmitView.as_view()),
    path("api/v1/change-sets/<str:ref>/apply/", changes.ApplyView.as_view()),
    path("api/v1/change-sets/<str:ref>/pause/", changes.PauseView.as_view()),
    path("api/v1/change-sets/<str:ref>/resume/", changes.ResumeView.as_view()),
    path("api/v1/change-sets/<str:ref>/roll-back/", changes.RollBackView.as_view()),
    path("api/v1/change-sets/<str:ref>/cancel/", changes.CancelView.as_view()),
    path("api/v1/alerts/", alerts.AlertsView.as_view()),
    path("api/v1/sends/", markers.SendsView.as_view()),
    path("api/v1/markers/", markers.MarkersView.as_view()),
    path("api/v1/telemetry/stream/", telemetry.StreamView.as_view()),
    path("api/v1/telemetry/", telemetry.TelemetryView.as_view()),
    # Services: messages
    path("api/v1/messages/", messages.MessagesView.as_view()),
    path("api/v1/messages/<uuid:pk>/", messages.MessageView.as_view()),
    path("api/v1/contacts/", contacts.ContactsView.as_view()),
    path("api/v1/notices/", notices.NoticesView.as_view()),
    path("api/v1/notices/<str:ref>/", notices.NoticeView.as_view()),
    path("api/v1/notices/<str:ref>/recipients/", notices.RecipientsView.as_view()),
    # Services: where changes are sent
    path("api/v1/endpoints/", endpoints.EndpointsView.as_view()),
    path("api/v1/endpoints/<str:name>/", endpoints.EndpointView.as_view()),
    path("api/v1/endpoints/<str:name>/pause/", endpoints.PauseView.as_view()),
    path("api/v1/endpoints/<str:name>/resume/", endpoints.ResumeView.as_view()),
    path("api/v1/endpoints/<str:name>/rotate/", endpoints.RotateView.as_view()),
    path("api/v1/endpoints/<str:name>/replay/", endpoints.ReplayView.as_view()),
    path("api/v1/endpoints/<str:name>/deliveries/", endpoints.DeliveriesView.as_view()),
    path("api/v1/endpoints/<str:name>/reconciliation/", endpoints.ReconciliationView.as_view()),
    path("api/v1/reconciliations/", reports.ReportsView.as_view()),
    path("api/v1/reconciliations/differences/", reports.DifferencesView.as_view()),
    path("api/v1/reconciliations/<int:pk>/", reports.ReportView.as_view()),
    path("api/v1/reconciliations/<int:pk>/finish/", reports.FinishView.as_view()),
    path("api/v1/schema/", docs.schema, name="schema"),
    path("api/v1/docs/", docs.DocsView.as_view()),
]

handler400 = "config.problems.bad_request"
handler403 = "config.problems.forbidden"
handler404 = "config.problems.not_found"
handler500 = "config.problems.server_error"
