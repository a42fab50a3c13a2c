"""The overview: stage, what changed, how each of the five numbers moves; in both languages, nothing as HTML."""

from __future__ import annotations

from datetime import timedelta

import pytest

from annotate.pages.since_yesterday import day_name
from annotate.since_yesterday import last_day
from dashboards import figures
from data import kept
from data.messages import translator, yen
from data.site import Site
from data.store import now
from tests.dashboards.conftest import add_correction, add_effect, add_image, add_pair, add_run
from tests.dashboards.test_pages import LANGUAGES, metric, show, texts
from training.pilot import set_stage


def plain(text: str) -> str:
    """Without the marks that keep Markdown from reading it."""
    return text.replace("\\", "")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_stage_is_the_one_of_the_page_pilot(
    worked: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    at = show("overview", worked, language, monkeypatch)
    assert _("Stage: {stage}").format(stage=_("Pilot")) in texts(at)
    set_stage(worked, "automation", "田中")
    at = show("overview", worked, language, monkeypatch)
    assert _("Stage: {stage}").format(stage=_("Automation")) in texts(at)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_changed_stands_in_one_line_with_its_counts(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    with site.connect() as db:
        for number, verdict in enumerate(("fix", "fix", "ok")):
            add_correction(db, add_pair(db, add_image(db, number), "部品"), verdict, at=now())
    at = show("overview", site, language, monkeypatch)
    since = day_name(last_day(site).since, language)
    line = plain(next(one.label for one in at.expander if since in plain(one.label)))
    assert _("Corrections since {day}: {n}").format(day=since, n=3) in line
    told = _("Captions corrected: {n}; confirmed right, set aside or approved: {m}.")
    assert told.format(n=2, m=1) in plain(texts(at))


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_number_says_how_it_moved(site: Site, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _ = translator(language)
    task, wanted = site.settings.retrain.primary_metric
    with site.connect() as db:
        for number, days in enumerate((0, 1, 8)):
            moment = now() - timedelta(days=days)
            add_correction(db, add_pair(db, add_image(db, number), "部品"), "fix", at=moment, seconds=3600.0)
        for number, (value, low, high) in enumerate(((0.098, 0.041, 0.152), (0.021, -0.01, 0.05))):
            run = add_run(db, f"run-{number}", at=now() - timedelta(days=9 - number))
            add_effect(db, run, wanted, value, low, high, task=task)
    computed = figures.cost(site).compute_jpy  # of the two retrainings, in the week before
    at = show("overview", site, language, monkeypatch)
    page = plain(texts(at))
    weeks = _("Last 7 days {now}, the 7 before {before}")
    hours = {"ja": ("2時間", "1時間"), "en": ("2 h", "1 h")}[language]
    assert weeks.format(now="2", before="1") in page and weeks.format(now=hours[0], before=hours[1]) in page
    assert (
        computed > 1 and weeks.format(now=yen(5000, language), before=yen(2500 + computed, language)) in page
    )
    before = _("The retraining before the last one: {value} (95 % interval {low} to {high})")
    points = {"ja": "+9.8ポイント", "en": "+9.8 points"}[language]
    assert before.format(value=points, low="+4.1", high="+15.2") in page
    assert len(at.get("image")) == 4, "bars of three numbers, points of the retrainings"


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_empty_site_draws_no_trend_and_no_zero(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    at = show("overview", site, language, monkeypatch)
    assert not at.get("image")
    assert metric(at, _("Bad captions left")) == metric(at, _("Effect of the last retraining")) == "—"
    assert _("Not yet measurable: needs {what}.").format(what=_("a blind audit")) in texts(at).replace(
        "\\", ""
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_model_in_use_names_the_gain(
    worked: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    at = show("overview", worked, language, monkeypatch)
    assert metric(at, _("Effect of the last retraining")) and _("no retrained model is in use yet") in texts(
        at
    )
    with worked.connect() as db:
        db.execute("UPDATE models SET state = 'champion', promoted_at = ?", [now()])
    at = show("overview", worked, language, monkeypatch)
    assert metric(at, _("Measured gain of the model in use"))
    assert _("no retrained model is in use yet") not in texts(at)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_large_site_says_how_old_its_figures_are(
    worked: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    words = _("Figures over all captions as of {when}").split("{when}")[0]
    assert words not in texts(show("overview", worked, language, monkeypatch))
    monkeypatch.setattr(kept, "SMALL_BYTES", 0)
    for page in ("overview", "quality"):
        assert words in texts(show(page, worked, language, monkeypatch))
