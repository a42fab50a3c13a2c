"""Under which names the web server may be reached, and the sign-in that every other name than loopback needs."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from data.errors import GenbaError
from data.site import Site

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def allowed_hosts(site: Site) -> list[str]:
    """Names under which the server answers: a page elsewhere must not reach it under a name of its own.

    With sign-in the name stands in the redirect address of SITE/.streamlit/secrets.toml.
    """
    names = [*LOOPBACK_NAMES, site.settings.web.host]
    if site.settings.web.sign_in == "oidc":
        names.append(urlsplit(_section(site)["redirect_uri"]).hostname or "")
    return [name for name in dict.fromkeys(names) if name and name not in ("0.0.0.0", "::")]  # noqa: S104


def _section(site: Site) -> dict[str, Any]:
    """[auth] of the secrets. Raises GenbaError that says what is missing."""
    import importlib.util
    import tomllib

    path = site.root / ".streamlit" / "secrets.toml"
    try:
        section = tomllib.loads(path.read_text(encoding="utf-8")).get("auth", {})
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise GenbaError(f"web.sign_in is 'oidc', but {path} cannot be read: {error}.") from error
    wanted = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
    absent = [key for key in wanted if not section.get(key)]
    if absent:
        raise GenbaError(
            f"web.sign_in is 'oidc', but [auth] of {path} lacks {', '.join(absent)}.", choices=wanted
        )
    if importlib.util.find_spec("authlib") is None:
        raise GenbaError("web.sign_in = 'oidc' needs the package Authlib.", next="pip install Authlib")
    return dict(section)
