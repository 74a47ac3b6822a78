from django.apps import AppConfig


class MessagingConfig(AppConfig):
    name = "messaging"

    def ready(self) -> None:
        from consent import feed, signals, story
        from messaging import checks, evidence, faults, requests  # noqa: F401  # the checks register themselves

        feed.READERS.add("messaging.tasks.read_log")
        faults.register()
        signals.request_logged.connect(requests.owe_receipt, dispatch_uid="messaging.requests")
        signals.request_extended.connect(requests.owe_extension, dispatch_uid="messaging.requests")
        signals.request_answered.connect(requests.owe_answer, dispatch_uid="messaging.requests")
        story.PROVIDERS.append(evidence.told)
