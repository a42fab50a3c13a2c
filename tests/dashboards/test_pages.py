"""The managers' pages in both languages: what they show is what the store holds, as text."""

from __future__ import annotations

import ast
import dataclasses
import shlex
import string
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from streamlit.testing.v1 import AppTest

from annotate.crew import CrewWork
from annotate.pages import person
from annotate.pages.elements import Opened
from annotate.pages.jobs_strip import message_words
from annotate.sync import Pushed, Synced
from dashboards import effects, figures, words
from dashboards.pages.jobs import result_name
from data import jobs
from data.ingest import IngestResult
from data.messages import catalogue, number, translator, yen
from data.settings import set_value
from data.site import Site
from data.store import now
from scoring.score import ScoreResult
from tests.conftest import CHECKOUT
from tests.dashboards.conftest import START, add_effect, add_image, add_model, add_pair, add_run
from tests.dashboards.test_figures import draw
from training import detect
from training.detect import Statement

LANGUAGES = ["ja", "en"]
NASTY = "<script>alert(1)</script> **佐藤** [x](http://x)"


def show(page: str, site: Site, language: str, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("GENBA_SITE", str(site.root))
    at = AppTest.from_string(f"from dashboards.pages import {page}\n{page}.page()\n", default_timeout=60)
    at.session_state["language"] = language
    at.session_state["name"] = "田中"
    return rerun(at)


def rerun(at: AppTest) -> AppTest:
    at.run()
    assert not at.exception, at.exception
    return at


def texts(at: AppTest) -> str:
    """Everything that stands on the page as text, code or Markdown."""
    kinds = (at.title, at.subheader, at.text, at.caption, at.markdown, at.code, at.metric)
    parts = [str(element.value) for kind in kinds for element in kind]
    return "\n".join([*parts, *(metric.label for metric in at.metric)])


def metric(at: AppTest, label: str) -> str:
    return next(element.value for element in at.metric if element.label == label)


@pytest.mark.parametrize("language", LANGUAGES)
def test_overview_shows_the_numbers_that_the_store_holds(
    worked: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(worked, {"fix": 2, "ok": 8})
    _ = translator(language)
    at = show("overview", worked, language, monkeypatch)
    gain, left = effects.gain(worked), figures.remaining(worked)
    assert isinstance(gain, effects.Effect) and isinstance(left, figures.Remaining)
    fixed = figures.work(worked).fixed
    assert metric(at, _("Captions fixed")) == number(fixed.people, language) == "5"  # 3 and the audit's 2
    assert metric(at, _("Effect of the last retraining")) == words.difference(gain.value, gain, language)
    assert words.difference(gain.value, gain, language).startswith("+9.8")
    shown_left = number(left.estimate.bad_left, language)
    assert metric(at, _("Bad captions left")) == _("about {n}").format(n=shown_left)
    assert metric(at, _("Cost so far")) == yen(figures.cost(worked).total_jpy, language)
    page = texts(at)
    assert words.last_run_sentence(worked, language) in page
    assert _("simulated") in page and _("default rates") in page


@pytest.mark.parametrize("language", LANGUAGES)
def test_simulated_captions_are_never_added_to_peoples(
    worked: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    at = show("overview", worked, language, monkeypatch)
    assert metric(at, _("Captions fixed")) == "3"
    assert "5" not in [element.value for element in at.metric]
    assert "2" in [element.value for element in at.text]  # beside its badge


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_empty_site_says_what_each_number_needs(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    at = show("overview", site, language, monkeypatch)
    assert metric(at, _("Bad captions left")) == "—" == metric(at, _("Effect of the last retraining"))
    codes = [element.value for element in at.code]
    root = shlex.quote(str(site.root))
    assert f"genba audit {root} draw 100" in codes and f"genba retrain {root}" in codes
    assert _("No retraining has finished yet, so no gain is measured.") in texts(at)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_undecided_run_is_shown_as_undecided(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site.connect() as db:
        add_run(db, "r")
        add_effect(db, "r", "recall_at_1_text_to_image", 0.3, -0.001, 0.6)
    _ = translator(language)
    page = texts(show("overview", site, language, monkeypatch))
    assert _("not proven") in page and _("proven gain") not in page.replace(_("not proven"), "")


def test_the_next_step_button_queues_the_job_once(worked: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with worked.connect() as db:
        db.execute("DELETE FROM models")
    at = show("overview", worked, "en", monkeypatch)
    at.button(key="next-step").click()
    rerun(at)
    with worked.connect() as db:
        rows = db.rows("SELECT name, arguments, requested_by FROM jobs")
    assert rows == [{"name": "audit", "arguments": {"n": words.AUDIT_SIZE}, "requested_by": "田中"}]


def test_rates_are_confirmed_on_the_page(worked: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at = show("overview", worked, "en", monkeypatch)
    assert "default rates" in texts(at)
    at.number_input[0].set_value(3000.0)
    next(button for button in at.button if button.label == "Confirm the rates").click()
    rerun(at)
    assert Site.open(worked.root).settings.cost.wage_jpy_per_hour == 3000.0
    at = show("overview", worked, "en", monkeypatch)
    assert "default rates" not in texts(at)
    computed = figures.cost(worked).compute_jpy  # the run's seconds
    assert metric(at, "Cost so far") == yen(180 / 3600 * 3000 + computed, "en") and computed > 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_runs_shows_arms_effects_and_who(
    worked: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with worked.connect() as db:
        db.insert("jobs", [job("retrain", "done", requested_by=NASTY, result={"run": "run-1"})])
        add_run(db, "run-0", START + timedelta(days=1), state="failed")
        db.execute("UPDATE runs SET error = ? WHERE run_id = 'run-0'", [NASTY])
    at = show("runs", worked, language, monkeypatch)
    table = at.dataframe[0].value
    assert len(table) == 2 and NASTY in table.to_string()
    assert words.run_sentence(worked, "run-1", language) in texts(at)
    # Effects against the original captions in points and in metres, against the reworded ones in points; the two main
    # metrics side by side, the others stand in the table.
    assert len(at.get("vega_lite_chart")) == 2 + 1 + 2


def test_a_retraining_is_started_by_hand_with_its_seeds(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number alone starts nothing, nor does an equal one start twice; one with other seeds may."""
    at = show("runs", site, "en", monkeypatch)
    at.number_input[0].set_value(5)
    rerun(at)
    with site.connect() as db:
        assert db.value("SELECT count(*) FROM jobs") == 0
    next(button for button in at.button if button.label == "Start now").click()
    rerun(at)
    with site.connect() as db:
        queued = db.one("SELECT name, arguments, requested_by FROM jobs")
    assert queued == {
        "name": "retrain",
        "arguments": {"arms": ["original", "corrected"], "seeds": 5},
        "requested_by": "田中",
    }
    for state in ("queued", "running"):
        with site.connect() as db:
            db.execute("UPDATE jobs SET state = ?, heartbeat_at = queued_at", [state])
        rerun(at)
        assert next(button for button in at.button if button.label == "Start now").disabled
        assert "An equal retraining waits or runs already" in texts(at)
    at.number_input[0].set_value(4)
    rerun(at)
    assert not next(button for button in at.button if button.label == "Start now").disabled


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_run_of_one_seed_promises_no_smaller_effect(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site.connect() as db:
        add_run(db, "three")
        add_effect(db, "three", "recall_at_1_text_to_image", 0.07, 0.02, 0.12, seeds=3)
        add_run(db, "single", at=now())
        add_effect(db, "single", "recall_at_1_text_to_image", 0.07, 0.03, 0.11, seeds=1)
    at = show("runs", site, language, monkeypatch)
    at.number_input[0].set_value(1)
    rerun(at)
    known = effects.telling(site)
    assert known is not None and known.run_id == "three"
    assert words.before_sentence(known, 1, language) in texts(at).replace("\\", "")
    assert "12.4" in words.before_sentence(known, 1, language)  # 2.8016 * 0.1 / 3.92 * sqrt(3)


def job(name: str, state: str, **other: object) -> dict[str, object]:
    return {"job_id": f"{name}-{state}", "name": name, "arguments": {}, "state": state, "requested_by": "田中",
            "done": 0, "total": None, "message": "", "attempts": 1, "cancel_requested": False, "queued_at": now(),
            "started_at": None, "finished_at": None, "error": None, "result": None, **other}  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_jobs_shows_progress_rate_and_errors_as_text(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    logs = site.root / "logs" / "jobs"
    logs.mkdir()
    (logs / "retrain-failed.log").write_text("first line\n" * 500 + "the last line\n", encoding="utf-8")
    with site.connect() as db:
        running = job(
            "score", "running", done=120, total=300, message=NASTY, started_at=now() - timedelta(seconds=60)
        )
        failed = job("retrain", "failed", error=f"Traceback\nGenbaError: {NASTY}")
        db.insert("jobs", [running, failed, job("sync", "queued", requested_by=NASTY)])
    at = show("jobs", site, language, monkeypatch)
    lines = [element.value for element in at.text]
    assert any(_("{done} of {total}").format(done=120, total=300) in line and NASTY in line for line in lines)
    assert _("by {name}").format(name=NASTY) in lines
    assert NASTY in lines  # the error in words, without the name of its class
    assert any("the last line" in element.value for element in at.code)
    assert not any("<script>" in element.value for element in (*at.markdown, *at.caption))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_rules_of_retraining_are_set_by_a_lead_alone(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    at = show("jobs", site, language, monkeypatch)
    assert _("No retraining starts by itself: no rule is set.") in texts(at)
    fields = {field.label: field for field in (*at.number_input, *at.text_input)}
    fields[_("After so many fixed captions")].set_value(50)
    fields[_("When the audited error fell by (%)")].set_value(25.0)
    fields[_("Never start between")].set_value("8-18")
    at.button[[button.label for button in at.button].index(_("Save the rules"))].click()
    rerun(at)
    assert "is not a span of hours" in texts(at)
    assert Site.open(site.root).settings.retrain.after_corrections == 0  # nothing was written
    next(field for field in at.text_input if field.label == _("Never start between")).set_value("08:00-18:00")
    at.button[[button.label for button in at.button].index(_("Save the rules"))].click()
    rerun(at)
    rules = Site.open(site.root).settings.retrain
    assert (rules.after_corrections, rules.after_error_fell, rules.no_start_between) == (
        50,
        0.25,
        "08:00-18:00",
    )
    with site.connect() as db:
        event = db.rows("SELECT actor, detail FROM events WHERE what = 'retrain.rules'")[0]
    assert event["actor"] == "田中" and event["detail"]["after_corrections"] == 50
    set_value(site.settings_path, "review", "leads", ["佐藤"])
    at = show("jobs", site, language, monkeypatch)
    assert not at.number_input and _("A lead may change these rules.") in " ".join(
        element.value.replace("\\", "") for element in at.caption
    )


def test_a_job_is_cancelled_and_tried_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with site.connect() as db:
        db.insert(
            "jobs", [job("score", "queued"), job("retrain", "failed", error="x", arguments={"seeds": 2})]
        )
    at = show("jobs", site, "en", monkeypatch)
    at.button(key="cancel-score-queued").click()
    rerun(at)
    at.button(key="retry-retrain-failed").click()
    rerun(at)
    with site.connect() as db:
        found = {row.job_id: row for row in jobs.jobs(db)}
    assert found["score-queued"].state == "cancelled"
    again = next(row for row in found.values() if row.name == "retrain" and row.state == "queued")
    assert again.arguments == {"seeds": 2} and again.requested_by == "田中"


def test_every_count_that_a_job_returns_has_a_name_in_words(site: Site) -> None:
    english, japanese = (Opened(site, one, translator(one), "田中") for one in ("en", "ja"))
    for result in (IngestResult, ScoreResult, Pushed, Synced, CrewWork):
        simple = [f.name for f in dataclasses.fields(result) if f.type in ("int", "float", "str")]
        assert simple
        for name in simple:
            assert result_name(name, japanese) != name, (result, name)
            assert result_name(name, english)


STATED = Statement("retrieval", "recall_at_1_text_to_image", "corrected", "without:defect", 0.0561, "fraction", 338, 3,
                   "assumed")  # fmt: skip


@pytest.mark.parametrize(
    ("message", "japanese"),
    [
        ("photos", "写真"),
        ("corrected, seed 1, loss 2.31", "修正後のキャプション、シード 1、損失 2.31"),
        ("without:defect, seed 0, loss 0.70", "項目「欠陥」なし、シード 0、損失 0.70"),
        ("measured without:a lost one, seed 1", "測定中：項目「a lost one」なし、シード 1"),
        ("reworded, seed 2, loss 1.05", "言い換えたキャプション、シード 2、損失 1.05"),
        ("measured corrected, seed 1", "測定中：修正後のキャプション、シード 1"),
        ("measuring the model before", "測定中：これまでのモデル"),
        ("measured the candidate", "測定中：候補のモデル"),
        (
            detect.told(STATED),
            "検出できる効果は主要指標で 5.6 ポイント以上："
            "修正後のキャプションと項目「欠陥」なしの差（n = 338、シード数 3、ばらつきは仮定）",
        ),
        (
            detect.told(replace(STATED, unit="m", basis="earlier run 20261126-1-ab", versus="original")),
            "検出できる効果は主要指標で 0.056 m以上："
            "修正後のキャプションと元のキャプションの差"
            "（n = 338、シード数 3、ばらつきは再学習 20261126-1-ab から推定）",
        ),
        (
            detect.told(replace(STATED, detectable=None, basis="cannot be told", versus="original")),
            "主要指標で検出できる効果の大きさはまだ分かりません："
            "修正後のキャプションと元のキャプションの差（n = 338、シード数 3）",
        ),
        (NASTY, NASTY),
        ("", ""),
    ],
)
def test_what_a_job_says_is_told_in_words(site: Site, message: str, japanese: str) -> None:
    assert message_words(message, Opened(site, "ja", translator("ja"), "田中")) == japanese


@pytest.mark.parametrize("page", ["overview", "finder", "runs", "jobs"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_site_that_is_gone_is_an_error_in_words(
    page: str, language: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.settings_path.unlink()
    at = show(page, site, language, monkeypatch)
    assert "is not a Genba site" in texts(at)
    assert "genba init SITE --photos DIR" in [element.value for element in at.code]


def test_promotion_asks_first_and_says_what_is_proven(worked: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at = show("runs", worked, "en", monkeypatch)
    at.button(key="promote-model-1").click()
    rerun(at)
    page = texts(at)
    assert "The gain over the original captions is proven: Photo found from words, top 1 +9.8 points" in page
    assert "The run has no reworded arm" in page
    with worked.connect() as db:
        assert (
            db.value("SELECT state FROM models WHERE model_id = 'model-1'") == "candidate"
        )  # not before the yes


def messages() -> Iterator[tuple[str, str]]:
    """(file, English text) of every message of this room, read from the syntax trees."""
    for path in sorted((CHECKOUT / "dashboards").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
                continue
            name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
            if name in ("_", "translate", "Missing") and isinstance(node.args[0].value, str):
                yield path.name, node.args[0].value


def test_every_message_has_a_japanese_entry_with_the_same_placeholders() -> None:
    def places(text: str) -> set[str]:
        return {name for _before, name, _spec, _conversion in string.Formatter().parse(text) if name}

    found = list(messages())
    japanese = catalogue("ja")
    assert len(found) > 100
    assert [(file, text) for file, text in found if text not in japanese] == []
    assert [text for _file, text in found if places(text) != places(japanese[text])] == []


def test_no_message_slips_past_the_catalogue() -> None:
    """A translator called without the name `_` would escape the test above."""
    escaped = [
        path.name
        for path in (CHECKOUT / "dashboards").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Call)
        and getattr(node.func.func, "id", "") == "translator"
    ]  # fmt: skip
    assert escaped == []


@pytest.mark.parametrize("page", ["overview", "runs", "jobs"])
def test_a_japanese_page_has_no_english_sentence(
    page: str, worked: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = show(page, worked, "ja", monkeypatch)
    english = {text for _file, text in messages() if len(text.split()) > 1}
    shown = [e.value for kind in (at.title, at.subheader, at.text, at.caption) for e in kind]
    assert [text for text in shown if text in english] == []


def test_a_rolled_back_site_offers_no_rollback(worked: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at = show("runs", worked, "en", monkeypatch)
    assert [button for button in at.button if button.key == "rollback"] == []
    with worked.connect() as db:
        add_model(db, "model-2", "run-1", "champion")
    at = show("runs", worked, "en", monkeypatch)
    assert [button.label for button in at.button if button.key == "rollback"] == ["Roll back"]


def test_sites_in_one_process_do_not_mix(
    worked: Site, make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    from pathlib import Path

    from tests.dashboards.conftest import new_site

    other = new_site(Path(str(tmp_path)) / "other" / "site")
    assert metric(show("overview", worked, "en", monkeypatch), "Captions fixed") == "3"
    assert metric(show("overview", other, "en", monkeypatch), "Captions fixed") == "0"


@pytest.mark.parametrize("language", LANGUAGES)
def test_before_anything_is_scored_no_page_says_that_nothing_is_lacking_or_that_it_is_time_to_stop(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    with site.connect() as db:
        add_pair(db, add_image(db, 1), "ボルト")
    for page in ("quality", "finder", "roi"):
        told = texts(show(page, site, language, monkeypatch)).replace("\\", "")
        assert _("Nothing is scored yet, so no caption waits in the queue.") in told, page
        assert _("Nothing waits in the queue.") not in told and _("Nothing is lacking") not in told, page


def test_the_first_step_names_the_very_site(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at = show("overview", site, "ja", monkeypatch)
    assert f"genba ingest {shlex.quote(str(site.root))} SOURCE" in [one.value for one in at.code]


@pytest.mark.parametrize("state", ["gone", "broken"])
def test_a_store_that_cannot_be_opened_is_told_in_words_before_any_page(
    worked: Site, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost store must not look like a new site, nor be made anew."""
    path = worked.root / "genba.duckdb"
    path.unlink()
    if state == "broken":
        path.write_bytes(b"no store" * 1000)
    else:
        (worked.folder("served") / "x.jpg").write_bytes(b"x")
    monkeypatch.setenv("GENBA_SITE", str(worked.root))
    monkeypatch.setattr(person, "browser_key", lambda: "browser")
    script = "import os\nfrom annotate.pages import person\nfrom data.site import Site\n"
    script += "person.is_recalled(Site.open(os.environ['GENBA_SITE']))\n"
    at = AppTest.from_string(script, default_timeout=60)
    assert "genba.duckdb" in texts(rerun(at)) and len(at.code) == 1
    assert path.exists() == (state == "broken")
    assert "genba.duckdb" in texts(show("overview", worked, "ja", monkeypatch))
