"""A gateway before a real Label Studio that can misbehave, as proxies and networks do."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Rule = Callable[[str, str], str]


def well(method: str, path: str) -> str:
    """Passes everything on."""
    return "pass"


@dataclass
class Gateway:
    """What it does with a request is what `rule(method, path)` says.

    pass  hand it on, hand the answer back        late  the same, but the answer comes a second later
    504   hand it on, answer 504                  cut   hand it on, then close without an answer
    drop  close without handing it on             hold  hand it on, set `arrived`, answer when `go_on` is set
    """

    behind: str
    port: int = 0
    rule: Rule = well
    seen: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, what was done
    arrived: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self, method: str, word: str) -> int:
        """Requests whose path has the word."""
        return sum(one[0] == method and word in one[1] for one in self.seen)


@contextmanager
def gateway(behind: str, rule: Rule = well) -> Iterator[Gateway]:
    """A running gateway on a port of its own."""
    at = Gateway(behind, rule=rule)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(at))
    server.daemon_threads = True
    at.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield at
    finally:
        at.go_on.set()
        server.shutdown()
        server.server_close()


def _handler(at: Gateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            what = at.rule(self.command, self.path)
            at.seen.append((self.command, self.path, what))
            if what == "drop":
                self.close_connection = True
                return
            status, kind, answer = self._behind(body)
            if what == "late":
                time.sleep(1.0)
            elif what == "hold":
                at.arrived.set()
                at.go_on.wait(60)
            if what in ("cut", "hold"):
                self.close_connection = True
                return
            if what == "504":
                status, answer = 504, b"<html>gateway timeout</html>"
            try:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
            except OSError:
                self.close_connection = True  # whoever asked has gone

        def _behind(self, body: bytes) -> tuple[int, str, bytes]:
            names = ("Authorization", "Content-Type", "Accept")
            headers = {name: self.headers[name] for name in names if self.headers[name]}
            request = urllib.request.Request(
                at.behind + self.path, body or None, headers, method=self.command
            )
            try:
                with urllib.request.urlopen(request, timeout=60) as found:
                    return found.status, found.headers.get("Content-Type", ""), found.read()
            except urllib.error.HTTPError as error:
                return error.code, error.headers.get("Content-Type", ""), error.read()
            except OSError:
                return 502, "text/plain", b"nobody behind"

        do_GET = do_POST = do_PATCH = do_DELETE = handle_any

        def log_message(self, format: str, *given: object) -> None:
            """Quiet."""

    return Handler
