"""Alignment before and after a correction, against cases counted by hand."""

from __future__ import annotations

import json
import math
from datetime import UTC, timedelta
from textwrap import dedent

import numpy as np
import pytest

from dashboards import alignment
from dashboards import alignment_charts as charts
from dashboards import alignment_words as words
from dashboards.figures import Missing
from data.site import Site
from tests.dashboards.conftest import START, add_correction, add_image, add_pair, add_score
from tests.dashboards.test_pages import LANGUAGES, NASTY, show, texts


def test_alignment_compares_the_same_photo_language_and_encoder(worked: Site) -> None:
    found = alignment.compared(worked)
    assert isinstance(found, alignment.Alignment)
    # before 0.10 + 0.01 n, after 0.30 + 0.02 n for n = 0..4, in any order; the English captions (0.90) stay out
    assert sorted(found.before) == pytest.approx([0.10, 0.11, 0.12, 0.13, 0.14])
    assert sorted(found.after) == pytest.approx([0.30, 0.32, 0.34, 0.36, 0.38])
    assert found.change == pytest.approx(0.22)
    # differences 0.20, 0.21, .., 0.24: s = 0.015811, t(0.975, 4) = 2.776, half = 2.776 * s / sqrt(5)
    assert found.high - found.change == pytest.approx(0.01963, abs=1e-4)
    assert found.low == pytest.approx(found.change - 0.01963, abs=1e-4)
    assert (found.n, found.simulated, found.encoder, found.knows_corrections) == (5, 2, "demo", False)


def test_alignment_of_a_caption_of_no_language_takes_the_mean_of_its_new_ones(site: Site) -> None:
    with site.connect() as db:
        image = add_image(db, 1)
        old, ja, en = (add_pair(db, image, text) for text in ("3", "鋼のボルト", "steel bolt"))
        for pair, cosine in ((old, 0.1), (ja, 0.3), (en, 0.5)):
            add_score(db, pair, cosine)
        add_correction(db, old, "fix", [ja, en])
    found = alignment.compared(site)
    assert isinstance(found, alignment.Alignment)
    assert found.after == pytest.approx([0.4])
    assert math.isinf(found.low) and math.isinf(found.high)  # one pair says nothing of the spread


def test_alignment_prefers_the_base_encoder_and_names_one_that_was_trained_on_corrections(
    worked: Site,
) -> None:
    with worked.connect() as db:
        db.execute(
            "INSERT INTO scores BY NAME SELECT * REPLACE ('local-dir:models/m' AS encoder) FROM scores"
        )
    assert alignment.compared(worked).encoder == "demo"  # type: ignore[union-attr]
    with worked.connect() as db:
        db.execute("DELETE FROM scores WHERE encoder = 'demo'")
    found = alignment.compared(worked)
    assert isinstance(found, alignment.Alignment) and found.knows_corrections


def test_alignment_needs_scores_of_both(site: Site) -> None:
    assert isinstance(alignment.compared(site), Missing)


def test_how_many_fit_worse_and_the_parts_of_a_small_case(site: Site) -> None:
    """Four captions by hand: +0.20, +0.40 on line A and ja; −0.10, +0.10 on line B and en, a week later."""
    told = [
        ("部品 0", "A", 0.1, 0.3, 0), ("部品 1", "A", 0.1, 0.5, 1),
        ("part 2", "B", 0.3, 0.2, 7), ("part 3", "B", 0.2, 0.3, 8),
    ]  # fmt: skip
    with site.connect() as db:
        for n, (caption, line, before, after, day) in enumerate(told):
            image = add_image(db, n)
            old, new = add_pair(db, image, caption), add_pair(db, image, f"{caption} !", "correction")
            db.execute("UPDATE pairs SET extra = to_json({line: ?}) WHERE pair_id = ?", [line, old])
            add_score(db, old, before)
            add_score(db, new, after)
            add_correction(db, old, "fix", [new], START + timedelta(days=day), simulated=n == 0)
    found = alignment.compared(site, UTC)
    assert isinstance(found, alignment.Alignment)
    # differences .2 .4 -.1 .1: mean .15, s = .208167, t(0.975, 3) = 3.182446, half = .331239
    assert (found.change, found.low, found.high) == pytest.approx((0.15, -0.181239, 0.481239), abs=1e-5)
    # 1 of 4: Clopper and Pearson 0.63 % to 80.59 %
    assert (found.n, found.worse, found.worse_low, found.worse_high) == (
        4, 1, pytest.approx(0.0063, abs=1e-4), pytest.approx(0.8059, abs=1e-4),
    )  # fmt: skip
    assert list(found.parts) == [alignment.WEEK, "language", "line"]
    first, second = found.parts[alignment.WEEK]
    assert (first.value, first.n, second.value, second.n) == ("2026-11-16", 2, "2026-11-23", 2)
    fallen, risen = found.parts["line"]  # the smallest change first
    assert (fallen.value, fallen.worse, fallen.before, fallen.after, fallen.change) == (
        "B", 1, pytest.approx(0.25), pytest.approx(0.25), pytest.approx(0.0),
    )  # fmt: skip
    # line A: .2 .4, s = .141421, t(0.975, 1) = 12.7062, half = 12.7062 * .1
    assert (risen.change, risen.low, risen.high) == pytest.approx(
        (0.3, 0.3 - 1.27062, 0.3 + 1.27062), abs=1e-4
    )
    assert not risen.is_enough
    assert [(one["old"], one["new"]) for one in alignment.fell_most(site, "demo", 5)] == [
        ("part 2", "part 2 !")
    ]
    # an interval that includes zero claims nothing
    assert "not proven" in words.sentence(found, "en") and "まだ確認できません" in words.sentence(found, "ja")


