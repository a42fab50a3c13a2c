"""The embedded Label Studio: made ready without a browser and served on loopback, in one process.

    python -m annotate.label_studio_server SITE/label-studio --port 8502

`label-studio init` and `label-studio start` would start Django twice, listen on every interface, leave sign-up open and
call home. Here one process writes the database, the one service account and its token, then serves with the same
threaded server that `label-studio start` uses. Everything it writes lies in SITE/label-studio.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import secrets
import shutil
import signal
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from data.errors import GenbaError

if TYPE_CHECKING:
    from django.core.servers.basehttp import ThreadedWSGIServer

HOST = "127.0.0.1"
EMAIL = "admin@genba.local"
DATABASE = "label_studio.sqlite3"
NO_TIPS = b'{"detail": "off"}'
BANNED_NETWORKS = (  # Label Studio's own list (core/utils/io.py) without 127.0.0.0/8
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
    "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",
    "233.252.0.0/24", "240.0.0.0/4", "255.255.255.255/32", "::/128", "::1/128", "::ffff:0:0/96", "::ffff:0:0:0/96",
    "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001:0000::/32", "2001:20::/28", "2001:db8::/32", "2002::/16",
    "fc00::/7", "fe80::/10", "ff00::/8",
)  # fmt: skip


@dataclass(frozen=True)
class Credentials:
    """The one account of the embedded server. `token` is a legacy API token: it survives a changed secret key."""

    email: str
    password: str
    token: str
    secret_key: str


def address(port: int) -> str:
    """Where the embedded server answers."""
    return f"http://{HOST}:{port}"


def command(folder: Path, port: int) -> list[str]:
    """The command line with which a supervisor starts the server; it ends when the supervisor is gone."""
    return [sys.executable, "-m", __name__, str(folder), "--port", str(port), "--end-with-parent"]


def environment(folder: Path, port: int) -> dict[str, str]:
    """The settings that Label Studio runs under, as environment variables; without the secret key.

    The prefixed names win over whatever stands in the caller's environment (HOST, DEBUG, PORT, ...).
    """
    site = folder.resolve().parent
    return {
        "DJANGO_SETTINGS_MODULE": "label_studio.core.settings.label_studio",
        "LABEL_STUDIO_DJANGO_DB": "sqlite",
        "LABEL_STUDIO_DATABASE_NAME": str(folder.resolve() / DATABASE),
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder.resolve()),
        "LABEL_STUDIO_HOST": "",  # addresses stay relative, so that localhost and 127.0.0.1 both work
        "LABEL_STUDIO_PORT": str(port),
        "LABEL_STUDIO_DEBUG": "false",
        "LABEL_STUDIO_LOG_LEVEL": "WARNING",
        "LOG_LEVEL": "WARNING",
        "LABEL_STUDIO_ALLOWED_HOSTS": "127.0.0.1,localhost",  # a foreign name that resolves to loopback is refused
        "LABEL_STUDIO_CORS_ALLOW_ALL_ORIGINS": "false",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(site),
        "LABEL_STUDIO_COLLECT_ANALYTICS": "false",
        "LABEL_STUDIO_SENTRY_DSN": "",
        "LABEL_STUDIO_FRONTEND_SENTRY_DSN": "",
        "LABEL_STUDIO_LATEST_VERSION_CHECK": "false",
        "LABEL_STUDIO_FEATURE_FLAGS_OFFLINE": "true",
        # Loopback alone is allowed, for the webhook to the web app; every other reserved network stays forbidden.
        "LABEL_STUDIO_SSRF_PROTECTION_ENABLED": "true",
        "LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS": "false",
        "LABEL_STUDIO_USER_ADDITIONAL_BANNED_SUBNETS": ",".join(BANNED_NETWORKS),
    }


def credentials(folder: Path) -> Credentials:
    """The account of this site's server, made on first use in a file that only its owner can read."""
    path = folder / "credentials.json"
    if not path.exists():
        made = Credentials(EMAIL, secrets.token_urlsafe(12), secrets.token_hex(20), secrets.token_hex(32))
        folder.mkdir(mode=0o700, exist_ok=True)
        temporary = folder / f".credentials.{os.getpid()}.{secrets.token_hex(4)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(made), file, indent=2)
        with contextlib.suppress(FileExistsError):  # another process was first: its file counts
            os.link(temporary, path)
        temporary.unlink()
    try:
        return Credentials(**json.loads(path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, TypeError) as error:
        raise GenbaError(
            f"{path} is damaged: {error}.", next=f"delete {path}; the next start makes a new password"
        ) from None


def is_healthy(url: str, timeout_seconds: float = 2.0) -> bool:
    """Whether a Label Studio answers at this address."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{url}/health/", timeout=timeout_seconds) as answer:
            return bool(json.load(answer) == {"status": "UP"})
    except (OSError, ValueError, urllib.error.URLError):
        return False


def bootstrap(folder: Path, port: int) -> Credentials:
    """Database, service account and token as they must be; nothing changes when they already are.

    Configures Django for the rest of this process. About 3 s when the database is there, 28 s on the first start of
    this Label Studio version on a machine (2 cores), 4 s for later sites: see `_restore_empty_database`.
    """
    account = credentials(folder)
    os.environ.update(environment(folder, port), SECRET_KEY=account.secret_key)
    database = folder / DATABASE
    is_new = not database.exists() and not _restore_empty_database(database)
    with contextlib.redirect_stdout(sys.stderr):
        from label_studio.server import _apply_database_migrations, _setup_env

        _setup_env()
        _use_write_ahead_log()
        _apply_database_migrations()
    if is_new:
        _keep_empty_database(database)
    _ensure_account(account)
    return account


def _use_write_ahead_log() -> None:
    """Readers and the writer of SQLite stop blocking each other; a write waits 30 s before "database is locked"."""
    from django.db.backends.signals import connection_created

    def configure(connection: Any, **_: Any) -> None:
        connection.cursor().execute("PRAGMA journal_mode = wal")
        connection.cursor().execute("PRAGMA busy_timeout = 30000")

    connection_created.connect(configure, weak=False)


def _ensure_account(account: Credentials) -> None:
    from django.contrib.auth import get_user_model
    from django.db import transaction
    from organizations.models import Organization
    from rest_framework.authtoken.models import Token

    with transaction.atomic():
        users = get_user_model().objects
        user = users.filter(email=account.email).first() or users.create_user(account.email, account.password)
        if not user.check_password(account.password):
            user.set_password(account.password)
        user.is_staff = user.is_superuser = True
        organization = Organization.objects.first() or Organization.create_organization(
            created_by=user, title="Genba"
        )
        organization.add_user(user)
        user.active_organization = organization
        user.save()
        if not Token.objects.filter(user=user, key=account.token).exists():
            Token.objects.filter(user=user).delete()
            Token.objects.create(user=user, key=account.token)
        if not organization.jwt.legacy_api_tokens_enabled:
            organization.jwt.legacy_api_tokens_enabled = True
            organization.jwt.save()


def _empty_database() -> Path:
    from importlib.metadata import version

    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "genba"
    return cache / f"label-studio-{version('label-studio')}.sqlite3"


def _restore_empty_database(database: Path) -> bool:
    """Start from the migrated, empty database that an earlier site left in the user's cache, if there is one.

    261 migrations take 25 s, of which the SQL is 1.4 s; the result is the same for every site.
    """
    kept = _empty_database()
    if not kept.is_file():
        return False
    temporary = database.with_name(f".{database.name}.{os.getpid()}")
    shutil.copyfile(kept, temporary)
    os.replace(temporary, database)
    return True


def _keep_empty_database(database: Path) -> None:
    kept = _empty_database()
    temporary = kept.with_name(f".{kept.name}.{os.getpid()}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with (
            contextlib.closing(sqlite3.connect(database)) as source,
            contextlib.closing(sqlite3.connect(temporary)) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode = delete")
        os.replace(temporary, kept)
    except (OSError, sqlite3.Error) as error:  # a home that cannot be written costs time, nothing else
        print(
            f"No copy of the empty Label Studio database was kept in {kept.parent}: {error}", file=sys.stderr
        )


def serve(folder: Path, port: int) -> None:
    """Bootstrap and serve until SIGTERM or SIGINT. Raises GenbaError when the port or the folder is in use."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(folder), _listener(port) as server:
        bootstrap(folder, port)
        from django.core.wsgi import get_wsgi_application

        server.set_app(_guarded(get_wsgi_application()))
        logging.getLogger("django.server").setLevel(logging.ERROR)  # else one line for each request
        server.server_activate()
        print(f"Label Studio: {address(port)}", file=sys.stderr, flush=True)
        server.serve_forever(poll_interval=0.2)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        with FileLock(folder / "server.lock", timeout=0):
            yield
    except Timeout:
        raise GenbaError(
            f"A Label Studio already runs on {folder}.", next="stop the other `genba up`"
        ) from None


@contextlib.contextmanager
def _listener(port: int) -> Iterator[ThreadedWSGIServer]:
    """The server, bound to its port before the slow part, so that a busy port is known at once."""
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

    server = ThreadedWSGIServer((HOST, port), WSGIRequestHandler, bind_and_activate=False)
    server.request_queue_size = 128
    try:
        server.server_bind()
    except OSError as error:
        server.server_close()
        raise GenbaError(
            f"Port {port} cannot be used for Label Studio: {error.strerror}.",
            next="set label_studio.port in genba.toml to a free one",
        ) from None
    try:
        yield server
    finally:
        server.socket.close()  # server_close() would wait for requests under way


Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def _guarded(application: Application) -> Application:
    """Label Studio, without the one page that fetches from the internet on the server's side, and not to be framed."""

    def guarded(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "").startswith("/heidi-tips"):
            start(
                "404 Not Found", [("Content-Type", "application/json"), ("Content-Length", str(len(NO_TIPS)))]
            )
            return [NO_TIPS]

        def start_guarded(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start(status, [*headers, ("Content-Security-Policy", POLICY)], *rest)

        return application(environ, start_guarded)

    return guarded


# Nothing is loaded from, or sent to, anywhere but this machine; only pages of this machine may frame it.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "frame-ancestors 'self' http://127.0.0.1:* http://localhost:*"
)


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)


def _stop(number: int, _frame: object) -> None:
    raise SystemExit(0)


def main(arguments: list[str] | None = None) -> int:
    """Command line of the child process."""
    parser = argparse.ArgumentParser(prog="python -m annotate.label_studio_server", description=__doc__)
    parser.add_argument("folder", type=Path, help="SITE/label-studio")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--end-with-parent", action="store_true", help="end when the process that started it is gone"
    )
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)  # a shell starts background jobs with SIGINT ignored
    if given.end_with_parent:
        threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        serve(given.folder, given.port)
    except GenbaError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # taking Django apart takes 1 to 2 s and saves nothing: SQLite is safe at any moment
