"""Gaps between slices: against cases counted by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from annotate.pages.elements import Opened
from dashboards import fairness
from dashboards.pages import privacy, run_parts
from dashboards.quality import Part
from dashboards.run_figures import Gap
from data.messages import translator
from data.site import Site
from tests.dashboards.conftest import add_model


def judged(n: int, bad: int, line: str, chance: float = 0.1, **extra: str) -> list[dict[str, Any]]:
    return [
        {"language": "ja", "extra": {"line": line, **extra}, "inclusion_probability": chance, "bad": k < bad}
        for k in range(n)
    ]


def test_the_interval_of_a_difference_is_newcombes() -> None:
    # shares .8 (.70 to .88) and .6 (.49 to .70): .2 - sqrt(.1^2 + .1^2), .2 + sqrt(.08^2 + .11^2)
    gap = fairness.difference(Part("A", 70, 56, 0.8, 0.70, 0.88), Part("", 80, 48, 0.6, 0.49, 0.70))
    assert gap.gap == pytest.approx(0.2)
    assert (gap.low, gap.high) == (
        pytest.approx(0.2 - math.sqrt(0.02)),
        pytest.approx(0.2 + math.sqrt(0.08**2 + 0.11**2)),
    )
    assert gap.is_enough and gap.verdict == "worse"


def test_each_part_stands_against_all_others() -> None:
    rows = [*judged(40, 20, "A"), *judged(40, 4, "B"), *judged(20, 2, "C")]
    found = fairness.gaps_of(rows, show_names=False)
    assert list(found) == ["line"]  # one language is no slice
    first, *others = found["line"]
    assert (first.part.value, first.part.rate, first.rest.rate) == ("A", 0.5, pytest.approx(0.1))
    assert (first.rest.judged, first.gap, first.verdict) == (60, pytest.approx(0.4), "worse")
    by_part = {one.part.value: one for one in others}
    assert by_part["B"].gap == pytest.approx(0.1 - 22 / 60) and by_part["B"].verdict == "better"
    assert not by_part["C"].is_enough and by_part["C"].verdict == "undecided"  # 20 judged
    assert all(-1 <= one.low <= one.gap <= one.high <= 1 for one in found["line"])


def test_a_caption_stands_for_as_many_as_it_was_drawn_from() -> None:
    rows = [*judged(1, 1, "A", 0.1), *judged(1, 0, "A", 0.025), *judged(2, 1, "B")]
    by_part = {one.part.value: one for one in fairness.gaps_of(rows, show_names=False)["line"]}
    assert by_part["A"].part.rate == pytest.approx(10 / 50)


def test_a_caption_without_the_column_is_on_neither_side_and_authors_come_last() -> None:
    rows = [*judged(2, 0, "A", author="x"), *judged(2, 1, "B", author="y"), *judged(5, 5, " ")]
    found = fairness.gaps_of(rows, show_names=True)
    assert list(found) == ["line", "author"]
    assert list(fairness.gaps_of(rows, show_names=False)) == ["line"]  # two authors: not compared by name
    assert [one.part.judged for one in found["line"]] == [2, 2]


def test_the_models_own_rows_are_shown_of_champion_and_newest_candidate(site: Site) -> None:
    row = {"task": "retrieval", "metric": "r1", "slice": "line", "part": "A", "value": 0.5, "rest": 0.6, "gap": -0.1,
           "low": -0.2, "high": 0.0, "n": 40, "is_enough": True, "unit": "fraction", "higher_is_better": True,
           "change": None, "change_low": None, "change_high": None}  # fmt: skip
    assert fairness.model_gaps(site) == []
    with site.connect() as db:
        add_model(db, "old", "run-1", "champion")
        add_model(db, "new", "run-2")
        db.insert("slice_gaps", [{**row, "run_id": "run-1", "arm": "base"},
                                 {**row, "run_id": "run-1", "arm": "candidate", "value": 0.7},
                                 {**row, "run_id": "run-2", "arm": "corrected", "value": 0.8},
                                 {**row, "run_id": "run-2", "arm": "corrected", "slice": "author"},
                                 {**row, "run_id": "run-2", "arm": "base"}])  # fmt: skip
    champion, candidate = fairness.model_gaps(site)
    assert (champion.model_id, champion.state, candidate.model_id) == ("old", "champion", "new")
    assert [gap.value for gap in champion.by_metric["retrieval", "r1"]] == [0.7]
    assert [gap.value for gap in candidate.by_metric["retrieval", "r1"]] == [0.8]  # not measured apart
    with site.connect() as db:
        db.execute("UPDATE models SET state = 'retired' WHERE model_id = 'old'")
        add_model(db, "unmeasured", "run-3", "retired")
    assert [one.model_id for one in fairness.model_gaps(site)] == ["new"], (
        "one that is not retired comes first"
    )
    with site.connect() as db:  # promoted, and rolled back to the encoder's own weights
        db.execute("UPDATE models SET state = 'retired' WHERE model_id = 'new'")
        db.execute("DELETE FROM models WHERE model_id = 'old'")
    (retired,) = fairness.model_gaps(site)
    assert (retired.model_id, retired.state) == ("new", "retired")
    assert [gap.value for gap in retired.by_metric["retrieval", "r1"]] == [0.8]


def test_the_files_hold_numbers() -> None:
    opened = Opened(None, "en", translator("en"), "田中")  # type: ignore[arg-type]
    found = fairness.gaps_of([*judged(40, 20, "A"), *judged(40, 4, "B")], show_names=False)["line"]
    first = privacy._error_numbers("line", found, opened).iloc[0].tolist()  # type: ignore[attr-defined]
    assert first[0] == "A" and first[1:4] == [50.0, 10.0, 40.0] and first[4] < 40 < first[5]
    assert first[6:] == [40, 20, "yes"]
    gap = Gap("r", "candidate", "depth", "rmse", "line", "A", 0.5, 0.6, -0.1, -0.2, 0.0, 40, True, "m", False,
              None, None, None)  # fmt: skip
    share = replace(gap, unit="fraction", change=0.07, change_low=0.01, change_high=0.13)
    raw, points = run_parts.gaps_numbers([gap, share], opened).to_numpy().tolist()  # type: ignore[attr-defined]
    assert raw[1:7] == ["m", 0.5, 0.6, -0.1, -0.2, 0.0] and all(math.isnan(one) for one in raw[7:10])
    assert points[1:] == ["%", 50.0, 60.0, -10.0, -20.0, 0.0, 7.0, 1.0, 13.0, 40, "yes"]
