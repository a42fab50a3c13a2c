"""The page Retrainings in a real browser, in both languages: refused, signed, promoted, rolled back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from data.messages import translator
from data.site import Site
from tests.annotate.sites import rows
from tests.test_app import TEXTS, WAIT_MS, Web, browser, go, new_site, serving, speak, visit
from tests.training.test_registry import add_model
from training.checklist import question_names

__all__ = ["browser"]  # a fixture
NASTY = "<script>document.title = 'pwned'</script> **確認** [x](http://x)"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A site with one candidate that the gate lets through once a lead has signed."""
    folder = tmp_path_factory.mktemp("web")
    site = new_site(folder)
    add_model(site, "m1")
    with site.connect() as db:
        at = db.value("SELECT max(created_at) FROM models")
        run = {"run_id": "run-m1", "kind": "retrain", "state": "done", "snapshot_id": "s", "config": {}}
        db.insert("runs", [{**run, "base_encoder": "demo", "created_at": at}])
    with serving(site, cwd=folder) as running:
        yield running


def begin(site: Site) -> None:
    """As if nothing had been decided yet."""
    with site.connect() as db:
        db.execute("DELETE FROM checklists")
        db.execute("DELETE FROM jobs")
        db.execute("DELETE FROM events WHERE what = 'model.promoted'")
        db.execute("UPDATE models SET state = 'candidate', promoted_at = NULL, retired_at = NULL")


def dialog(page: Page) -> Page:
    return page.locator("[data-testid=stDialog]")  # type: ignore[return-value]


def answer_all(page: Page, language: str) -> None:
    """Every question with yes and a note, as a person does it."""
    _ = translator(language)
    for name in question_names():
        dialog(page).locator(f".st-key-answer-{name} label").filter(has_text=_("yes")).first.click()
        dialog(page).locator(f".st-key-note-{name} input").fill(NASTY)


@pytest.mark.parametrize("language", ["ja", pytest.param("en", marks=pytest.mark.long)])
def test_refused_then_signed_then_promoted_then_rolled_back(
    web: Web, browser: Browser, language: str
) -> None:
    begin(web.site)
    _ = translator(language)
    complaints: list[str] = []
    with visit(browser, web, complaints) as page:
        speak(page, language)
        page.locator("[data-testid=stSidebar] .st-key-name-field input").fill("佐藤")
        page.locator("[data-testid=stSidebar] .st-key-name-field input").press("Enter")
        go(page, "runs", language)
        page.locator(".st-key-promote-m1 button").click()
        expect(dialog(page)).to_contain_text(
            _("The first promotion needs a checklist that a lead has signed.")
        )
        expect(dialog(page).locator(".st-key-promote-yes")).to_have_count(0)
        expect(dialog(page).locator("[data-testid=stCode]")).to_have_count(0)
        dialog(page).get_by_text(
            _("How is this decided?")
        ).click()  # what is folded is made when it is opened
        expect(dialog(page).locator("[data-testid=stCode]").first).to_contain_text("SELECT")
        page.keyboard.press("Escape")
        expect(dialog(page)).to_have_count(0)

        page.locator(".st-key-sign-m1 button").click()
        expect(dialog(page)).to_contain_text(_("The widest gaps that the run measured"))
        sign = dialog(page).get_by_role("button", name=_("Sign as {name}").format(name="佐藤"))
        sign.click()
        expect(dialog(page)).to_contain_text("gaps")  # the first question without an answer is named
        answer_all(page, language)
        sign.click()
        expect(dialog(page)).to_have_count(0, timeout=WAIT_MS)
        (signed,) = rows(web.site, "SELECT * FROM checklists")
        assert (signed["signed_by"], signed["purpose"]) == ("佐藤", "promotion")
        assert signed["answers"]["way_back"] == {"answer": "yes", "note": NASTY}

        page.locator(".st-key-promote-m1 button").click()
        expect(dialog(page)).to_contain_text(_("A lead has signed the checklist."))
        dialog(page).locator(".st-key-promote-yes button").click()
        expect(page.locator(".st-key-rollback")).to_be_visible(timeout=WAIT_MS)
        assert web.site.encoder_id() == "local-dir:models/m1"
        page.get_by_text(_("Checklists of the model in use")).click()
        assert "pwned" not in page.title()

        page.locator(".st-key-rollback button").click()
        dialog(page).locator(".st-key-rollback-yes button").click()
        expect(page.locator(".st-key-rollback")).to_have_count(0, timeout=WAIT_MS)
        assert web.site.encoder_id() == "demo"
        assert page.locator("[data-testid=stMain] h1").first.inner_text() == TEXTS[language]["runs"]
    jobs = rows(web.site, "SELECT name, requested_by FROM jobs")
    assert jobs == [{"name": "score", "requested_by": "佐藤"}]
    assert complaints == []
