from django.apps import AppConfig


class ConsentConfig(AppConfig):
    name = "consent"

    def ready(self) -> None:
        from consent import facts, story

        story.PROVIDERS.append(facts.told)
