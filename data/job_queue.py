"""Wakes the worker when a job was queued. The only module that knows the queue library (huey).

    wake(root)                       # after the row of the job is committed: data/jobs.py
    queue = WakeQueue.open(site)     # in the worker
    while ...: queue.wait()          # returns when woken, or after a moment

huey forgets a task that was running when its process is killed, so no job ever lies in it: it carries nothing but "look
at the jobs table". A wake-up that is lost (a crash between commit and wake-up, a Redis that is down) costs at most
LOOK_SECONDS: so often the worker looks by itself. Messages are JSON: whoever can write into the queue can wake the
worker, and nothing else.

[worker] queue = "sqlite" (SITE/wake.sqlite) or "redis://HOST:PORT/DATABASE"
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from data.settings import load_settings

if TYPE_CHECKING:
    import huey

FILE = "wake.sqlite"
FIRST_WAIT, LONGEST_WAIT = 0.05, 0.4  # seconds between looks into the queue, growing while nothing comes
LOOK_SECONDS = 10.0  # at least so often the worker looks at the jobs table itself
BUSY_SECONDS = 2.0
MESSAGE_BYTES = 4096
log = logging.getLogger("genba.queue")


def wake(root: Path) -> None:
    """Tell the worker of a site that a job waits. The job itself is in the store already, so a queue that does not
    answer is no failure of the caller's: it is logged, and the worker finds the job by itself within LOOK_SECONDS."""
    import redis

    try:
        queue = _open(root, load_settings(root / "genba.toml").worker.queue)
        try:
            if not queue.pending_count():  # one wake-up is enough for all that waits
                queue.enqueue(_task(queue).s())
        finally:
            _close(queue)
    except (sqlite3.Error, redis.RedisError, OSError, GenbaError) as trouble:
        log.warning("the worker was not woken, and looks by itself within %.0f s: %s", LOOK_SECONDS, trouble)


@dataclass
class WakeQueue:
    """The worker's end."""

    queue: huey.Huey
    consumer: Any  # huey's own worker: takes a message, runs it, waits longer and longer while none comes
    woken: threading.Event

    @classmethod
    def open(cls, root: Path, name: str, stopping: threading.Event) -> WakeQueue:
        """name: [worker] queue. Raises GenbaError when the queue cannot be reached now. Old wake-ups are dropped:
        a worker looks at the jobs table when it starts."""
        import redis
        from huey.consumer import Worker

        woken = threading.Event()
        try:
            queue = _open(root, name)
            queue.flush()
        except (sqlite3.Error, redis.RedisError, OSError) as trouble:
            raise GenbaError(f"The queue {name!r} of [worker] in genba.toml cannot be used: {trouble}.",
                             next="start it, or set queue = 'sqlite'") from None  # fmt: skip
        _task(queue, woken.set)
        return cls(queue, Worker(queue, stopping, FIRST_WAIT, LONGEST_WAIT, backoff=1.3), woken)

    def wait(self) -> None:
        """One look into the queue: returns at once when woken, else after a moment (with Redis: a second).

        Trouble with the queue is logged by huey and waited out, for the jobs table can be read without it.
        """
        self.consumer.loop()

    def close(self) -> None:
        """Let go of the queue's file or connection."""
        _close(self.queue)


def _open(root: Path, name: str) -> huey.Huey:
    import huey
    from huey.storage import RedisStorage, SqliteStorage

    more: dict[str, Any] = {"results": False, "serializer": json_serializer()}
    if name == "sqlite":
        return huey.Huey("genba", storage_class=SqliteStorage, filename=str(root / FILE), timeout=BUSY_SECONDS,
                         fsync=False, cache_mb=0, **more)  # fmt: skip
    # Several sites may share one Redis. huey takes an address or parameters: the time limit goes into the address.
    address = f"{name}{'&' if '?' in name else '?'}socket_connect_timeout={BUSY_SECONDS}"
    own = f"genba{sha256(str(root).encode()).hexdigest()[:16]}"
    return huey.Huey(own, storage_class=RedisStorage, url=address, **more)


def _close(queue: huey.Huey) -> None:
    queue.storage.close()
    if hasattr(queue.storage, "pool"):  # Redis: the storage's own close does nothing
        queue.storage.pool.disconnect()


def _task(queue: huey.Huey, on_wake: Any = None) -> Any:
    """The one task there is; both ends must name it alike."""

    def look() -> None:
        if on_wake:
            on_wake()

    return queue.task(name="look")(look)


def json_serializer() -> Any:
    """A serializer of huey for its messages, as a JSON list of plain values; everything else is refused.

    huey's own is pickle, which runs code when it is read.
    """
    from huey.registry import Message
    from huey.serializer import Serializer

    class JsonSerializer(Serializer):
        def _serialize(self, data: Any) -> bytes:
            if not isinstance(data, Message):
                raise TypeError(f"only messages go through the queue, not {type(data).__name__}")
            return json.dumps(list(data)).encode()

        def _deserialize(self, data: bytes) -> Any:
            raw = bytes(data)
            if len(raw) > MESSAGE_BYTES:
                raise ValueError(f"a message of {len(raw)} bytes")
            values = json.loads(raw)
            if not isinstance(values, list) or len(values) != len(Message._fields):
                raise ValueError("not a message of this version")
            return Message(*values)

    return JsonSerializer()
