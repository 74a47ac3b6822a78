from django.apps import AppConfig


class IncidentsConfig(AppConfig):
    name = "incidents"

    def ready(self) -> None:
        from config.health import COLLECTORS
        from consent import feed, story
        from incidents import mails, marks, vitals
        from incidents.story import looked_again, tied
        from messaging import belonging

        feed.READERS.add("incidents.tasks.read_log")
        story.PROVIDERS.extend([tied, looked_again])
        marks.MARKER_SOURCES.extend([marks.alerts, marks.incidents, marks.notices])
        COLLECTORS.append(vitals.metrics)
        belonging.REGISTERED.append(belonging.Incidents(mails.newest, mails.messages_of))
