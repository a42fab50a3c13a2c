"""The web shell: one process that serves the pages, signed photos and /healthz. `genba up SITE` starts it.

    python -m genba web SITE          # the address stands in SITE/genba.toml, [web]

The file is read twice: `serve` builds the server from it, and the server runs it as the script of every page.
"""

from __future__ import annotations

import functools
import math
import os
import re
import secrets
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from annotate import explore_held, hook
from annotate.pages import memory, own_words, person
from annotate.people import known_account
from dashboards.pages import all_pages
from data.errors import GenbaError
from data.messages import LANGUAGES, translator
from data.settings import is_loopback
from data.sign_in import LOOPBACK_NAMES, allowed_hosts
from data.site import Site

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

HERE = Path(__file__).resolve().parent
FONT = (
    '"Source Sans", "Hiragino Sans", "Yu Gothic UI", Meiryo, "Noto Sans CJK JP", "Noto Sans JP", sans-serif'
)
THEME = {
    "base": "light", "primaryColor": "#0b5a78", "backgroundColor": "#ffffff", "secondaryBackgroundColor": "#eef2f4",
    "textColor": "#0e171c", "linkColor": "#0b5a78", "borderColor": "#cfd8dd", "font": FONT, "headingFont": FONT,
    "baseFontSize": 15, "baseRadius": "6px", "buttonRadius": "6px", "showWidgetBorder": True,
    "headingFontSizes": ["1.55rem", "1.3rem", "1.15rem", "1.05rem", "1rem", "0.9rem"], "headingFontWeights": 600,
    "metricValueFontSize": "1.9rem", "paddingTop": "0.5rem", "paddingBottom": "1rem",
    "sidebar.backgroundColor": "#1d2b34", "sidebar.secondaryBackgroundColor": "#2b3c47",
    "sidebar.textColor": "#f2f5f6", "sidebar.primaryColor": "#8fd0e6", "sidebar.borderColor": "#425663",
    "sidebar.linkColor": "#bfe4f1", "sidebar.paddingTop": "0",
}  # fmt: skip
LONGEST_REPORT = 1000  # bytes
COOKIE_SECONDS = 400 * 24 * 3600  # the longest that browsers keep a cookie
PHOTO_HEADERS = {
    "Cache-Control": "private, max-age=43200",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
}
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


def serve(site: Site, host: str, port: int) -> None:
    """Serve the site's pages until a signal. Raises GenbaError for an address that others reach without sign-in."""
    if site.settings.web.sign_in == "none" and not is_loopback(host):
        raise GenbaError(
            f"{host} can be reached by others, but web.sign_in is 'none'.", next="set web.host = '127.0.0.1'"
        )
    os.environ["GENBA_SITE"] = str(site.root)
    os.environ["STREAMLIT_SERVER_COOKIE_SECRET"] = site.secret("web")
    app(site).run(config=options(site, host, port))


@asynccontextmanager
async def _made_ready(site: Site, _app: st.App) -> AsyncIterator[None]:
    """Around the server's life: it answers once this has begun. A store that is held elsewhere is not waited for."""
    all_pages.preload()
    threading.Thread(target=all_pages.open_store, args=(site,), name="open-store", daemon=True).start()
    yield


def app(site: Site) -> st.App:
    """The ASGI application of a site: Streamlit with our routes before its own."""
    from starlette.middleware import Middleware
    from starlette.routing import Route

    return st.App(
        HERE / "app.py",
        routes=[
            Route("/healthz", healthz),
            Route("/queue", first_page),
            Route("/clock", clock, methods=["POST"]),
            Route(hook.PATH, hook.route(site), methods=["POST"]),
            Route("/map/{name}", functools.partial(explore_held.answer, site)),
            Route("/photos/{image_id}.jpg", functools.partial(photo, site)),
            Route("/photos/heat/{key}.jpg", functools.partial(heat_map, site)),
        ],
        middleware=[Middleware(Gate, hosts=allowed_hosts(site))],
        lifespan=functools.partial(_made_ready, site),
        on_script_error=show_failure,
    )


def options(site: Site, host: str, port: int) -> dict[str, Any]:
    """Streamlit's settings. In code, so that no file of the folder it is started from can change them."""
    return {
        "server.address": host, "server.port": port, "server.headless": True, "server.fileWatcherType": "none",
        "server.enableXsrfProtection": True, "server.enableCORS": True, "server.enableStaticServing": False,
        "server.maxUploadSize": 1, "server.enableAgentApi": False,
        "browser.gatherUsageStats": False, "client.toolbarMode": "minimal", "client.showErrorDetails": "none",
        "client.showErrorLinks": False, "logger.hideWelcomeMessage": True,
        "secrets.files": [str(site.root / ".streamlit" / "secrets.toml")],
        **{f"theme.{key}": value for key, value in THEME.items()},
    }  # fmt: skip


