"""What runs: the web, its event stream, four workers, beat, what receives mail, the inbox in the world's place."""

import os
import sys
from pathlib import Path

from config.stack.folder import Folder
from config.stack.processes import Program

BASE = Path(__file__).resolve().parent.parent.parent
WEB_PROCESSES, THREADS = 2, 32  # more threads than connections: whoever waits for a shared commit holds none
CONNECTIONS = 16


def programs(folder: Folder) -> list[Program]:
    environment = os.environ
    return [
        Program("inbox", inbox(folder, environment["SMTP_PORT"], environment["INBOX_PORT"])),
        Program("incoming", [sys.executable, str(BASE / "manage.py"), "receive_mail"], first_to_end=True),
        Program("critical", worker("critical", "mail.text,mail.critical", 2), WORKER),  # the inbox here is never slow
        Program("events", worker("events", "sweep,events", 1), WORKER),  # the story goes on while mail is slow
        Program("bulk", worker("bulk", "mail.bulk", 1), WORKER),
        Program("webhooks", worker("webhooks", "webhooks", 1), WORKER),  # told at once, however long a mailing takes
        Program("beat", beat(), first_to_end=True),
        Program("stream", stream(environment["STREAM_PORT"]), first_to_end=True),
        Program("web", web(environment["PORT"]), {"DATABASE_POOL": str(CONNECTIONS)}, first_to_end=True),
    ]


# A worker that is asked to end hands back what it cannot finish; a bare SIGTERM would wait for it without limit.
WORKER = {"REMAP_SIGTERM": "SIGQUIT"}


def web(port: str) -> list[str]:
    """Threads of a WSGI server: the ORM does not like an event loop, and a pool of connections likes threads."""
    options = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", port, "--http", "1", "--no-ws"]
    size = ["--workers", str(WEB_PROCESSES), "--blocking-threads", str(THREADS), "--respawn-failed-workers"]
    ending = [
        "--workers-kill-timeout",
        "10",
        "--log-level",
        "error",
    ]  # its one warning, at each start, is about the threads that we want
    return [sys.executable, "-m", "granian", *options, *size, *ending, "config.wsgi:application"]


def stream(port: str) -> list[str]:
    """An event loop for connections that stay open and do nothing: threads of the web are for work."""
    options = ["--interface", "asgi", "--host", "127.0.0.1", "--port", port, "--http", "1", "--no-ws"]
    ending = ["--workers", "1", "--respawn-failed-workers", "--workers-kill-timeout", "1", "--log-level", "error"]
    return [sys.executable, "-m", "granian", *options, *ending, "incidents.stream.asgi:application"]


def celery(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "celery", "--quiet", "-A", "config", *arguments]


def worker(name: str, queues: str, processes: int) -> list[str]:
    # Mingle and gossip leave reply keys behind that never expire.
    quiet = ["--without-mingle", "--without-gossip"]
    return celery("worker", "-n", f"{name}@holdfast", "-Q", queues, "-c", str(processes), "-P", "prefork", *quiet)


def beat() -> list[str]:
    return celery("beat", "--scheduler", "celery.beat.Scheduler")  # it keeps nothing on disk


def inbox(folder: Folder, smtp_port: str, page_port: str) -> list[str]:
    return [sys.executable, "-m", "config.stack.inbox", smtp_port, page_port, str(folder.inbox)]
