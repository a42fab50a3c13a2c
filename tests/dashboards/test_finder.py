"""The page Finder: its numbers, its charts, its words, and the page in both languages."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from annotate.estimate import Estimate
from annotate.seconds import PRIOR
from dashboards import charts, figures, finder, finder_charts, finder_words
from dashboards.figures import Missing
from dashboards.finder import Answered, Learning, Line
from data import jobs
from data.errors import GenbaError
from data.messages import catalogue, number, translator
from data.settings import set_value
from data.site import Site
from scoring import refit
from scoring.learned import Answers, RiskFit, columns, fit_risk
from scoring.signals import SIGNALS
from tests.dashboards.conftest import BASE, START, add_correction, add_image, add_pair, add_score
from tests.dashboards.test_charts import data, encodings, layers
from tests.dashboards.test_figures import draw
from tests.dashboards.test_pages import LANGUAGES, metric, rerun, show, texts

PAIRS = 80


def real_fit(answers: int = PAIRS, helps: bool = True, seed: int = 0) -> RiskFit:
    """A fit made by scoring/learned.py: one signal says what people say, or nothing but the prior does."""
    rng = np.random.default_rng(seed)
    wrong = np.arange(answers) % 2 == 0
    ranks = {name: rng.random(answers) for name in SIGNALS}
    prior = rng.uniform(0.1, 0.9, answers)
    if helps:
        ranks["lemon"] = np.clip(0.3 + 0.4 * wrong + rng.normal(0, 0.1, answers), 0, 1)
    else:
        prior = np.clip(0.3 + 0.4 * wrong + rng.normal(0, 0.05, answers), 0.02, 0.98)
    signals = {name: rng.random(answers) for name in SIGNALS}
    given = Answers(wrong, np.arange(answers) % 4 < 2, np.full(answers, 0.5), np.arange(answers), 2 * answers)
    found = fit_risk(columns(ranks, signals, prior), given)
    assert found is not None
    return found


def add_answers(site: Site, bad: int, right: int, audited: int = 0, simulated: int = 0) -> None:
    """Scored captions with a label each, and ten that wait, their risks 0.05, 0.15, .., 0.95."""
    with site.connect() as db:
        for n in range(bad + right):
            pair = add_pair(db, add_image(db, 100 + n), f"答え {n}")
            add_score(db, pair, 0.2, risk=0.5)
            verdict = "fix" if n < bad else "ok"
            key = add_correction(db, pair, verdict, seconds=PRIOR[verdict], simulated=n < simulated)
            is_audit = n < audited
            db.insert("labels", [{"pair_id": pair, "correction_id": key, "needs_correction": n < bad,
                                  "source": "audit" if is_audit else "queue", "labelled_at": START,
                                  "inclusion_probability": 0.5 if is_audit else None}])  # fmt: skip
        for n in range(10):
            add_score(db, add_pair(db, add_image(db, 900 + n), f"待ち {n}"), 0.2, risk=0.05 + 0.1 * n)


def add_fit(site: Site, fit: RiskFit, at: datetime = START) -> None:
    with site.connect() as db:
        model = fit.as_json()
        db.insert("risk_fits", [{"fit_id": at.isoformat(), "encoder": BASE, "fingerprint": "f", "kind": fit.kind,
                                 "labels": fit.answers, "auroc": fit.auroc, "model": model, "fitted_at": at,
                                 "auroc_label_free": fit.auroc_label_free, "curve": model["curve"]}])  # fmt: skip
        db.set_state(refit.state_key(BASE), {"answers": refit.answers_digest(db), "fitted": True})


@pytest.fixture
def learned(site: Site) -> Site:
    """40 bad and 40 right answers, half of them audited, and two fits: the newer one is learned."""
    add_answers(site, 40, 40, audited=40)
    add_fit(site, real_fit(40))
    add_fit(site, real_fit(), START + timedelta(days=1))
    return site


def priced(site: Site, yen: float) -> Site:
    finder.say_bad_caption_cost(site, yen, "田中")
    return Site.open(site.root)


def test_answers_are_counted_by_verdict_source_and_who(site: Site) -> None:
    add_answers(site, 5, 3, audited=2, simulated=4)
    found = finder.learning(site)
    assert found.answered == Answered(8, 5, 2, 4)
    assert (found.answered.right, found.answered.from_queue, found.answered.is_enough) == (3, 6, False)
    assert found.current is None and found.fits == [] and not found.is_due


def test_answers_on_captions_that_are_not_scored_teach_nothing(site: Site) -> None:
    add_answers(site, 5, 3)
    with site.connect() as db:
        db.execute("DELETE FROM scores WHERE pair_id IN (SELECT pair_id FROM labels LIMIT 2)")
    assert finder.learning(site).answered.answers == 6


@pytest.mark.parametrize(
    ("answers", "bad", "enough"),
    [(30, 8, True), (29, 8, False), (40, 7, False), (40, 33, False), (40, 32, True)],
)
def test_enough_is_what_scoring_asks_for(answers: int, bad: int, enough: bool) -> None:
    assert Answered(answers, bad, 0, 0).is_enough is enough
    rng = np.random.default_rng(0)
    ranks, signals = ({name: rng.random(answers) for name in SIGNALS} for _ in range(2))
    features = columns(ranks, signals, rng.random(answers))
    given = Answers(
        np.arange(answers) < bad, np.zeros(answers, bool), np.ones(answers), np.arange(answers), 100
    )
    assert (fit_risk(features, given) is not None) is enough


def test_the_newest_fit_is_in_use_until_too_few_answers_stand(learned: Site) -> None:
    found = finder.learning(learned)
    assert found.current is not None and (found.current.kind, found.current.answers) == ("learned", PAIRS)
    assert [fit.answers for fit, _at in found.fits] == [PAIRS, 40] and not found.is_due
    with learned.connect() as db:
        db.execute("DELETE FROM labels WHERE needs_correction")
    found = finder.learning(learned)
    assert found.current is None and found.is_due


def test_the_line_needs_a_price_and_a_risk_that_has_learned(site: Site) -> None:
    add_answers(site, 4, 4)
    assert isinstance(finder.line(priced(site, 500), finder.learning(site)), Missing)
    add_answers_needed = Missing("a risk that has learned from answers")
    assert (
        finder.line(site, finder.learning(site)) == add_answers_needed
    )  # nothing that a scoring would change


def test_without_a_price_there_is_no_line(learned: Site) -> None:
    found = finder.line(learned, finder.learning(learned))
    assert found == Missing("what a bad caption costs that stays")


def test_the_line_by_hand(learned: Site) -> None:
    # Wage 3,600 yen an hour is one yen a second: looking 10, mending 20 more. A look pays where
    # risk (120 - 20) >= 10, so from 0.1 on: 0.15, 0.25, .., 0.95 lie above, 4.95 bad ones among nine.
    set_value(learned.settings_path, "cost", "wage_jpy_per_hour", 3600.0)
    found = finder.line(priced(learned, 120), finder.learning(learned))
    assert isinstance(found, Line)
    assert (found.look_jpy, found.mend_jpy) == (pytest.approx(10), pytest.approx(20))
    assert found.probability == pytest.approx(0.1) and (found.waiting, found.above) == (10, 9)
    assert found.seconds == pytest.approx(4.95 * 30 + 4.05 * 10) == pytest.approx(found.cost_jpy)


@pytest.mark.parametrize("yen", [25, 20, 5])
def test_a_price_below_the_work_leaves_nothing_to_look_at(learned: Site, yen: float) -> None:
    set_value(learned.settings_path, "cost", "wage_jpy_per_hour", 3600.0)
    found = finder.line(priced(learned, yen), finder.learning(learned))
    assert isinstance(found, Line) and found.probability > 1 and (found.above, found.cost_jpy) == (0, 0)
    assert "30" in finder_words.line_sentences(found, "en")[0]  # what a bad caption takes: 10 + 20 yen


def test_a_price_below_zero_is_refused_and_nothing_is_written(site: Site) -> None:
    before = site.settings_path.read_text()
    with pytest.raises(GenbaError, match="bad_caption_jpy"):
        finder.say_bad_caption_cost(site, -1, "田中")
    assert site.settings_path.read_text() == before


def test_a_learned_fit_leans_on_the_signal_that_tells(learned: Site) -> None:
    fit = finder.learning(learned).current
    assert fit is not None
    weighed = finder.leanings(fit)
    assert weighed[0][0] == "lemon" and weighed[0][1] > 0 and len(weighed) == finder.MOST_LEANINGS
    sizes = [abs(weight) for _name, weight in weighed]
    assert sizes == sorted(sizes, reverse=True)
    assert finder.leanings(real_fit(helps=False)) == []  # a label-free fit has no such column


def test_every_signal_has_a_name_of_its_own_in_both_languages() -> None:
    for language in LANGUAGES:
        names = [finder_words.signal_name(name, language) for name in SIGNALS]
        assert len(set(names)) == len(names) and not set(names) & set(SIGNALS)
    assert finder_words.signal_name("new_one", "ja") == "new_one"


MANY = Answered(80, 40, 40, 0)


def state(fit: RiskFit | None, answered: Answered = MANY) -> Learning:
    return Learning(BASE, answered, [(fit, START)] if fit else [], False)


def test_the_sentence_says_how_the_risk_is_made() -> None:
    fit = replace(real_fit(), auroc=0.874, auroc_label_free=0.791)
    assert finder_words.learning_sentence(state(fit), "en") == (
        "The risk has learned from 80 answers. In 87 of 100 comparisons it ranks a bad caption above a right one; "
        "without the answers it would do so in 79."
    )
    plain = replace(fit, kind="label_free", auroc=0.7)
    assert "does not rank better" in finder_words.learning_sentence(state(plain), "en")
    assert finder_words.risk_name(state(plain), "en") == "Label-free, calibrated"
    assert "next scoring" in finder_words.learning_sentence(state(None), "en")
    assert "too few" in finder_words.learning_sentence(state(None, Answered(3, 2, 0, 0)), "en")


def test_where_right_ones_lack_the_blind_audit_is_named() -> None:
    assert "blind audit" in finder_words.needed_sentence(Answered(40, 36, 0, 0), "en")
    assert "blind audit" not in finder_words.needed_sentence(Answered(20, 10, 0, 0), "en")


def test_the_advice_follows_the_line() -> None:
    line = Line(300, 10, 20, 0.1, waiting=50, above=7, seconds=100, cost_jpy=100)
    assert finder_words.advice(line, "en") == "Go on with the 7 captions above the line, and stop there."
    assert finder_words.advice(replace(line, above=0), "en").startswith("Stop")


@pytest.mark.parametrize(
    ("share", "shown"), [(0.123, "12 %"), (0.031, "3.1 %"), (1.0, "100 %"), (0.0, "0.0 %")]
)
def test_percent(share: float, shown: str) -> None:
    assert finder_words.percent(share, "en") == shown


def test_the_reliability_chart_draws_every_interval_beside_the_diagonal() -> None:
    fit = real_fit()
    chart = finder_charts.reliability_chart(fit.curve, "en").to_dict()
    drawn = [row for row in data(chart) if "seen" in row]
    assert [(row["predicted"], row["seen"], row["low"], row["high"], row["answers"]) for row in drawn] == [
        (b.predicted, b.seen, b.low, b.high, b.answers) for b in fit.curve
    ]
    assert sum(row["answers"] for row in drawn) == PAIRS
    assert {"predicted": 1.0, "low": 1.0} in data(chart)
    assert any(layer["encoding"].get("y2", {}).get("field") == "high" for layer in layers(chart))
    assert "answers" in str(encodings(chart, "tooltip"))


def test_fits_are_drawn_in_the_order_in_which_they_came() -> None:
    older, newer = real_fit(40), real_fit()
    chart = finder_charts.fits_chart([(newer, START + timedelta(days=1)), (older, START)], "en").to_dict()
    rows = [row for row in data(chart) if row["which"] == "learned"]
    assert [(row["place"], row["answers"], row["auroc"]) for row in rows] == [
        (0, 40, older.auroc),
        (1, PAIRS, newer.auroc),
    ]
    assert len(encodings(chart, "shape")[0]["scale"]["range"]) == 2  # not by colour alone


def test_before_and_after_stand_on_one_axis_that_begins_at_zero() -> None:
    found = Estimate(100, 30, 0.1, 0.05, 0.2, 900, 90.0, 45.0, 180.0, found=200, captions=1200, before=290.0,
                     before_low=245.0, before_high=380.0)  # fmt: skip
    chart = finder_charts.left_chart(found, "en").to_dict()
    rows = {row["when"]: (row["bad"], row["low"], row["high"], row["of"]) for row in data(chart)}
    assert rows == {"at the beginning": (290, 245, 380, 1200), "now": (90, 45, 180, 900)}
    assert encodings(chart, "x")[0]["scale"] == {"zero": True}


def test_leanings_are_told_apart_by_side_and_colour() -> None:
    chart = finder_charts.leanings_chart([("a", 0.8), ("b", -0.2)], "en").to_dict()
    assert {row["signal"]: row["which"] for row in data(chart)} == {
        "a": "raises the risk",
        "b": "lowers the risk",
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_line_is_drawn_into_the_risk_chart(learned: Site, language: str) -> None:
    rows = figures.risk_distribution(learned)
    assert all("line" not in row for row in data(charts.risk_chart(rows, language).to_dict()))
    text = translator(language)("a look pays from {line} on").format(line="0.12")
    assert {"line": 0.123, "text": text} in data(charts.risk_chart(rows, language, 0.123).to_dict())


def charts_on(at: AppTest) -> int:
    return len(at.get("vega_lite_chart"))


def said(at: AppTest) -> str:
    """All text, badges with their escapes taken away."""
    return texts(at).replace("\\", "")


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_empty_site_shows_no_number_and_says_what_each_needs(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    at = show("finder", site, language, monkeypatch)
    assert {element.value for element in at.metric} == {"—", _("Label-free")}
    page = said(at)
    assert finder_words.needed_sentence(Answered(0, 0, 0, 0), language) in page
    assert _("nobody has said") in page and _("Nothing scored yet") in page and _("Not learned yet") in page
    assert [button.label for button in at.button if _("Draw the audit") in button.label]
    assert charts_on(at) == 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_site_with_few_answers_counts_them_and_learns_nothing(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    add_answers(site, 9, 3, simulated=2)
    at = show("finder", priced(site, 400), language, monkeypatch)
    page = said(at)
    assert finder_words.needed_sentence(Answered(12, 9, 0, 2), language) in page
    assert metric(at, _("Ranking (AUROC, cross-validated)")) == "—"
    assert _("includes {n} simulated").format(n=2) in page
    assert charts_on(at) == 1  # where the risk lies; no line in it
    assert "0.12" not in page and not [b for b in at.button if b.key == "learn"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_site_with_a_fit_shows_what_scoring_has_stored(
    learned: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    draw(learned, {"fix": 4, "ok": 16})
    at = show("finder", priced(learned, 300), language, monkeypatch)
    found = finder.learning(learned)
    fit, line = found.current, finder.line(Site.open(learned.root), found)
    left = figures.remaining(learned)
    assert fit and isinstance(line, Line) and isinstance(left, figures.Remaining)
    assert metric(at, _("Risk in use")) == _("Learned")
    assert metric(at, _("Ranking (AUROC, cross-validated)")) == number(fit.auroc, language, 3)
    assert metric(at, _("Waiting captions worth a look")) == number(line.above, language)
    page = said(at)
    assert finder_words.learning_sentence(found, language) in page
    for sentence in (*finder_words.line_sentences(line, language), finder_words.advice(line, language)):
        assert sentence in page
    assert number(left.estimate.bad_left_high, language) in page
    assert charts_on(at) == 5  # history, reliability, weights, risk with its line, how many are left
    assert {"risk_fits", "labels", "audits"} <= {
        word for code in at.code for word in str(code.value).replace(",", " ").split()
    }


def test_a_price_is_set_on_the_page(learned: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at = show("finder", learned, "en", monkeypatch)
    assert metric(at, "Waiting captions worth a look") == "—" and "nobody has said" in said(at)
    next(one for one in at.number_input if "Yen" in one.label).set_value(300.0)
    next(button for button in at.button if button.label == "Set the price").click()
    rerun(at)
    assert Site.open(learned.root).settings.cost.bad_caption_jpy == 300.0
    assert metric(at, "Waiting captions worth a look") != "—" and "nobody has said" not in said(at)
    with learned.connect() as db:
        assert db.value("SELECT actor FROM events WHERE what = 'cost.bad_caption'") == "田中"


def test_an_audit_is_drawn_on_the_page(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with site.connect() as db:
        for n in range(30):
            add_score(db, add_pair(db, add_image(db, n, "test"), f"部品 {n}"), 0.2, risk=n / 30)
    at = show("finder", site, "en", monkeypatch)
    next(one for one in at.number_input if "audit" in one.label).set_value(12)
    next(button for button in at.button if button.label == "Draw the audit").click()
    rerun(at)
    with site.connect() as db:
        assert db.value("SELECT count(*) FROM audits") == 12
    assert "Drawn captions that wait for a verdict: 12." in said(at).replace("\\", "")


def test_an_audit_of_an_empty_site_is_refused_in_words(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at = show("finder", site, "en", monkeypatch)
    next(button for button in at.button if button.label == "Draw the audit").click()
    rerun(at)
    assert "No unjudged caption of a held-out photo is left to draw." in said(at)


def test_new_answers_are_learned_by_a_button(learned: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at = show("finder", learned, "en", monkeypatch)
    assert not [button for button in at.button if button.key == "learn"]
    with learned.connect() as db:
        db.execute("DELETE FROM labels WHERE pair_id = (SELECT min(pair_id) FROM labels)")
    at = show("finder", learned, "en", monkeypatch)
    at.button(key="learn").click()
    rerun(at)
    with learned.connect() as db:
        assert [(job.name, job.requested_by) for job in jobs.jobs(db)] == [("score", "田中")]


def test_a_japanese_page_has_no_english_sentence(learned: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(learned, {"fix": 4, "ok": 16})
    english = {text for text in catalogue("ja") if len(text.split()) > 1}
    at = show("finder", priced(learned, 300), "ja", monkeypatch)
    shown: list[Any] = [e.value for kind in (at.title, at.subheader, at.text, at.caption) for e in kind]
    assert [text for text in shown if str(text).replace("\\", "") in english] == []
