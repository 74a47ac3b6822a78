"""Calls at their own pace, whether or not the last one was answered; run as a program, a storm of alerts.

wrk waits for an answer before it asks again, and would hide the wait that a storm makes; so the pace is kept here. The
storm is a process of its own: in one with those who measure, its threads would take their time from them.
"""

import http.client
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

KEYS, SENDERS = 40, 24


class Line(threading.local):
    """One connection a thread, kept open as a sender keeps it."""

    connection: http.client.HTTPConnection | None = None


class Post:
    def __init__(self, port: int) -> None:
        self.port, self.line = port, Line()

    def __call__(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        if self.line.connection is None:
            self.line.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        self.line.connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
        response = self.line.connection.getresponse()
        response.read()
        return response.status


def paced(send: Callable[[int], None], count: int, seconds: float, threads: int) -> list[float]:
    """Milliseconds from the moment when each was due to its answer."""
    began = time.perf_counter() + 0.1

    def one(number: int) -> float:
        due = began + number * seconds / count
        time.sleep(max(0.0, due - time.perf_counter()))
        send(number)
        return (time.perf_counter() - due) * 1000

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(count)))


def p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


def body_of(number: int) -> bytes:
    """Every cause twice in a row, as a pair of Alertmanagers sends it; one in five says that it is over."""
    cause, state = f"cause-{number // 2 % KEYS}", "resolved" if number % 5 == 4 else "firing"
    labels = {"alertname": cause, "severity": "warning"}
    alert = {"status": state, "labels": labels, "fingerprint": f"{number // 2 % KEYS:016x}", "annotations": {}}
    facts = {"groupLabels": labels, "commonLabels": labels, "commonAnnotations": {}, "alerts": [alert]}
    return json.dumps({"version": "4", "groupKey": cause, "status": state, "receiver": "holdfast", **facts}).encode()


def main(port: int, token: str, count: int, seconds: float) -> None:
    post = Post(port)

    def send(number: int) -> None:
        if (status := post(f"/hooks/alerts/{token}/", body_of(number), {})) != 202:
            raise RuntimeError(f"A delivery was answered {status}.")

    paced(send, count, seconds, SENDERS)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
