"""The webhook: the real web process, a real Label Studio; a hint that is lost costs waiting and nothing else."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from annotate.hook import GATHER_SECONDS, MOST_BYTES, PATH, SENDER, Waker, hook_address
from annotate.label_studio_projects import SECRET_HEADER
from annotate.sync import push, sync
from data.jobs import claim, finish
from data.settings import set_value
from data.site import Site
from tests.annotate.conftest import RunningLabelStudio, free_port
from tests.annotate.exchange import disagreements, in_page
from tests.annotate.sites import rows, site_beside
from tests.annotate.test_labeling_config import page_of
from tests.conftest import until
from tests.test_app import Web, serving


@pytest.fixture(scope="module")
def site(label_studio: RunningLabelStudio) -> Site:
    made = site_beside(label_studio, captions=[f"steel bolt {number}" for number in range(8)])
    set_value(made.settings_path, "web", "port", free_port())
    opened = Site.open(made.root)
    push(opened, 8)
    return opened


@pytest.fixture(scope="module")
def web(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with serving(site, cwd=tmp_path_factory.mktemp("elsewhere")) as running:
        yield running


def hints(site: Site) -> list[dict[str, object]]:
    return rows(site, "SELECT job_id, state FROM jobs WHERE name = 'sync' AND requested_by = ?", SENDER)


def call(web: Web, secret: str | None, body: bytes = b"{}", method: str = "POST") -> int:
    headers = {} if secret is None else {SECRET_HEADER: secret}
    request = urllib.request.Request(
        web.address + PATH, body if method == "POST" else None, headers, method=method
    )
    try:
        return int(urllib.request.urlopen(request, timeout=20).status)
    except urllib.error.HTTPError as error:
        return error.code


def test_without_the_secret_it_does_nothing(web: Web) -> None:
    secret = web.site.secret("hook")
    for wrong in (None, "", "x", secret[:-1], secret + "x", "é"):
        assert call(web, wrong) == 403
    call(web, secret, method="GET")
    assert call(web, secret, b"x" * (MOST_BYTES + 1)) == 413
    assert hints(web.site) == []


def test_an_answer_in_label_studio_queues_one_sync(web: Web) -> None:
    began = time.monotonic()
    in_page(web.site, 0, page_of(verdict="ok"))
    assert time.monotonic() - began < 5
    until(lambda: hints(web.site), 20, "the hint")
    for number in (1, 2):
        in_page(web.site, number, page_of(verdict="ok"))
    assert call(web, web.site.secret("hook"), b"not even JSON") == 204
    time.sleep(3 * GATHER_SECONDS)
    assert [one["state"] for one in hints(web.site)] == ["queued"], "one waits for all"
    with web.site.connect() as db:
        job = claim(db, 1)
        assert job is not None and (job.name, job.arguments) == ("sync", {})
    assert call(web, web.site.secret("hook")) == 204
    until(lambda: len(hints(web.site)) == 2, 20, "one more while the first runs")
    assert sync(web.site).new == 3
    with web.site.connect() as db:
        finish(db, job.job_id, "done")
    Waker(web.site).wake()
    assert [one["state"] for one in hints(web.site)] == ["queued"], "served ones leave no rows"


def test_a_lost_hint_changes_nothing_but_the_delay(web: Web) -> None:
    """Last in this file: the app is gone when Label Studio calls."""
    web.process.terminate()
    web.process.wait(timeout=30)
    before = hints(web.site)
    began = time.monotonic()
    in_page(web.site, 3, page_of(verdict="ok"))
    assert time.monotonic() - began < 5, "whoever answers there does not wait for us"
    assert hints(web.site) == before
    assert sync(web.site).new == 1 and disagreements(web.site) == []
    assert sync(web.site).new == 0


def test_only_the_embedded_server_on_this_machine_is_told_where_we_are(site: Site, tmp_path: Path) -> None:
    assert hook_address(site) == f"http://127.0.0.1:{site.settings.web.port}{PATH}"
    text = site.settings_path.read_text(encoding="utf-8")
    (tmp_path / "genba.toml").write_text(
        text.replace('mode = "embedded"', 'mode = "server"').replace('url = ""', 'url = "http://ls.example"')
    )
    assert hook_address(Site.open(tmp_path)) is None
    (tmp_path / "genba.toml").write_text(
        text.replace('host = "127.0.0.1"', 'host = "10.1.2.3"').replace(
            'sign_in = "none"', 'sign_in = "oidc"'
        )
    )
    assert hook_address(Site.open(tmp_path)) is None
