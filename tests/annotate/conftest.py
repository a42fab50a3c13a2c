"""One real Label Studio for all tests of this folder: starting it takes 5 s, or 30 s the first time on a machine."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

from annotate import label_studio_server as server
from annotate.label_studio import LabelStudio, connect
from tests.conftest import CHECKOUT, free_port

# What a caller's environment may hold, and what must make no difference to the server.
HOSTILE = {
    "SECRET_KEY": "$a1b2", "HOST": "http://elsewhere.example", "DEBUG": "true", "COLLECT_ANALYTICS": "true",
    "SENTRY_DSN": "http://key@127.0.0.1:9/1", "FRONTEND_SENTRY_DSN": "http://key@127.0.0.1:9/2",
    "DISABLE_SIGNUP_WITHOUT_LINK": "false", "USE_DEFAULT_BANNED_SUBNETS": "false",
}  # fmt: skip


@dataclass
class RunningLabelStudio:
    """The server of the site folder `root`, as a child process that can be stopped and started again."""

    root: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def folder(self) -> Path:
        return self.root / "label-studio"

    @property
    def url(self) -> str:
        return server.address(self.port)

    @property
    def account(self) -> server.Credentials:
        return server.credentials(self.folder)

    def client(self) -> LabelStudio:
        return connect(self.url, self.account.token)

    def start(self) -> None:
        with (self.root / "label-studio.log").open("ab") as log:
            self.process = subprocess.Popen(
                server.command(self.folder, self.port),
                cwd=CHECKOUT,
                stdout=log,
                stderr=log,
                env=self.environment(),
            )
        deadline = time.monotonic() + 180
        while not server.is_healthy(self.url):
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail((self.root / "label-studio.log").read_text()[-3000:])
            time.sleep(0.1)

    def environment(self) -> dict[str, str]:
        """Of whoever starts it."""
        return {**os.environ, **HOSTILE}

    def packages(self) -> str:
        """Where Label Studio's own modules lie, which it imports by their last names."""
        found = find_spec("label_studio")
        assert found and found.origin
        return os.pathsep.join([str(CHECKOUT), str(Path(found.origin).parent)])

    def kill(self) -> None:
        """As a power cut would."""
        if self.process:
            self.process.kill()
            self.process.wait(timeout=60)
            self.process = None

    def stop(self) -> float:
        """Stop it; seconds until it was gone."""
        began = time.monotonic()
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=60)
            self.process = None
        return time.monotonic() - began


@contextmanager
def started(root: Path) -> Iterator[RunningLabelStudio]:
    """A server of its own for the site folder `root`, stopped at the end."""
    (root / "served").mkdir(parents=True)
    running = RunningLabelStudio(root, free_port())
    running.start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLabelStudio]:
    with started(tmp_path_factory.mktemp("label-studio-site")) as running:
        yield running
