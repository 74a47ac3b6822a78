from django.apps import AppConfig


class ConsentConfig(AppConfig):
    name = "consent"

    def ready(self) -> None:
        from consent import facts, feed, health, story

        feed.READERS.add("consent.tasks.keep_journal")
        story.PROVIDERS.append(facts.told)
        health.register()
