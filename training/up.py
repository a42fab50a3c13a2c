"""`genba up SITE`: Label Studio + web + worker on loopback, under one supervisor."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path

from data import supervisor
from data.errors import GenbaError
from data.site import Site
from data.supervisor import Service

CHECKOUT = Path(__file__).resolve().parent.parent
# Training asks for the same large blocks at every step; giving each back to the kernel costs a fifth of the time.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**31 - 2**12)}


def up(site: Site, say: Callable[[str], None]) -> int:
    """Start all three, print each address once it works, run until a signal. See data/supervisor.py."""
    from annotate import label_studio_server

    settings = site.settings
    if supervisor.is_held(lock := site.root / "up.lock"):
        raise GenbaError(
            f"This site is already up at {web_address(site)}.",
            next="open that address, or stop the other `genba up`",
        )
    supervisor.require_free_port(settings.web.host, settings.web.port, "web.port")
    if settings.label_studio.mode == "embedded":
        supervisor.require_free_port("127.0.0.1", settings.label_studio.port, "label_studio.port")

    def on_healthy(service: Service) -> None:
        if service.name == "web":
            say(
                f"web           {web_address(site)}   (no sign-in on this machine: enter your name on the page)"
            )
            _open_browser(web_address(site))
        elif service.name == "label-studio":
            account = label_studio_server.credentials(site.folder("label-studio"))
            say(f"Label Studio  {label_studio_address(site)}   sign-in: {account.email}  {account.password}")

    say(f"starting {site.settings.site.name} ({site.root}); logs in {site.root / 'logs'}; Ctrl-C stops all")
    if settings.label_studio.mode == "embedded":
        say("Label Studio's first start takes about half a minute; the web page opens before it")
    return supervisor.run(services(site), lock, say, on_healthy)


def services(site: Site) -> list[Service]:
    """The processes of a site. Web first: a person sees the page while the others start."""
    from annotate import label_studio_server

    logs = site.folder("logs")
    python = [sys.executable, "-m"]
    rooms = {"PYTHONPATH": os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH", "")]))}
    found = [
        Service("web", [*python, "genba", "web", str(site.root)], logs / "web.log", rooms,
                web_address(site) + "/healthz"),
        Service("worker", [*python, "genba", "worker", str(site.root)], logs / "worker.log", rooms | KEEP_MEMORY),
    ]  # fmt: skip
    if site.settings.label_studio.mode == "embedded":
        folder, port = site.folder("label-studio"), site.settings.label_studio.port
        environment = rooms | label_studio_server.environment(folder, port)
        found.append(
            Service("label-studio", label_studio_server.command(folder, port), logs / "label-studio.log",
                    environment, label_studio_address(site) + "/health")
        )  # fmt: skip
    return found


def web_address(site: Site) -> str:
    """Where people open the app."""
    return f"http://{site.settings.web.host}:{site.settings.web.port}"


def label_studio_address(site: Site) -> str:
    """Where Label Studio answers."""
    section = site.settings.label_studio
    return section.url if section.mode == "server" else f"http://127.0.0.1:{section.port}"


def _open_browser(address: str) -> None:
    """Open the page when there is a screen."""
    has_screen = (
        sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if has_screen and "CI" not in os.environ:
        webbrowser.open(address)
