from django.apps import AppConfig


class IncidentsConfig(AppConfig):
    name = "incidents"

    def ready(self) -> None:
        from consent import feed, story
        from incidents import health
        from incidents.story import tied

        feed.READERS.add("incidents.tasks.read_log")
        story.PROVIDERS.append(tied)
        health.register()
