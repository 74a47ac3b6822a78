"""The event stream beside the web: served as the product runs it, listened to by many, with news to tell."""

import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection

from config.stack.environment import free_port
from config.stack.programs import stream
from incidents import linking
from tests.benchmarks.stand import ROOT, Stand


@contextmanager
def served(stand: Stand) -> Iterator[int]:
    """The stream as the product runs it; gives its port."""
    port = free_port(19900, set())
    environment = {**stand.environment, "DJANGO_SETTINGS_MODULE": "config.settings", "DATABASE_POOL": "0"}
    with subprocess.Popen(stream(str(port)), env=environment, cwd=ROOT) as process:
        try:
            _until(lambda: _is_alive(port))
            yield port
        finally:
            process.terminate()
            process.wait(timeout=30)


@contextmanager
def counting() -> Iterator[None]:
    """What is written becomes news within a second, as it does beside a worker."""
    ended = threading.Event()

    def read() -> None:
        while not ended.wait(1):
            while linking.read_log():
                pass
        connection.close()

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def listening(port: int, key: str, count: int) -> Iterator[None]:
    """So many streams are open while the block runs."""
    command = [sys.executable, "-m", "tests.benchmarks.listeners", str(port), key, str(count)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or process.stdout.readline().strip() != "open":
                raise RuntimeError("The streams did not open.")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def _is_alive(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=1):
            return True
    except OSError:
        return False


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("The stream did not start.")
        time.sleep(0.05)
