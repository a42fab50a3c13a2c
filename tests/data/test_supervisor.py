"""The supervisor with real processes: whatever ends it, nothing stays behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from data.errors import GenbaError
from data.supervisor import require_free_port

PROGRAM = """
import sys
from pathlib import Path
from data.supervisor import Service, run
folder = Path(sys.argv[1])
child = "import os,subprocess,sys,time;open(sys.argv[1],'a').write(f'{os.getpid()}\\\\n');" + sys.argv[2]
commands = {n: [sys.executable, "-c", child, str(folder / f"{n}.pid")] for n in ("a", "b")}
services = [Service(n, command, folder / "logs" / f"{n}.log") for n, command in commands.items()]
print_now = lambda *words: print(*words, flush=True)
run(services, folder / "up.lock", print_now, lambda one: print_now("healthy", one.name))
"""
SLEEPS = "time.sleep(600)"
STARTS_ANOTHER = "subprocess.Popen([sys.executable,'-c','import time;time.sleep(600)']);time.sleep(600)"
DIES = "sys.exit(3)"


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def pids(folder: Path, name: str) -> list[int]:
    path = folder / f"{name}.pid"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def begin(body: str, ignore_interrupt: bool = False) -> subprocess.Popen[str]:
        def ignore() -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # what a shell does to a background job

        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path), body],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            preexec_fn=ignore if ignore_interrupt else None, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("background", [False, True])
def test_a_signal_stops_all_and_leaves_no_process(start, tmp_path, number: int, background: bool) -> None:
    process = start(STARTS_ANOTHER, ignore_interrupt=background)
    until(lambda: pids(tmp_path, "a") and pids(tmp_path, "b"))
    children = psutil.Process(process.pid).children(recursive=True)
    until(lambda: len(psutil.Process(process.pid).children(recursive=True)) == 4)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    assert process.wait(timeout=15) == 0
    until(
        lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    )


@pytest.mark.skipif(
    sys.platform != "linux", reason="the kernel ends children of a killed parent on Linux only"
)
def test_killing_the_supervisor_ends_its_children(start, tmp_path) -> None:
    process = start(SLEEPS)
    until(lambda: pids(tmp_path, "a") and pids(tmp_path, "b"))
    process.kill()
    until(lambda: not any(psutil.pid_exists(pid) for pid in pids(tmp_path, "a") + pids(tmp_path, "b")))


def test_a_process_that_dies_is_started_again(start, tmp_path) -> None:
    process = start(DIES)
    until(lambda: len(pids(tmp_path, "a")) >= 2)
    process.terminate()
    said = process.communicate(timeout=15)[0]
    assert "a ended with code 3; starting again in 1 s" in said


def test_a_second_supervisor_is_refused(start, tmp_path) -> None:
    start(SLEEPS)
    until(lambda: pids(tmp_path, "a"))
    second = start(SLEEPS)
    assert "This site is already running" in second.communicate(timeout=15)[0]
    assert second.returncode == 1
    assert len(pids(tmp_path, "a")) == 1


def test_a_busy_port_names_the_setting_and_the_holder() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            GenbaError, match=rf"Port {port} \(web\.port in genba\.toml\).*process {os.getpid()}"
        ):
            require_free_port("127.0.0.1", port, "web.port")
    require_free_port("127.0.0.1", port, "web.port")
