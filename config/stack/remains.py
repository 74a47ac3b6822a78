"""Finds and ends what a launcher left behind. Every process of a stack has its folder in the environment."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil

from config.stack.folder import Folder
from config.stack.servers import Postgres, wait
from config.stack.valkey import Valkey

MARK = "HOLDFAST_STACK"


def processes_of(folder: Path) -> Iterator[psutil.Process]:
    """All but the caller and whoever started it."""
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        try:
            if process.pid not in spared and process.environ().get(MARK) == str(folder):
                yield process
        except psutil.Error:
            continue  # gone, or somebody else's


def end(folder: Folder, *, launcher_too: bool) -> int:
    """End what runs of this stack, servers last. Returns how many processes there were."""
    found = list(processes_of(folder.path))
    launcher = folder.read("running").get("launcher")
    if launcher_too and (leader := next((p for p in found if p.pid == launcher), None)):
        leader.send_signal(signal.SIGTERM)  # it ends the others in order, then itself
        wait([leader], 60)
    servers = {"postgres", "valkey-server"}
    others = [p for p in processes_of(folder.path) if name_of(p) not in servers]
    for process in others:
        quietly(process, signal.SIGTERM)
    for process in wait(others, 10):
        quietly(process, signal.SIGKILL)
    Valkey(folder.valkey).stop()
    if folder.postgres.exists():
        Postgres(folder.postgres).stop()
    for process in wait(list(processes_of(folder.path)), 5):
        quietly(process, signal.SIGKILL)
    return len(found)


def name_of(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return ""


def quietly(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.Error:
        return
