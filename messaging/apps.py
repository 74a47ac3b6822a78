from django.apps import AppConfig


class MessagingConfig(AppConfig):
    name = "messaging"

    def ready(self) -> None:
        from config.health import COLLECTORS, DETAILS
        from consent import feed, signals, story
        from messaging import checks, condition, contacts, events, evidence, faults, health, requests  # noqa: F401  # registers itself
        from messaging.inbound import inbox
        from messaging.propagation.metrics import endpoint_metrics

        feed.READERS.update({"messaging.tasks.read_log", "messaging.tasks.propagate"})
        signals.request_logged.connect(requests.owe_receipt, dispatch_uid="messaging.requests")
        signals.request_extended.connect(requests.owe_extension, dispatch_uid="messaging.requests")
        signals.reversal_to_ask.connect(requests.owe_second_step, dispatch_uid="messaging.requests")
        signals.message_acknowledged.connect(events.acknowledge, dispatch_uid="messaging.events")
        signals.request_answered.connect(requests.owe_answer, dispatch_uid="messaging.requests")
        story.PROVIDERS.extend([evidence.told, contacts.told])
        COLLECTORS.extend([endpoint_metrics, faults.metrics, condition.metrics, inbox.metrics])
        DETAILS["sweep"] = health.last_sweep
