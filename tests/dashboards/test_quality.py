"""The page Quality: shares from blind captions alone, against cases counted by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import streamlit as st

from annotate.pages.elements import Opened
from dashboards import quality
from dashboards.pages.quality import _numbers as numbers_of
from data.messages import translator
from data.site import Site
from tests.dashboards.conftest import START
from tests.dashboards.test_figures import draw
from tests.dashboards.test_pages import LANGUAGES, NASTY, show, texts


def audited(judged: list[bool | None], kind: str = "drawn", name: str = "d1") -> list[dict[str, Any]]:
    return [
        {"draw": name, "kind": kind, "stratum": "", "drawn_at": START + timedelta(minutes=n), "bad": bad}
        for n, bad in enumerate(judged)
    ]


def test_one_stratum_gives_the_interval_of_clopper_and_pearson() -> None:
    (point,) = quality.points(audited([True, *[False] * 19, None]))
    assert (point.judged, point.bad, point.rate) == (20, 1, pytest.approx(0.05))
    assert (point.low, point.high) == (pytest.approx(0.0013, abs=2e-4), pytest.approx(0.2487, abs=1e-3))


def test_mixed_in_captions_are_put_together_and_what_is_not_judged_says_nothing() -> None:
    found = quality.points([*audited([None, None]), *audited([True, False] * 15, "mixed")])
    assert [(point.kind, point.judged, point.bad) for point in found] == [("mixed", 20, 10), ("mixed", 10, 5)]
    assert found[0].at < found[1].at
    assert quality.points([]) == []


def test_a_share_weighs_each_answer_by_what_it_stands_for() -> None:
    # 2 captions that stand for 10 each, one bad; 2 that stand for 40 each, none bad: 10 of 100.
    part = quality.share("A", [(True, 10), (False, 10), (False, 40), (False, 40)])
    assert (part.judged, part.bad, part.rate) == (4, 1, pytest.approx(0.1))
    assert part.low < 0.1 < part.high and not part.is_enough
    none = quality.share("B", [(False, 1)] * 60)  # the exact bound of 0 of 60
    assert (none.low, none.high, none.is_enough) == (0.0, pytest.approx(0.0596, abs=1e-3), True)


def test_a_slice_with_one_part_or_of_free_text_is_left_out() -> None:
    rows = [
        {"language": "ja", "extra": {"line": "AB"[n % 2], "note": f"text {n}"}, "inclusion_probability": 0.1,
         "bad": n < 9}
        for n in range(60)
    ]  # fmt: skip
    found = quality.parts_of(rows, show_names=False)
    assert list(found) == ["line"]
    assert [(part.value, part.judged, part.bad) for part in found["line"]] == [("A", 30, 5), ("B", 30, 4)]


def test_few_authors_are_not_compared_by_name() -> None:
    def rows(authors: str) -> list[dict[str, Any]]:
        return [
            {
                "language": "ja",
                "extra": {"author": authors[n % len(authors)]},
                "inclusion_probability": 0.1,
                "bad": n < 9,
            }
            for n in range(60)
        ]

    assert quality.parts_of(rows("abcd"), show_names=False) == {}
    assert list(quality.parts_of(rows("abcd"), show_names=True)) == ["author"]
    assert len(quality.parts_of(rows("abcde"), show_names=False)["author"]) == 5


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page(worked: Site, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at = show("quality", worked, language, monkeypatch)
    empty = {"ja": "まだ測定できません", "en": "Not yet measurable"}[language]
    assert empty in texts(at).replace("\\", "")
    draw(worked, {"fix": 4, "ok": 36}, simulated=True)
    with worked.connect() as db:
        db.execute(
            "UPDATE pairs SET extra = to_json({line: CASE WHEN pair_id < '8' THEN ? ELSE 'B' END})", [NASTY]
        )
    st.cache_data.clear()
    at = show("quality", worked, language, monkeypatch)
    assert {"ja": "その時点の未判定キャプションの 10.0 %", "en": ": 10.0 % ("}[language] in texts(at).replace(
        "\\", ""
    )
    assert empty not in texts(at).replace("\\", "")
    table = at.dataframe[1].value
    parts = {"ja": {"日本語", "英語"}, "en": {"Japanese", "English"}}[language] | {NASTY, "B"}
    assert set(table.iloc[:, 0]) <= parts and int(table.iloc[:, 1].sum()) == 40


def test_items_that_waiting_captions_lack(worked: Site) -> None:
    encoder = worked.queue_encoder()
    with worked.connect() as db:
        waiting = db.value(f"SELECT s.pair_id {quality.queue.WAITING} LIMIT 1", {"encoder": encoder})
        reasons = [
            {"code": "missing_slots", "slots": ["defect", "place"], "labels": {}},
            {"code": "short", "words": 2},
        ]
        db.execute(
            "UPDATE scores SET reasons = ? WHERE pair_id = ?", [str(reasons).replace("'", '"'), waiting]
        )
    assert quality.lacking(worked) == {"defect": 1, "place": 1}


def test_times_are_those_of_the_last_draw() -> None:
    (point,) = quality.points(audited([True, False]))
    assert point.at == datetime(2026, 11, 16, 1, 1)


def test_a_file_holds_numbers() -> None:
    """And no percent signs or intervals in one cell, as the table that is read has them."""
    at = Opened(None, "en", translator("en"), "佐藤")  # type: ignore[arg-type]
    rows = numbers_of([quality.Part("A", 40, 10, 0.25, 0.127, 0.412)], "line", ["A"], at)
    assert rows == [{"line": "A", "Judged": 40, "Bad": 10, "Share": 0.25, "from": 0.127, "to": 0.412}]
