from django.apps import AppConfig


class MessagingConfig(AppConfig):
    name = "messaging"

    def ready(self) -> None:
        from config import health
        from consent import feed, signals, story
        from messaging import checks, evidence, requests  # noqa: F401  # the checks register themselves
        from messaging.inbound import inbox

        feed.READERS.add("messaging.tasks.read_log")
        signals.request_answered.connect(requests.owe_answer, dispatch_uid="messaging.requests")
        story.PROVIDERS.append(evidence.told)
        health.COLLECTORS.append(inbox.metrics)
