"""What several test files share: the folder of real photos beside the checkout, small encoders, the command line."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as genba.py does, before anything imports torch

CHECKOUT = Path(__file__).resolve().parent.parent
hypothesis.settings.register_profile("genba", deadline=None)  # the first example often imports a library
hypothesis.settings.load_profile("genba")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(CHECKOUT), "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real photos and the small real encoder. Tests that need it say so when it is absent."""
    folder = Path(os.environ.get("GENBA_SHARED", CHECKOUT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"needs the real photos: no {folder}/data (set GENBA_SHARED to their folder)")
    return folder


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random encoder in open_clip's local-dir format that loads in a moment."""
    from tests.scoring.conftest import write_tiny_encoder

    return write_tiny_encoder(tmp_path_factory.mktemp("encoders") / "tiny", {"languages": ["en", "ja"]})


@dataclass(frozen=True)
class Done:
    """A finished command."""

    returncode: int
    stdout: str
    stderr: str

    def json(self) -> dict[str, Any]:
        """What --json printed; the command must have succeeded and printed exactly one object."""
        assert self.returncode == 0, self.stderr
        return dict(json.loads(self.stdout))


def genba(*words: str, cwd: Path | None = None, timeout: float = 300) -> Done:
    """Run the real command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "genba", *words], cwd=cwd or CHECKOUT, env=ENVIRONMENT, text=True,
        capture_output=True, timeout=timeout,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for a condition; fail with `what` when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.1)
