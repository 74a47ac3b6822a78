"""The event stream as the stack runs it, on a port of its own beside a test's database."""

import os
import signal
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager

from django.conf import settings

from config.stack.environment import free_port
from config.stack.programs import stream as command
from config.stack.servers import login_url
from tests.conftest import DATABASE
from tests.stack.launcher import BASE, until


@contextmanager
def streaming(committed, directory, **environment):
    """Gives the process and its port."""
    port = free_port(19300 + 50 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")), set())
    environment |= {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": login_url(committed.admin_url, "holdfast_app", committed.passwords["holdfast_app"], DATABASE),
        "SECRET_KEY": settings.SECRET_KEY,
        "PRIVACY_KEY": settings.PRIVACY_KEY,
        "DEBUG": "0",
    }
    said = directory / "stream.log"
    with (
        said.open("w") as log,
        subprocess.Popen(
            command(str(port)), env=environment, cwd=BASE, stdout=log, stderr=log, start_new_session=True
        ) as process,
    ):
        try:
            until(lambda: is_alive(port), 30, said.read_text)
            yield process, port
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def is_alive(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=1) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False
