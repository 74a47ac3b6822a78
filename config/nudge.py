"""Nudges to the workers that never make a request wait: a thread of its own sends them, and may fail."""

import threading

import structlog
from celery import current_app

log = structlog.get_logger(__name__)

EXPIRES = 60  # seconds; by then a sweep has looked, and no heap of nudges waits behind workers that were away


class Nudger:
    """Sends each named task once per interval at most, however often it is asked to. A sweep does what was missed."""

    def __init__(self, interval: float = 0.2) -> None:
        self.interval = interval
        self.wanted: set[str] = set()
        self.condition = threading.Condition()
        self.thread: threading.Thread | None = None

    def __call__(self, task: str) -> None:
        with self.condition:
            self.wanted.add(task)
            if self.thread is None or not self.thread.is_alive():  # also after a fork
                self.thread = threading.Thread(target=self._run, name="nudger", daemon=True)
                self.thread.start()
            self.condition.notify()

    def _run(self) -> None:
        while True:
            with self.condition:
                if not self.condition.wait_for(lambda: self.wanted, timeout=60):
                    self.thread = None
                    return
                tasks, self.wanted = self.wanted, set()
            for task in tasks:
                try:
                    current_app.send_task(task, ignore_result=True, expires=EXPIRES)
                except Exception as error:  # the broker is away; the sweep finds the work
                    log.warning("nudge_failed", task=task, error=str(error))
            threading.Event().wait(self.interval)


nudge = Nudger()
