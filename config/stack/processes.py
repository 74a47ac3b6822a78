"""Runs the product's processes: one coloured stream of their lines, again when one falls, and all ended together."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

GRACE = 20  # seconds between the request to end and the end
PATIENCE = 5  # falls within a minute of its start before we stop trying
COLOURS = (36, 33, 32, 35, 34, 31)


@dataclass
class Program:
    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    first_to_end: bool = False  # what makes new work ends before what does it


@dataclass
class Running:
    program: Program
    process: subprocess.Popen[bytes]
    started: float


class Supervisor:
    """Every program is a session of its own: Ctrl-C reaches the launcher alone, and a group can be ended whole."""

    def __init__(self, programs: list[Program], environment: dict[str, str]) -> None:
        self.programs = programs
        self.environment = environment
        self.width = max(len(program.name) for program in programs)
        self.running: dict[str, Running] = {}
        self.falls: dict[str, int] = {}
        self.asked_to_end = threading.Event()

    def start_all(self) -> None:
        for program in self.programs:
            self.start(program)

    def start(self, program: Program) -> None:
        process = subprocess.Popen(
            program.command,
            env=self.environment | program.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.running[program.name] = Running(program, process, time.monotonic())
        threading.Thread(target=self.relay, args=(program, process), daemon=True).start()

    def relay(self, program: Program, process: subprocess.Popen[bytes]) -> None:
        prefix = f"{program.name:<{self.width}} | "
        if sys.stdout.isatty():
            prefix = f"\033[{COLOURS[self.programs.index(program) % len(COLOURS)]}m{prefix}\033[0m"
        for line in iter(process.stdout.readline, b""):  # type: ignore[union-attr]
            self.say(prefix + line.decode("utf-8", "replace").rstrip())

    @staticmethod
    def say(line: str) -> None:
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except (OSError, ValueError):  # whoever read our output has gone; the product goes on
            return

    def watch(self, still_starting: Callable[[], None] | None = None) -> int:
        """Until somebody asks for the end, or a program falls again and again. Returns the exit code."""
        while not self.asked_to_end.wait(0.2):
            if still_starting:
                still_starting()
            for running in list(self.running.values()):
                if running.process.poll() is not None and not self.take_up_again(running):
                    return 1
        return 0

    def take_up_again(self, running: Running) -> bool:
        name, code = running.program.name, running.process.returncode
        lived = time.monotonic() - running.started
        self.falls[name] = self.falls.get(name, 0) + 1 if lived < 60 else 1
        if self.falls[name] >= PATIENCE:
            self.say(f"{name} ended {PATIENCE} times within a minute of its start (exit code {code}); giving up.")
            return False
        self.say(f"{name} ended (exit code {code}); starting it again.")
        end_group(running.process.pid, signal.SIGKILL)  # what it left of its children
        self.start(running.program)
        return True

    def end_all(self) -> None:
        """Those that make work first, then those that do it; whoever does not listen is killed."""
        for first in (True, False):
            ending = [r for r in self.running.values() if r.program.first_to_end is first]
            for running in ending:
                if running.process.poll() is None:
                    running.process.terminate()
            deadline = time.monotonic() + GRACE
            for running in ending:
                try:
                    running.process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    self.say(f"{running.program.name} did not end within {GRACE} s; killing it.")
                end_group(running.process.pid, signal.SIGKILL)
                running.process.wait()


def end_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return
