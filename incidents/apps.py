from django.apps import AppConfig


class IncidentsConfig(AppConfig):
    name = "incidents"

    def ready(self) -> None:
        from config.health import COLLECTORS
        from consent import feed, story
        from incidents import health, mails, marks, vitals
        from incidents.cohorts import newest, tied_people
        from incidents.playbooks import deeds
        from incidents.story import looked_again, tied
        from messaging import belonging
        from messaging.cohorts import COHORTS, Provider

        feed.READERS.add("incidents.tasks.read_log")
        story.PROVIDERS.extend([tied, looked_again])
        marks.MARKER_SOURCES.extend([marks.alerts, marks.incidents, marks.notices, marks.markers])
        COLLECTORS.append(vitals.metrics)
        belonging.REGISTERED.append(belonging.Incidents(mails.newest, mails.messages_of))
        COHORTS["incident"] = Provider(find=tied_people, choices=newest)
        deeds.ready()
        health.register()
