from django.apps import AppConfig


class IncidentsConfig(AppConfig):
    name = "incidents"

    def ready(self) -> None:
        from consent import feed, story
        from incidents import health, mails
        from incidents.cohorts import newest, tied_people
        from incidents.playbooks import deeds
        from incidents.story import tied
        from messaging import belonging
        from messaging.cohorts import COHORTS, Provider

        feed.READERS.add("incidents.tasks.read_log")
        story.PROVIDERS.append(tied)
        belonging.REGISTERED.append(belonging.Incidents(mails.newest, mails.messages_of))
        COHORTS["incident"] = Provider(find=tied_people, choices=newest)
        deeds.ready()
        health.register()