class Gate:
    """Outermost: refuses foreign hosts and origins, and gives each browser its cookie (annotate/pages/person.py).

    A page elsewhere may point a name of its own at this machine (DNS rebinding), or open a websocket to it. Streamlit's
    own check asks a server on the internet for this machine's address, so no foreign origin gets that far.
    """

    def __init__(self, app: Asgi, hosts: list[str]) -> None:
        self.app = app
        self.hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        is_socket = scope["type"] == "websocket"
        if not self._knows(headers, is_socket):
            from starlette.responses import PlainTextResponse

            close = {"type": "websocket.close", "code": 1008}
            await (send(close) if is_socket else PlainTextResponse("unknown host", 400)(scope, receive, send))
            return
        is_new = f"{person.COOKIE}=" not in headers.get("cookie", "")
        is_page = not is_socket and "text/html" in headers.get("accept", "")
        await self.app(scope, receive, _with_cookie(scope, send) if is_new and is_page else send)

    def _knows(self, headers: dict[str, str], is_socket: bool) -> bool:
        host, origin = headers.get("host", ""), headers.get("origin")
        if _host_name(host) not in self.hosts:
            return False
        if not is_socket or origin is None or origin.partition("://")[2] == host:
            return True
        # behind a proxy that sends another Host; a page of another port of this machine is foreign
        return _host_name(origin.partition("://")[2]) in self.hosts - {*LOOPBACK_NAMES}


def _host_name(host: str) -> str:
    """ "[::1]:8501" -> "::1"; "" for what is no host."""
    found = re.fullmatch(r"\[([0-9a-f:.]+)\](?::\d+)?|([a-z0-9._-]+?)\.?(?::\d+)?", host.lower())
    return (found[1] or found[2]) if found else ""


