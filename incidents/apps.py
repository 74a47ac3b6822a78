from django.apps import AppConfig


class IncidentsConfig(AppConfig):
    name = "incidents"

    def ready(self) -> None:
        from consent import feed

        feed.READERS.add("incidents.tasks.read_log")
