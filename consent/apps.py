from django.apps import AppConfig


class ConsentConfig(AppConfig):
    name = "consent"

    def ready(self) -> None:
        from consent import facts, health, story

        story.PROVIDERS.append(facts.told)
        health.register()
