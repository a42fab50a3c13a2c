"""Gaps between slices: values by hand, intervals that hold the point, parts that say nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.measures import Measured
from training.slice_columns import parts
from training.slices import ENOUGH, slice_gaps


def measured(hits: list[float], metric: str = "recall_at_1", clusters: list[str] | None = None) -> Measured:
    items = [f"i{n}" for n in range(len(hits))]
    statistics = np.array([[hit, 1.0] for hit in hits])
    return Measured("retrieval", metric, "fraction", True, "ratio", items, clusters or items, statistics)


LINES = {"line": {"i0": "A", "i1": "A", "i2": "A", "i3": "A", "i4": "B", "i5": "B", "i6": "B", "i7": "B"}}


def test_by_hand() -> None:
    """A: 3 of 4 in both seeds together (1/4 and 2/4 … mean), B: 1 of 4; against the base 0 of 4 and 2 of 4."""
    arms = {
        ("corrected", 0): [measured([1, 1, 1, 1, 1, 0, 0, 0])], ("corrected", 1): [measured([1, 1, 0, 0, 1, 0, 0, 0])],
        ("base", 0): [measured([0, 0, 0, 0, 1, 1, 0, 0])],
    }  # fmt: skip
    rows = {(row["arm"], row["part"]): row for row in slice_gaps(arms, LINES)}
    a, b = rows["corrected", "A"], rows["corrected", "B"]
    assert (a["value"], a["rest"], a["gap"], a["change"]) == (0.75, 0.25, 0.5, 0.75)
    assert (b["value"], b["gap"], b["change"]) == (0.25, -0.5, -0.25)
    assert rows["base", "A"]["change"] is None and rows["base", "A"]["gap"] == -0.5
    assert a["n"] == 4 and not a["is_enough"] and a["slice"] == "line"
    assert a["low"] <= 0.5 <= a["high"] and a["change_low"] <= 0.75 <= a["change_high"]


def test_a_part_is_enough_from_thirty_items_on_both_sides() -> None:
    def is_enough(inside: int, outside: int) -> bool:
        line = {f"i{n}": "A" if n < inside else "B" for n in range(inside + outside)}
        return bool(
            slice_gaps({("x", 0): [measured([1.0] * (inside + outside))]}, {"line": line})[0]["is_enough"]
        )

    assert is_enough(ENOUGH, ENOUGH)
    assert not is_enough(ENOUGH - 1, 100) and not is_enough(100, ENOUGH - 1)


def test_what_nobody_is_in_or_everybody_is_in_gives_no_row() -> None:
    arms = {("corrected", 0): [measured([1, 0, 1, 0])]}
    assert slice_gaps(arms, {"line": {f"i{n}": "A" for n in range(4)}}) == []
    assert slice_gaps(arms, {"line": {}}) == []
    named = {"line": {"i0": "A", "i1": "B"}}  # the others are in no part, and so in no rest
    assert [(row["part"], row["value"], row["rest"]) for row in slice_gaps(arms, named)] == [
        ("A", 1, 0),
        ("B", 0, 1),
    ]


def test_a_part_in_which_nothing_was_tried_gives_no_row() -> None:
    one = measured([1, 0, 1, 0])
    one.statistics[:2] = 0
    assert slice_gaps({("corrected", 0): [one]}, {"line": {"i0": "A", "i1": "A", "i2": "B", "i3": "B"}}) == []


def test_arms_on_different_items_are_refused() -> None:
    other = Measured(
        "retrieval", "recall_at_1", "fraction", True, "ratio", ["j0", "j1"], ["j0", "j1"], np.ones((2, 2))
    )
    with pytest.raises(ValueError, match="different items"):
        slice_gaps({("a", 0): [measured([1, 0])], ("b", 0): [other]}, {"line": {"i0": "A", "i1": "B"}})


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("ABC")), min_size=4, max_size=40))
def test_gaps_are_differences_and_equal_arms_do_not_change(drawn: list[tuple[bool, bool, str]]) -> None:
    arm, base = (measured([float(row[place]) for row in drawn]) for place in (0, 1))
    line = {"line": {f"i{n}": row[2] for n, row in enumerate(drawn)}}
    for row in slice_gaps({("arm", 0): [arm], ("same", 0): [arm], ("base", 0): [base]}, line):
        assert row["gap"] == pytest.approx(row["value"] - row["rest"])
        assert row["low"] <= row["high"] and 0 < row["n"] < len(drawn)
        assert row["low"] >= -1 and row["high"] <= 1
    twins = slice_gaps({("arm", 0): [arm], ("base", 0): [arm]}, line)
    assert all(
        row["change"] == row["change_low"] == row["change_high"] == 0 for row in twins if row["arm"] == "arm"
    )


def test_near_copies_are_drawn_together() -> None:
    """Forty copies of two photos are two clusters: the interval is as wide as two coins make it."""
    hits = [1.0] * 20 + [0.0] * 20 + [1.0] * 20 + [0.0] * 20
    line = {"line": {f"i{n}": "A" if n < 40 else "B" for n in range(80)}}
    alone = slice_gaps({("x", 0): [measured(hits)]}, line)[0]
    clusters = ["a"] * 20 + ["b"] * 20 + ["c"] * 20 + ["d"] * 20
    together = slice_gaps({("x", 0): [measured(hits, clusters=clusters)]}, line)[0]
    assert together["high"] - together["low"] > 2 * (alone["high"] - alone["low"])


def test_parts_are_found_by_caption_by_photo_in_a_language_and_by_photo() -> None:
    items = [
        {"item_id": "p1-en", "image_id": "m1", "language": "en"},
        {"item_id": "p1-ja", "image_id": "m1", "language": "ja"},
        {"item_id": "p2-en", "image_id": "m2", "language": "en"},
        {"item_id": "p3-en", "image_id": "m2", "language": "en"},
    ]  # fmt: skip
    extra = {
        "p1": {"line": "A", "n": 7, "odd": ["x"]},
        "p2": {"line": "B", "n": 8},
        "p3": {"line": "A", "n": 8},
    }
    found = parts(items, extra)
    assert found["line"] == {"p1-en": "A", "p1-ja": "A", "m1-en": "A", "m1-ja": "A", "m1": "A", "p2-en": "B",
                             "p3-en": "A"}  # m2 has a caption in each part  # fmt: skip
    assert found["n"]["m2"] == "8" and "odd" not in found
    assert (
        found["language"]["m1-ja"] == "ja"
        and "m1" not in found["language"]
        and found["language"]["m2"] == "en"
    )


def test_a_column_with_one_part_or_hundreds_is_no_slice() -> None:
    items = [{"item_id": f"p{n}-en", "image_id": f"m{n}", "language": "en"} for n in range(60)]
    extra = {f"p{n}": {"plant": "東京", "serial": n} for n in range(60)}
    assert parts(items, extra) == {}


def test_a_median_of_nothing_has_no_value() -> None:
    """Ranks 1, 1, 9, 9: A's median is 1, B's 9, in every draw in which either has an item."""
    items = [f"i{n}" for n in range(4)]
    one = Measured(
        "retrieval", "median_rank", "rank", False, "median", items, items, np.array([[1.0], [1], [9], [9]])
    )
    rows = slice_gaps({("x", 0): [one]}, {"line": {"i0": "A", "i1": "A", "i2": "B", "i3": "B"}})
    assert [(row["part"], row["value"], row["gap"], row["low"], row["high"]) for row in rows] == [
        ("A", 1, -8, -8, -8), ("B", 9, 8, 8, 8)]  # fmt: skip
