"""Runs a site's processes as one: starts them, watches them, starts again what died, stops all of them together.

Knows nothing of what the processes do: `genba up` (genba.py) hands in their commands.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from data.errors import GenbaError

STOP_SECONDS = 8.0  # after that a process that does not end is killed
RESTART_SECONDS = (1.0, 2.0, 5.0, 15.0, 60.0)  # waits before the next start of a process that keeps dying


@dataclass(frozen=True)
class Service:
    """One process. `health` is an address that answers 2xx once it works; None: it counts as working at once."""

    name: str
    command: list[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    health: str | None = None


@dataclass
class _Running:
    service: Service
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    started_at: float
    healthy: bool = False
    failures: int = 0
    start_again_at: float | None = None


def require_free_port(host: str, port: int, setting: str) -> None:
    """Raises GenbaError that names the setting and the holder when the port is taken."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            return
        except OSError as error:
            reason = error.strerror
    raise GenbaError(
        f"Port {port} ({setting} in genba.toml) cannot be used: {reason}; {_holder(port)}.",
        next=f"stop that program, or set another {setting}",
    )


def _holder(port: int) -> str:
    import psutil

    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return "the holder cannot be seen without more rights"
    for connection in connections:
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
            if connection.pid is None:
                break
            process = psutil.Process(connection.pid)
            return (
                f"it is held by process {process.pid} ({' '.join(process.cmdline())[:120] or process.name()})"
            )
    return "it is held by a process of another user"


def is_healthy(address: str) -> bool:
    """Whether the address answers 2xx within two seconds."""
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:  # noqa: S310  (our own loopback address)
            return bool(200 <= answer.status < 300)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def is_held(path: Path) -> bool:
    """Whether a living process holds a file lock: the system gives back those of dead ones."""
    if not path.exists():
        return False
    guard = FileLock(str(path), timeout=0)
    try:
        guard.acquire()
    except Timeout:
        return True
    guard.release()
    return False


def run(
    services: Sequence[Service],
    lock: Path,
    say: Callable[[str], None],
    on_healthy: Callable[[Service], None],
) -> int:
    """Run the services until a signal (INT, TERM, HUP) or the end of the parent; return 0.

    on_healthy is called once for each service, when it first works. Raises GenbaError when another supervisor runs
    this site.
    """
    guard = FileLock(str(lock), timeout=0)
    try:
        guard.acquire()
    except Timeout:
        raise GenbaError(
            f"This site is already running (lock {lock}).", next="stop the other `genba up`"
        ) from None
    stopping: list[int] = []
    # Set explicitly: a shell that starts us in the background leaves INT ignored, which Python would keep.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    parent = os.getppid()
    running = [_start(service) for service in services]
    announced: set[str] = set()
    try:
        while not stopping and os.getppid() == parent:
            for one in running:
                _look_after(one, say, on_healthy, announced)
            time.sleep(0.3)
    finally:
        say("stopping …")
        _stop(running)
        guard.release()
    return 0


def _start(service: Service) -> _Running:
    service.log.parent.mkdir(exist_ok=True)
    log = service.log.open("ab")
    process = subprocess.Popen(
        service.command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **service.environment},
        start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops the others in order
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # no thread runs yet
    )
    return _Running(service, process, log, time.monotonic())


def _die_with_parent() -> None:
    """Linux: have the kernel end this child when the supervisor is killed with -9."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _look_after(
    one: _Running, say: Callable[[str], None], on_healthy: Callable[[Service], None], announced: set[str]
) -> None:
    if one.start_again_at is not None:
        if time.monotonic() >= one.start_again_at:
            fresh = _start(one.service)
            one.process, one.log, one.started_at, one.start_again_at = (
                fresh.process,
                fresh.log,
                fresh.started_at,
                None,
            )
        return
    code = one.process.poll()
    if code is not None:
        one.log.close()
        wait = RESTART_SECONDS[min(one.failures, len(RESTART_SECONDS) - 1)]
        say(
            f"{one.service.name} ended with code {code}; starting again in {wait:.0f} s (log: {one.service.log})"
        )
        one.failures, one.healthy, one.start_again_at = one.failures + 1, False, time.monotonic() + wait
    elif not one.healthy and (one.service.health is None or is_healthy(one.service.health)):
        one.healthy = True
        if one.service.name not in announced:
            announced.add(one.service.name)
            on_healthy(one.service)
    elif one.healthy and time.monotonic() - one.started_at > 120:
        one.failures = 0


def _stop(running: Sequence[_Running]) -> None:
    """TERM to every process group, KILL to what is left, and wait: nothing stays behind."""
    for one in running:
        _signal_group(one.process, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    for one in running:
        try:
            one.process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            one.log.write(b"did not end in time: killed\n")
    for one in running:
        _signal_group(one.process, signal.SIGKILL)  # also what a service started itself and left
        one.process.wait()
        one.log.close()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return  # the whole group has ended already, which is what was asked for
