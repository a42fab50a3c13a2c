"""The staff pages in both languages: queue and form, on a real store. The real browser: tests/test_app.py."""

from __future__ import annotations

import ast
import json
import string
from collections.abc import Iterator
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from annotate import audit, corrections, form_drafts, queue
from annotate.draft_record import Draft
from annotate.pages import person, progress
from annotate.template_versions import raised, save
from data import jobs
from data.messages import catalogue, translator
from data.site import Site, init_site
from data.store import now
from scoring.reasons import words
from tests.annotate import sites
from tests.annotate.sites import BOLT, pair_of, rows
from tests.conftest import CHECKOUT

LANGUAGES = ["ja", "en"]
NASTY = "<script>alert(1)</script> **太字** [x](http://x) $a$"
CAPTIONS = (*sites.CAPTIONS, NASTY)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Five photos: a caption that says all, one that says half, a vague one, none, and one full of markup."""
    (tmp_path / "photos").mkdir(exist_ok=True)
    made = init_site(tmp_path / "site", [tmp_path / "photos"], "parts", "demo", demo=True)
    sites.fill(made, tmp_path / "photos", CAPTIONS)
    return made


@pytest.fixture
def bare(tmp_path: Path) -> Site:
    """A site without photos."""
    (tmp_path / "photos").mkdir(exist_ok=True)
    return init_site(tmp_path / "bare", [tmp_path / "photos"], "parts", "demo", demo=True)


def show(page: str, site: Site, language: str, monkeypatch: pytest.MonkeyPatch, **state: Any) -> AppTest:
    monkeypatch.setenv("GENBA_SITE", str(site.root))
    monkeypatch.setattr(
        person, "browser_key", lambda: None
    )  # here is no browser; tests/test_app.py has a real one
    at = AppTest.from_string(f"from annotate.pages import {page}\n{page}.page()\n", default_timeout=60)
    for key, value in {"language": language, "name": "佐藤", **state}.items():
        at.session_state[key] = value
    return rerun(at)


def rerun(at: AppTest) -> AppTest:
    at.run()
    assert not at.exception, at.exception
    return at


def click(at: AppTest, key: str) -> AppTest:
    at.button(key=key).click()
    return rerun(at)


def texts(at: AppTest) -> str:
    """Everything that stands on the page as text, code or Markdown, without the escapes of the latter."""
    kinds = (at.title, at.text, at.caption, at.markdown, at.code)
    return "\n".join(str(element.value) for kind in kinds for element in kind).replace("\\", "")


def fills(at: AppTest, slot: str) -> Any:
    """The value of one item of the form."""
    groups = [*at.get("button_group"), *at.number_input]
    return next(element.value for element in groups if str(element.key).endswith(f"-{slot}"))


def choose(at: AppTest, slot: str, value: Any) -> AppTest:
    group = next(g for g in at.get("button_group") if str(g.key).endswith(f"-{slot}"))
    group.set_value(value)
    return rerun(at)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_queue_shows_the_worst_first_with_risk_and_reasons(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    reason = {"code": "fits_worse", "percent": 93}
    with site.connect() as db:
        db.execute("UPDATE scores SET reasons = ?", [json.dumps([reason])])
    at = show("queue", site, language, monkeypatch)
    assert texts(at).count(words(reason, language)) == 4
    shown = [element.value for element in at.text]
    assert [text for text in shown if text in CAPTIONS] == [CAPTIONS[0], CAPTIONS[1], CAPTIONS[2], NASTY]
    assert _("No caption yet") in texts(at) and _("Waiting: {n}").format(n=5) in texts(at)
    assert not any("<script>" in element.value for element in (*at.markdown, *at.caption))


def test_the_queue_is_filtered_by_language_and_words(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at = show("queue", site, "en", monkeypatch)
    at.get("button_group")[0].set_value("en")
    rerun(at)
    assert "three brass gears" in texts(at) and CAPTIONS[0] not in texts(at)
    at.text_input[0].set_value("copper")
    rerun(at)
    assert "No caption matches" in texts(at) and "three brass gears" not in texts(at)


def test_a_click_opens_that_pair_and_says_who_has_one_in_work(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.claim(site, NASTY, pair_id=pair_of(site, 1))
    at = show("queue", site, "en", monkeypatch)
    assert f"In work: {NASTY}" in texts(at)
    assert f"open-{pair_of(site, 1)}" not in [button.key for button in at.button]
    click(at, f"open-{pair_of(site, 2)}")
    assert at.session_state["open_pair"] == pair_of(site, 2)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_empty_queue_says_why_and_what_to_do(
    bare: Site, site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    at = show("queue", bare, language, monkeypatch)
    assert _("No captions yet") in texts(at) and f"genba ingest {bare.root} captions.csv" in texts(at)
    with site.connect() as db:
        db.execute("DELETE FROM scores")
        db.execute("DELETE FROM pairs WHERE state = 'missing'")
    at = show("queue", site, language, monkeypatch)
    assert _("Nothing scored yet") in texts(at)
    next(button for button in at.button if button.label == _("Score the captions now")).click()
    rerun(at)
    with site.connect() as db:
        assert [(job.name, job.requested_by) for job in jobs.jobs(db)] == [("score", "佐藤")]
    assert _("The captions are being scored") in texts(at)


def test_a_finished_queue_thanks(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        answer(site, pair_of(site, number), "not_sure")
    assert "Nothing waits" in texts(show("queue", site, "en", monkeypatch))
    assert "Nothing waits" in texts(show("correct", site, "en", monkeypatch))


def test_what_is_left_after_skipping_can_be_shown_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    skipped = {pair_of(site, number) for number in range(5)}
    at = show("correct", site, "en", monkeypatch, skipped=skipped)
    assert "Nothing waits for you" in texts(at) and "work" not in at.session_state
    next(button for button in at.button if button.label == "Show the skipped ones again").click()
    rerun(at)
    assert at.session_state["work"].pair_id == pair_of(site, 3)


def answer(site: Site, pair_id: str, verdict: str, annotator: str = "佐藤") -> str:
    slots = BOLT if verdict == "fix" else {}
    saved = corrections.submit(
        site, pair_id=pair_id, annotator=annotator, verdict=verdict, slots=slots, active_seconds=5.0
    )
    return saved.correction_id


@pytest.mark.parametrize("language", LANGUAGES)
def test_nobody_corrects_without_a_name(site: Site, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at = show("correct", site, language, monkeypatch, name="", open_pair=pair_of(site, 1))
    assert rows(site, "SELECT * FROM leases") == []
    at.button[0].click()
    rerun(at)
    assert translator(language)("Please enter your name.") in texts(at)
    at.text_input(key="who-name").set_value("  佐藤  花子 ")
    at.button[0].click()
    rerun(at)
    held = rows(site, "SELECT pair_id, annotator FROM leases")
    assert held == [{"pair_id": pair_of(site, 1), "annotator": "佐藤 花子"}], "the pair that was asked for"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_form_begins_with_the_old_caption_and_shows_what_it_makes(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = show("correct", site, language, monkeypatch, open_pair=pair_of(site, 0))
    assert {slot: fills(at, slot) for slot in BOLT} == BOLT
    assert CAPTIONS[0] in texts(at)
    template = site.template()
    for one in LANGUAGES:
        assert template.caption(BOLT, one) in [element.value for element in at.text]
    choose(at, "material", "brass")
    assert template.caption({**BOLT, "material": "brass"}, language) in texts(at)


def test_a_draft_fills_the_form_says_so_and_stays_with_the_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposed = Draft("d1", pair_of(site, 2), "zero-shot", "1", BOLT, dict.fromkeys(BOLT, 0.6), {"en": "2 bolts"},
                     quality=0.6, calibrated=True)  # fmt: skip
    monkeypatch.setattr("annotate.drafts.best_draft", lambda site, pair_id, within: proposed)
    at = show("correct", site, "en", monkeypatch, open_pair=pair_of(site, 2))
    assert {slot: fills(at, slot) for slot in BOLT} == BOLT
    assert "Proposed by the machine, 60 % sure" in texts(at)
    choose(at, "material", "brass")
    click(at, "fix")
    kept = rows(site, "SELECT draft FROM corrections")[0]["draft"]
    assert (kept["draft_id"], kept["changed"], kept["approver"]) == ("d1", ["material"], "佐藤")


def test_an_answer_is_saved_with_its_time_and_the_next_pair_comes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = show("correct", site, "en", monkeypatch, open_pair=pair_of(site, 0))
    at.session_state["work"].last_action -= 20
    choose(at, "material", "brass")
    at.session_state["work"].last_action -= 3600  # lunch counts a minute
    click(at, "fix")
    saved = rows(
        site, "SELECT verdict, slots, annotator, active_seconds, source, old_pair_id FROM corrections"
    )
    assert len(saved) == 1 and 80 <= saved[0].pop("active_seconds") < 90
    assert saved[0] == {"verdict": "fix", "slots": {**BOLT, "material": "brass"}, "annotator": "佐藤", "source": "app",
                        "old_pair_id": pair_of(site, 0)}  # fmt: skip
    assert "Saved" in texts(at) and at.session_state["work"].pair_id == pair_of(site, 3)
    assert site.template().caption(saved[0]["slots"], "en") in texts(at)
    assert "Today: 1" in texts(at) and "Waiting: 4" in texts(at)


@pytest.mark.parametrize("verdict", ["ok", "not_sure", "unusable", "private"])
def test_other_verdicts_need_no_answers(site: Site, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at = show("correct", site, "ja", monkeypatch, open_pair=pair_of(site, 2))
    click(at, verdict)
    assert rows(site, "SELECT verdict, slots FROM corrections") == [{"verdict": verdict, "slots": {}}]


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_incomplete_form_says_what_is_missing_and_saves_nothing(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    at = show("correct", site, language, monkeypatch, open_pair=pair_of(site, 1))
    click(at, "fix")
    assert rows(site, "SELECT * FROM corrections") == []
    assert _("an answer is needed") in texts(at)
    for slot, value in {"defect": "none", "background": "tray"}.items():
        choose(at, slot, value)
    assert _("an answer is needed") not in texts(at)
    click(at, "fix")
    assert rows(site, "SELECT slots FROM corrections")[0]["slots"] == {
        "part": "gear", "count": 3, "material": "brass", "defect": "none", "background": "tray",
    }  # fmt: skip


def test_a_photo_without_a_caption_cannot_be_already_right(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = show("correct", site, "en", monkeypatch)
    assert at.session_state["work"].pair_id == pair_of(site, 3) and "No caption yet" in texts(at)
    keys = [button.key for button in at.button]
    assert "ok" not in keys and {"fix", "not_sure", "unusable", "private"} <= set(keys)


def test_half_typed_answers_survive_a_reload(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at = show("correct", site, "en", monkeypatch, open_pair=pair_of(site, 1))
    at.session_state["work"].last_action -= 30
    choose(at, "defect", "rust")
    choose(at, "place", "left")
    again = show("correct", site, "ja", monkeypatch)
    work = again.session_state["work"]
    assert work.pair_id == pair_of(site, 1) and 30 <= work.active_seconds < 40
    assert (fills(again, "defect"), fills(again, "place"), fills(again, "part")) == ("rust", "left", "gear")
    assert form_drafts.load(site, pair_of(site, 1), "佐藤") is not None


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_form_that_changed_says_so_until_the_next_answer(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = show("correct", site, language, monkeypatch)
    choose(at, "part", "gear")
    assert "parts@2" not in texts(at)
    save(site, raised(site.template().source, 2), "班長")
    rerun(at)
    assert "parts@2" in texts(at) and "班長" in texts(at) and fills(at, "part") == "gear"
    at = show("correct", site, language, monkeypatch)  # a reload brings the line back with the answers
    assert "parts@2" in texts(at) and fills(at, "part") == "gear"
    click(at, "not_sure")
    assert "parts@2" not in texts(at)


def test_an_audited_pair_is_judged_blind(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with site.connect() as db:
        db.execute("UPDATE images SET split = 'test'")
        db.execute('UPDATE scores SET reasons = \'[{"code": "nothing-may-read-this"}]\'')
    audit.draw(site, 5, seed=1)
    at = show("correct", site, "en", monkeypatch, open_pair=pair_of(site, 0))
    assert "No reasons are shown for this one: judge it by the photo alone" in texts(at)
    assert "risk" not in at.session_state["work"].row and CAPTIONS[0] in texts(at)


def test_a_skipped_pair_goes_to_others_with_its_reason(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at = show("correct", site, "en", monkeypatch, open_pair=pair_of(site, 0))
    click(at, "skip-template")
    assert at.session_state["work"].pair_id != pair_of(site, 0)
    event = rows(site, "SELECT actor, detail FROM events WHERE what = 'pair.skipped'")[0]
    assert event["actor"] == "佐藤"
    assert (event["detail"]["pair"], event["detail"]["reason"]) == (pair_of(site, 0), "template")
    assert queue.claim(site, "Smith", pair_id=pair_of(site, 0)) is not None


def test_an_answer_is_taken_back_and_opened_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at = show("correct", site, "en", monkeypatch, open_pair=pair_of(site, 0))
    choose(at, "material", "brass")
    click(at, "fix")
    click(at, "undo-last")
    assert rows(site, "SELECT state FROM corrections") == [{"state": "withdrawn"}]
    assert at.session_state["work"].pair_id == pair_of(site, 0) and fills(at, "material") == "brass"
    click(at, "fix")
    assert rows(site, "SELECT state FROM corrections ORDER BY created_at") == [
        {"state": "withdrawn"},
        {"state": "active"},
    ]


def test_older_answers_can_be_taken_back_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first = answer(site, pair_of(site, 0), "fix")
    answer(site, pair_of(site, 2), "ok")
    at = show("correct", site, "ja", monkeypatch)
    click(at, f"undo-{first}")
    assert at.session_state["work"].pair_id == pair_of(site, 0)
    assert queue.count(site) == 4


def test_a_pair_that_somebody_else_has_or_has_answered_is_not_opened(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.claim(site, "Smith", pair_id=pair_of(site, 0))
    at = show("correct", site, "en", monkeypatch, open_pair=pair_of(site, 0))
    assert at.session_state["work"].pair_id != pair_of(site, 0) and "Somebody else has this caption" in texts(
        at
    )
    answer(site, pair_of(site, 1), "ok", "Smith")
    at = show("correct", site, "en", monkeypatch, open_pair=pair_of(site, 1))
    assert at.session_state["work"].pair_id != pair_of(site, 1) and "Somebody else has this caption" in texts(
        at
    )


def test_an_answer_after_somebody_elses_is_kept_and_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = show("correct", site, "en", monkeypatch, open_pair=pair_of(site, 0))
    answer(site, pair_of(site, 0), "ok", "Smith")  # e.g. in Label Studio, while the form was open
    click(at, "fix")
    assert "Kept, but somebody else answered first" in texts(at)
    assert rows(site, "SELECT annotator, state FROM corrections ORDER BY annotator") == [
        {"annotator": "Smith", "state": "active"},
        {"annotator": "佐藤", "state": "conflict"},
    ]


def test_a_change_of_person_gives_the_pair_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at = show("correct", site, "en", monkeypatch, open_pair=pair_of(site, 0))
    at.session_state["name"] = "Smith"
    rerun(at)
    assert [row["annotator"] for row in rows(site, "SELECT annotator FROM leases")] == ["Smith"]


def test_the_form_links_to_its_task_in_label_studio(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    task = {"pair_id": pair_of(site, 0), "ls_project_id": 3, "ls_task_id": 41, "template": "parts@1"}
    with site.connect() as db:
        db.insert("tasks", [{**task, "pushed_at": now()}])
    at = show("correct", site, "en", monkeypatch, open_pair=pair_of(site, 0))
    port = site.settings.label_studio.port
    urls = [link.proto.url for link in at.get("link_button")]
    assert urls == [f"http://127.0.0.1:{port}/projects/3/data?task=41"]
    assert not show("correct", site, "en", monkeypatch, open_pair=pair_of(site, 1)).get("link_button")


def test_today_begins_at_midnight_of_the_machine(site: Site) -> None:
    answer(site, pair_of(site, 0), "ok")
    answer(site, pair_of(site, 1), "ok", "Smith")
    old = answer(site, pair_of(site, 2), "ok")
    with site.connect() as db:
        db.execute(
            "UPDATE corrections SET created_at = ? WHERE correction_id = ?", [now() - timedelta(days=1), old]
        )
    assert progress.answered_today(site, "佐藤", UTC) == 1


@pytest.mark.parametrize("page", ["queue", "correct"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_site_that_is_gone_is_an_error_in_words(
    page: str, language: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.settings_path.unlink()
    assert "is not a Genba site" in texts(show(page, site, language, monkeypatch))


def messages() -> Iterator[tuple[str, str]]:
    """(file, English text) of every message of the staff pages and the shell, read from the syntax trees."""
    for path in [*sorted((CHECKOUT / "annotate").rglob("*.py")), CHECKOUT / "app.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
                continue
            name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
            if name in ("_", "translate") and isinstance(node.args[0].value, str):
                yield path.name, node.args[0].value


def test_every_message_has_a_japanese_entry_with_the_same_placeholders() -> None:
    def places(text: str) -> set[str]:
        return {name for _before, name, _spec, _conversion in string.Formatter().parse(text) if name}

    found, japanese = list(messages()), catalogue("ja")
    assert len(found) > 80
    assert [(file, text) for file, text in found if text not in japanese] == []
    assert [text for _file, text in found if places(text) != places(japanese[text])] == []


@pytest.mark.parametrize("page", ["queue", "correct"])
def test_a_japanese_page_has_no_english_message(
    page: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = show(page, site, "ja", monkeypatch)
    english = {text for _file, text in messages() if "{" not in text}
    shown = [e.value for kind in (at.title, at.text, at.caption) for e in kind] + [b.label for b in at.button]
    assert [text for text in shown if text in english] == []
