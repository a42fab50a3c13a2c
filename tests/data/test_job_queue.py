"""What wakes the worker: it is quick, it may be lost, it is JSON, and nothing in it is ever unpickled."""

from __future__ import annotations

import os
import pickle
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from data import job_queue
from data.errors import GenbaError
from data.job_queue import FILE, WakeQueue, json_serializer, wake
from data.jobs import enqueue
from data.settings import set_value
from data.site import Site, init_site
from tests.conftest import free_port, until


@pytest.fixture
def site(tmp_path: Path, tiny_encoder: Path) -> Site:
    (tmp_path / "photos").mkdir()
    return init_site(tmp_path / "site", [tmp_path / "photos"], "parts", f"local-dir:{tiny_encoder}")


def opened(site: Site) -> WakeQueue:
    return WakeQueue.open(site.root, Site.open(site.root).settings.worker.queue, threading.Event())


def woken(queue: WakeQueue, seconds: float = 5.0) -> float | None:
    """How long it took, or None when nothing came."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        queue.wait()
        if queue.woken.is_set():
            queue.woken.clear()
            return time.monotonic() - began
    return None


def put(site: Site) -> None:
    with site.connect() as db:
        enqueue(db, "score", {"n": time.monotonic_ns()})


class Bomb:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def check(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is true of every queue."""

    def refuse(*_args: object, **_more: object) -> object:
        raise AssertionError("something was unpickled")

    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)
    put(site)  # nobody listens: nothing is lost that is not in the store
    queue = opened(site)
    try:
        assert woken(queue, 1.5) is None  # a worker looks by itself when it starts
        threading.Timer(0.5, put, [site]).start()
        took = woken(queue)
        assert took is not None and took < 1.5
        for _ in range(20):
            put(site)
        assert queue.queue.pending_count() == 1  # one for all
        assert woken(queue) is not None and woken(queue, 1.5) is None
    finally:
        queue.close()


def test_sqlite(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    check(site, monkeypatch)


@pytest.fixture
def redis_address(tmp_path: Path) -> Iterator[str]:
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("needs a Redis server: apt-get install redis-server")
    port = free_port()
    process = subprocess.Popen(
        [server, "--port", str(port), "--save", "", "--dir", str(tmp_path), "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
    )
    try:
        import redis

        until(lambda: _answers(redis.Redis(port=port)), 20, "Redis answers")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


def _answers(client: object) -> bool:
    import redis

    try:
        return bool(client.ping())  # type: ignore[attr-defined]
    except redis.ConnectionError:
        return False


def test_redis_when_it_is_named(site: Site, redis_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_value(site.settings_path, "worker", "queue", redis_address)
    check(site, monkeypatch)
    assert not (site.root / FILE).exists()


def test_a_redis_that_is_down_loses_no_job_and_is_told(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    set_value(site.settings_path, "worker", "queue", f"redis://127.0.0.1:{free_port()}/0")
    put(site)
    with site.connect() as db:
        assert db.value("SELECT count(*) FROM jobs WHERE state = 'queued'") == 1
    assert "the worker was not woken" in caplog.text
    with pytest.raises(GenbaError, match=r"The queue 'redis://.* cannot be used: .*queue = 'sqlite'"):
        opened(site)


def test_a_pickle_in_the_queue_is_not_opened_and_what_comes_after_it_wakes(
    site: Site, tmp_path: Path
) -> None:
    queue = opened(site)
    try:
        for blob in (pickle.dumps(Bomb(tmp_path / "made")), b"[1]", b"{}", b"[" * 5000):
            with sqlite3.connect(site.root / FILE) as connection:
                connection.execute(
                    "INSERT INTO task (queue, data, priority) VALUES (?, ?, 0)", (queue.queue.name, blob)
                )
        assert woken(queue, 3) is None
        assert not (tmp_path / "made").exists()
        wake(site.root)
        assert woken(queue) is not None
    finally:
        queue.close()


def test_the_serializer_takes_messages_alone() -> None:
    serializer = json_serializer()
    with pytest.raises(TypeError, match="only messages"):
        serializer.serialize({"a": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        serializer.serialize(
            serializer.deserialize(b"[" + b"null," * 14 + b"null]")._replace(args=[Bomb(Path())])
        )


def test_a_transaction_that_is_rolled_back_wakes_nobody(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []
    monkeypatch.setattr("data.jobs.wake", calls.append)
    with pytest.raises(ZeroDivisionError), site.connect() as db:
        enqueue(db, "score")
        raise ZeroDivisionError
    assert calls == []
    with site.connect() as db:
        enqueue(db, "score")
        enqueue(db, "map")
        assert calls == []  # not before the commit
    assert calls == [site.root]
    assert job_queue.LOOK_SECONDS <= 10