def _with_cookie(scope: Scope, send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            secure = "; Secure" if scope.get("scheme") == "https" else ""
            cookie = (
                f"{person.COOKIE}={secrets.token_urlsafe(16)}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; "
                f"SameSite=Lax{secure}"
            )
            message["headers"] = [*message.get("headers", []), (b"set-cookie", cookie.encode())]
        await send(message)

    return sending


async def healthz(request: Request) -> Response:
    """Whether the process answers; touches no store, so that a busy one does not look dead."""
    from starlette.responses import JSONResponse

    return JSONResponse({"status": "ok"})


async def first_page(request: Request) -> Response:
    """The queue is the first page, which Streamlit serves at "/" alone; a link to its name leads there."""
    from starlette.responses import RedirectResponse

    return RedirectResponse("/")


async def clock(request: Request) -> Response:
    """A browser's active seconds on the form it shows: 204, or 400 for what is no report.

    One for a form that is done with (or of a process before this one) changes nothing.
    """
    import json

    from starlette.responses import Response

    from annotate.clock import clocks

    no_report = Response(status_code=400)
    try:
        if int(request.headers.get("content-length", LONGEST_REPORT)) >= LONGEST_REPORT:
            return no_report
        said = json.loads(await request.body())
        token, seconds, is_away = str(said["token"]), float(said["seconds"]), said["away"] is True
    except (ValueError, KeyError, TypeError):
        return no_report
    if not math.isfinite(seconds):
        return no_report
    clocks().report(token, seconds, is_away, at=time.time())
    return Response(status_code=204)


def photo(site: Site, request: Request) -> Response:
    """The served copy of a photo: 403 without a valid signature, 404 for a photo that is not there."""
    from data.served import served_copy

    image_id = request.path_params["image_id"]
    return _signed_picture(site, request, image_id, lambda: served_copy(site, image_id))


def heat_map(site: Site, request: Request) -> Response:
    """A photo with a heat map over it, which a page has made a moment ago."""
    from data.heat_maps import FOLDER, heat_file

    key = request.path_params["key"]
    return _signed_picture(site, request, f"{FOLDER}/{key}", lambda: heat_file(site, key))


def _signed_picture(site: Site, request: Request, name: str, file: Callable[[], Path]) -> Response:
    from starlette.responses import FileResponse, PlainTextResponse

    from data.served import is_valid

    query = request.query_params
    if not is_valid(site, name, query.get("e", ""), query.get("s", "")):
        return PlainTextResponse("this address has expired or is not signed", status_code=403)
    try:
        path = file()
    except (GenbaError, OSError) as error:
        return PlainTextResponse(str(error), status_code=404)
    return FileResponse(path, media_type="image/jpeg", headers=PHOTO_HEADERS)


def show_failure(error: Exception) -> bool:
    """An error of ours that no page expected: words for the person, the traceback stays in the log."""
    _ = translator(st.session_state.get("language") or "en")
    with st.container(border=True):
        st.badge(_("Something went wrong"), icon=":material/error:", color="red")
        st.text(
            _("What you entered is kept. Load the page again; the details stand in logs/web.log of the site.")
        )
    return True


def main() -> None:
    """The script of every page: who and in which language, the sidebar, then the page itself."""
    site = Site.open(os.environ["GENBA_SITE"])
    st.set_page_config(
        page_title=f"{site.settings.site.name} · Genba", page_icon=str(HERE / "annotate/pages/mark.svg"),
        layout="wide", initial_sidebar_state=216,
    )  # fmt: skip
    st.html(HERE / "annotate/pages/style.css")
    if not person.is_recalled(site):
        return
    if site.settings.web.sign_in == "oidc" and not _signed_in(site):
        return
    pages = _pages()
    st.session_state["pages"] = pages
    current = st.navigation(list(pages.values()), position="hidden")
    st.set_page_config(page_title=f"{current.title} · {site.settings.site.name}")
    with st.sidebar:
        _sidebar(site, pages)
        own_words.show(st.session_state["language"])  # in the page it would take room
    current.run()
    memory.settle()


def _pages() -> dict[str, Any]:
    _ = translator(st.session_state["language"])
    modules = all_pages.modules()
    shown = (
        ("queue", _("Queue"), "format_list_numbered"),
        ("correct", _("Correct"), "edit_note"),
        ("explore", _("Explore"), "scatter_plot"),
        ("feedback", _("Feedback"), "forum"),
        ("review", _("Agreement"), "group"),
        ("adjudicate", _("To decide"), "balance"),
        ("lots", _("Drafts"), "fact_check"),
        ("overview", _("Overview"), "monitoring"),
        ("quality", _("Quality"), "verified"),
        ("staff", _("Staff"), "badge"),
        ("finder", _("Finder"), "manage_search"),
        ("runs", _("Retrainings"), "model_training"),
        ("pilot", _("Pilot"), "science"),
        ("roi", _("ROI"), "savings"),
        ("privacy", _("Fairness and privacy"), "shield_person"),
        ("jobs", _("Jobs"), "checklist"),
        ("operations", _("Operations"), "dns"),
        ("template", _("Template"), "edit_document"),
        ("guide", _("Guide"), "help"),
    )
    return {
        name: st.Page(
            modules[name].page, title=title, icon=f":material/{icon}:", url_path=name, default=name == "queue"
        )
        for name, title, icon in shown
    }


def _sidebar(site: Site, pages: dict[str, Any]) -> None:
    """Where one is, where one can go, who one is."""
    from annotate.pages.elements import note

    _ = translator(st.session_state["language"])
    st.logo(
        str(HERE / "annotate/pages/wordmark.svg"),
        size="large",
        icon_image=str(HERE / "annotate/pages/mark.svg"),
    )
    st.text(site.settings.site.name)
    if site.settings.site.demo:
        st.badge(_("Demo: rendered photos"), icon=":material/science:", color="orange")
    for group, names in (
        (_("Field staff"), ("queue", "correct", "explore", "feedback")),
        (_("Leads"), ("review", "adjudicate", "lots")),
        (_("Managers"), ("overview", "quality", "staff", "finder", "runs", "pilot", "roi", "privacy")),
        (_("Running it"), ("jobs", "operations", "template")),
    ):
        with st.container(gap="xxsmall"):
            note(group)
            for name in names:
                st.page_link(pages[name], width="stretch")
    st.page_link(pages["guide"], width="stretch")
    with st.container(key="who-here"):
        _who(site)
        st.segmented_control(
            _("Language"), list(LANGUAGES), format_func=LANGUAGES.__getitem__, default=st.session_state["language"],
            required=True, key="language-switch", width="stretch", label_visibility="collapsed",
            on_change=lambda: person.remember(site, language=st.session_state["language-switch"]),
        )  # fmt: skip


def _who(site: Site) -> None:
    """The name that stands with every answer: from the sign-in, else as entered."""
    _ = translator(st.session_state["language"])
    if site.settings.web.sign_in == "oidc":
        st.text(st.session_state["name"])
        st.button(_("Sign out"), icon=":material/logout:", on_click=st.logout)
        return
    st.session_state["name-field"] = st.session_state.get("name", "")
    st.text_input(
        _("Your name"), key="name-field", max_chars=150, placeholder=_("needed to correct"),
        on_change=lambda: person.remember(site, name=st.session_state["name-field"]),
    )  # fmt: skip


def _signed_in(site: Site) -> bool:
    """True once the person has signed in; until then the page is a sign-in."""
    _ = translator(st.session_state["language"])
    if st.user.get("is_logged_in") is True:
        name, email = str(st.user.get("name") or ""), str(st.user.get("email") or "")
        if st.session_state.get("account") != (name, email):
            st.session_state["name"] = known_account(site, name, email)
            st.session_state["account"] = name, email
        return True
    st.title("Genba 現場", anchor=False)
    st.text(_("Sign in with your company's account to go on."))
    st.button(_("Sign in"), type="primary", icon=":material/login:", on_click=st.login)
    return False


if __name__ == "__main__":
    main()
