from django.apps import AppConfig


class IncidentsConfig(AppConfig):
    name = "incidents"

    def ready(self) -> None:
        from consent import feed, story
        from incidents import mails
        from incidents.story import tied
        from messaging import belonging

        feed.READERS.add("incidents.tasks.read_log")
        story.PROVIDERS.append(tied)
        belonging.REGISTERED.append(belonging.Incidents(mails.newest, mails.messages_of))