def test_few_authors_are_not_compared_by_name_and_one_caption_has_no_interval() -> None:
    rows = [
        {"corrected_at": START, "language": "ja", "extra": {"author": "ab"[n > 0]}, "before": 0.1,
         "after": 0.2 + n / 10}
        for n in range(3)
    ]  # fmt: skip
    assert alignment.parts_of(rows, show_names=False, zone=UTC) == {}
    alone, _two = alignment.parts_of(rows, show_names=True, zone=UTC)["author"]
    assert (alone.n, alone.low, words.ends(alone, "en")) == (1, None, "—")


def a_change(low: float, high: float, change: float | None = None) -> alignment.Alignment:
    middle = (low + high) / 2 if change is None else change
    return alignment.Alignment("demo", False, [0.1, 0.1], [0.2, 0.3], 0, middle, low, high, 0, 0.0, 0.8, {})


def test_better_or_worse_is_said_only_where_the_interval_leaves_out_zero() -> None:
    said = {
        (low, high): words.sentence(a_change(low, high), "en")
        for low, high in ((0.01, 0.2), (-0.2, -0.01), (-0.1, 0.1), (0.0, 0.2))
    }
    assert "better than before: by +0.105" in said[0.01, 0.2]
    assert "worse than before: by −0.105" in said[-0.2, -0.01]
    assert all("not proven" in said[ends] for ends in ((-0.1, 0.1), (0.0, 0.2)))
    alone = words.sentence(a_change(-math.inf, math.inf, 0.2), "en")
    assert "says nothing of others" in alone and "interval" not in alone


@pytest.mark.parametrize(
    "changes", [[0.0], [-0.31, 0.9], [0.2, 0.4], [-0.7, -0.1], [-1e-18, 0.3], [1e-7, 2e-7]]
)
def test_bins_hold_every_caption_and_none_lies_across_zero(changes: list[float]) -> None:
    edges = charts.bin_edges(np.array(changes))
    counts = np.histogram(changes, edges)[0]
    assert counts.sum() == len(changes) and 0.0 in edges and len(edges) < 30
    assert counts[edges[1:] <= 0].sum() == sum(one < 0 for one in changes)


def test_the_charts_draw_every_caption_with_units_interval_and_hover(worked: Site) -> None:
    with worked.connect() as db:
        db.execute("UPDATE scores SET cosine = 0.05 WHERE cosine = 0.30")
    found = alignment.compared(worked, UTC)
    assert isinstance(found, alignment.Alignment)
    bins, *_lines = charts.change_chart(found, "en").to_dict()["datasets"].values()
    assert sum(row["captions"] for row in bins) == 5
    assert sum(row["captions"] for row in bins if row["side"] == "fits worse") == found.worse == 1
    spec = charts.change_chart(found, "ja").to_dict()
    assert spec["layer"][0]["encoding"]["x"]["title"] == "一致度の変化：修正後 − 修正前（コサイン、単位なし）"
    told = [one["title"] for layer in spec["layer"] for one in layer["encoding"].get("tooltip", [])]
    assert {"キャプション数", "変化の平均", "95%信頼区間"} <= set(told)
    parts = [
        alignment.Changed("2026-11-16", 40, 1, 0.1, 0.3, 0.2, 0.15, 0.25),
        alignment.Changed("2026-11-23", 1, 0, 0.1, 0.4, 0.3, None, None),
    ]
    for column in (alignment.WEEK, "line"):
        spec = charts.part_chart(column, parts, "en").to_dict()
        (rows,) = [rows for rows in spec["datasets"].values() if len(rows) == 2]
        assert [(row["said"], row["ends"], row["worse"], row["data"]) for row in rows] == [
            ("+0.200", "+0.150 to +0.250", "1 (2.5 %)", "enough corrected"),
            ("+0.300", "—", "0 (0.0 %)", "too few corrected"),
        ]
        assert "Mean change (cosine, no unit)" in json.dumps(spec)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_shows_the_change_and_who_fits_worse(
    worked: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with worked.connect() as db:  # one of the five fits worse now
        db.execute("UPDATE scores SET cosine = 0.05 WHERE cosine = 0.30")
        db.execute("UPDATE pairs SET caption = ? WHERE caption = '部品 0'", [NASTY])
    at = show("quality", worked, language, monkeypatch)
    found = alignment.compared(worked)
    assert isinstance(found, alignment.Alignment) and (found.n, found.worse) == (5, 1)
    assert words.sentence(found, language) in [element.value for element in at.text]
    (fell,) = [element.value for element in at.text if NASTY in element.value]
    assert "鋼のボルト 0 個、傷あり" in fell and "−0\\.050" in texts(at)
    code = [element.value for element in at.code]
    assert dedent(alignment.ALIGNMENT_SQL).strip() in code


@pytest.mark.parametrize("language", LANGUAGES)
def test_before_anything_is_corrected_the_page_says_what_it_needs(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site.connect():  # the store is there, and empty
        pass
    shown = texts(show("quality", site, language, monkeypatch)).replace("\\", "")
    wanted = {
        "ja": "修正前後のキャプションのスコア計算",
        "en": "corrections whose old and new captions are both scored",
    }
    assert wanted[language] in shown


def test_the_newest_weeks_stay_after_a_year() -> None:
    rows = [
        {
            "corrected_at": START + timedelta(weeks=n),
            "language": "ja",
            "extra": {},
            "before": 0.1,
            "after": 0.2 + n / 100,
        }
        for n in range(60)
    ]
    weeks = alignment.parts_of(rows, show_names=True, zone=UTC)[alignment.WEEK]
    assert len(weeks) == alignment.WEEKS and weeks[-1].change == pytest.approx(0.69)
    assert [week.value for week in weeks] == sorted(week.value for week in weeks)
