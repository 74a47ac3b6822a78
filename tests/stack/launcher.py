"""Starts `manage.py up` as anybody would, in a folder of its own, and tells what runs there."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from config.stack.remains import processes_of
from config.stack.servers import gone

BASE = Path(__file__).resolve().parent.parent.parent
READY = "Holdfast is ready"


def until(holds: Callable[[], Any], seconds: float, otherwise: Callable[[], str] = lambda: "it did not happen") -> Any:
    """What `holds` returns as soon as that is true. Fails after so many seconds with what `otherwise` says."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.05)
    return found


class Stack:
    """A running product: `url`, `key`, `inbox_url`, `inbox` (folder of .eml files), `environment` for its commands."""

    def __init__(self, var: Path, **settings: str) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        self.var = var
        self.inbox = var / "inbox"
        # The launcher takes the next free ones from here on; far from where a stack for people runs, and from where
        # the suite's other half may start one at the same moment.
        half = 50 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        ports = {
            "PORT": str(18200 + half),
            "SMTP_PORT": str(18400 + half),
            "INBOX_PORT": str(18600 + half),
            "RECEIVE_PORT": str(19800 + half),
            "STREAM_PORT": str(19700 + half),
            "DEMO": "0",
        }
        self.settings = kept | ports | {"HOLDFAST_VAR": str(var)} | settings
        self.log = var.parent / f"{var.name}.log"

    def start(self) -> "Stack":
        with self.log.open("w") as output:
            self.launcher = subprocess.Popen(
                [sys.executable, str(BASE / "manage.py"), "up"], env=self.settings, stdout=output, stderr=output
            )
        try:
            until(lambda: READY in self.said() or self.launcher.poll() is not None, 120, self.said)
            assert self.launcher.poll() is None, self.said()
        except AssertionError:
            self.terminate()
            raise
        exports = [line.removeprefix("export ") for line in self.command("env").splitlines()]
        self.environment = dict(line.replace("'", "").split("=", 1) for line in exports)
        self.url, self.inbox_url = self.environment["PUBLIC_URL"], self.environment["INBOX_URL"]
        self.key = self.environment["SERVICE_KEY"]
        return self

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def command(self, *arguments: str, **settings: str) -> str:
        """The output of a command of manage.py."""
        done = subprocess.run(
            [sys.executable, str(BASE / "manage.py"), *arguments],
            env=self.settings | settings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def get(self, address: str) -> str:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.read().decode()

    def mails(self, to: str = "") -> list[dict[str, Any]]:
        return json.loads(self.get(f"{self.inbox_url}/messages.json?to={quote(to)}"))

    def processes(self) -> list[psutil.Process]:
        return [process for process in processes_of(self.var.resolve()) if not gone(process)]

    def terminate(self) -> int:
        """Ctrl-C and `kill` end up here. Returns the launcher's exit code."""
        if self.launcher.poll() is None:
            self.launcher.send_signal(signal.SIGTERM)
        return self.launcher.wait(60)

    def kill(self) -> None:
        self.launcher.kill()
        self.launcher.wait(10)
