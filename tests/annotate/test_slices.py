"""Slices of the queue by the captions' extra columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from annotate import queue, slices
from data.errors import GenbaError
from data.site import Site
from tests.annotate.piles import NEVER, Sure, judge, pair_name, pile

ODD = 'a/b~"c'


def columns(number: int) -> dict[str, Any]:
    return {"line": "AB"[number % 2], "year": 2024 + number % 3, ODD: "x" if number < 4 else "y",
            "note": f"free text {number}", "checked": number < 3, "none": None, "deep": {"a": 1}}  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return pile(tmp_path, 60, extra=columns)


def test_the_slices_there_are_with_what_waits_in_each(site: Site) -> None:
    judge(site, [pair_name(0)])
    found = queue.slices(site)
    assert found == {
        "line": {"B": 30, "A": 29}, "year": {"2025": 20, "2026": 20, "2024": 19},
        ODD: {"y": 56, "x": 3}, "checked": {"false": 57, "true": 2},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("extra", "n"),
    [({"line": "A"}, 30), ({"line": "A", "year": 2024}, 10), ({"year": "2024"}, 20), ({ODD: "x"}, 4),
     ({"checked": True}, 3), ({"line": "' OR true --"}, 0), ({"x') OR (true": "A"}, 0), ({}, 60), (None, 60)],
)  # fmt: skip
def test_the_queue_is_narrowed_by_any_column(site: Site, extra: dict[str, Any] | None, n: int) -> None:
    assert queue.count(site, extra=extra) == len(queue.top(site, 100, extra=extra)) == n


def test_columns_languages_and_words_narrow_together(site: Site) -> None:
    rows = queue.top(site, 100, language="en", words="CAPTION 1", extra={"line": "A"})
    assert [row["pair_id"] for row in rows] == [pair_name(n) for n in (18, 16, 14, 12, 10)]
    assert queue.count(site, language="ja", extra={"line": "A"}) == 0


def test_who_started_with_a_slice_stays_in_it(site: Site) -> None:
    for _ in range(4):
        claimed = queue.claim(site, "佐藤", extra={ODD: "x"}, rng=Sure(NEVER))
        assert claimed and claimed["extra"][ODD] == "x"
        judge(site, [claimed["pair_id"]], "ok")
    assert queue.claim(site, "佐藤", extra={ODD: "x"}, rng=Sure(NEVER)) is None
    assert queue.count(site) == 56


def test_a_pair_in_hand_from_elsewhere_goes_back(site: Site) -> None:
    assert queue.claim(site, "佐藤", extra={"line": "A"}, rng=Sure(NEVER))["extra"]["line"] == "A"
    assert queue.claim(site, "佐藤", extra={"line": "B"}, rng=Sure(NEVER))["extra"]["line"] == "B"
    with site.connect() as db:
        assert db.value("SELECT count(*) FROM leases") == 1


def test_a_filter_on_the_command_line(site: Site) -> None:
    assert slices.where(site, ["line=A", "note=a=b"]) == {"line": "A", "note": "a=b"}
    assert slices.where(site, []) == {}
    with pytest.raises(GenbaError, match=r"'line' does not say which value.*--where line=A"):
        slices.where(site, ["line"])
    with pytest.raises(GenbaError, match=r"no column 'lin'; they have .*line"):
        slices.where(site, ["lin=A"])
