from django.apps import AppConfig


class IncidentsConfig(AppConfig):
    name = "incidents"

    def ready(self) -> None:
        from config.health import COLLECTORS
        from consent import feed, story
        from incidents import attention, checks, health, mails, marks, vitals  # noqa: F401  # registers itself
        from incidents.changes import configuration, operations
        from incidents.changes import deeds as deeds_on_changes
        from incidents.changes import vitals as change_vitals
        from incidents.cohorts import newest, tied_people
        from incidents.playbooks import deeds, rehearsing
        from incidents.restores import vitals as restore_vitals
        from incidents.story import looked_again, tied
        from incidents.validation import showing
        from messaging import belonging
        from messaging.cohorts import COHORTS, Provider

        feed.READERS.add("incidents.tasks.read_log")
        story.PROVIDERS.extend([tied, looked_again])
        marks.MARKER_SOURCES.extend([marks.alerts, marks.incidents, marks.notices, marks.markers])
        COLLECTORS.extend([vitals.metrics, attention.metrics])
        belonging.REGISTERED.append(belonging.Incidents(mails.newest, mails.messages_of))
        COHORTS["incident"] = Provider(find=tied_people, choices=newest)
        deeds.ready()
        rehearsing.ready()
        operations.ready()
        configuration.ready()
        deeds_on_changes.ready()
        health.register()
        showing.register()
        restore_vitals.register()
        change_vitals.register()
