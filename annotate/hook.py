"""The webhook of Label Studio: a hint that something has changed there, which queues a sync. Never more than a hint.

    Route(PATH, route(site), methods=["POST"])        # in app.py

Label Studio sends it once, waits a second at most, and forgets it. So the route answers at once and reads nothing of
what is told; a hint that is lost costs the half minute until the worker looks by itself.
"""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from annotate.label_studio_projects import SECRET_HEADER
from data.errors import GenbaError
from data.jobs import enqueue
from data.settings import is_loopback
from data.site import Site

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

PATH = "/hooks/label-studio"
MOST_BYTES = 64 * 1024
GATHER_SECONDS = 0.5
SENDER = "Label Studio"
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  (recognised, not bound)
log = logging.getLogger("genba.web")


def hook_address(site: Site) -> str | None:
    """Where the embedded Label Studio reaches the web app. None for one's own server: it is asked every half minute."""
    web = site.settings.web
    host = "127.0.0.1" if web.host in ANY_ADDRESS else web.host
    if site.settings.label_studio.mode != "embedded" or not is_loopback(host):
        return None
    return f"http://{host}:{web.port}{PATH}"


def hook_secret(site: Site) -> str:
    """What Label Studio sends along, and nobody else knows."""
    return site.secret("hook")


def route(site: Site) -> Callable[[Request], Awaitable[Response]]:
    """The web app's answer to a hint: 403 without our secret, 413 for a long body, else 204 at once, and a sync."""
    waker = Waker(site)

    async def hint(request: Request) -> Response:
        from starlette.background import BackgroundTask
        from starlette.responses import Response

        if not waker.knows(request.headers.get(SECRET_HEADER, "")):
            return Response(status_code=403)
        received = 0
        async for part in request.stream():
            received += len(part)
            if received > MOST_BYTES:
                return Response(status_code=413)
        return Response(status_code=204, background=BackgroundTask(waker.wake))

    return hint


@dataclass
class Waker:
    """Queues a sync for each hint, at most one that waits, however many hints come at once."""

    site: Site
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def knows(self, secret: str) -> bool:
        """Whether the sender knows our secret; takes as long for a wrong one as for the right one."""
        return hmac.compare_digest(secret.encode(), hook_secret(self.site).encode())

    def wake(self) -> None:
        """Queue a sync, unless one waits. Rows of hints served before go: they would drown the others."""
        if not self._turn.acquire(blocking=False):
            return  # the one who is about to queue it speaks for us too
        try:
            time.sleep(GATHER_SECONDS)  # many answers at once are one hint, and one write
            with self.site.connect() as db:
                db.execute(
                    "DELETE FROM jobs WHERE name = 'sync' AND requested_by = ? AND state = 'done'", [SENDER]
                )
                enqueue(db, "sync", requested_by=SENDER)
        except GenbaError as error:
            log.warning("a hint of Label Studio is lost, the next look finds what it meant: %s", error)
        finally:
            self._turn.release()
