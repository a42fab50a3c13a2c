"""Planted errors are errors, seeded, in equal parts, and known."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from data.errors import GenbaError
from scoring.benchmark_sets import stated
from scoring.planting import EXCLUSIVE, KINDS, change_one_word, make_vague, plant

THINGS, COLOURS, PLACES = (
    ("bolt", "nut", "gear", "pipe", "plate"),
    ("red", "blue", "green"),
    ("tray", "scale", "rack"),
)
CAPTIONS = [f"One {c} {t} lies on the {p}" for t in THINGS for c in COLOURS for p in PLACES]
PHOTOS = list(range(len(CAPTIONS)))


def test_the_same_seed_plants_the_same():
    assert plant(CAPTIONS, PHOTOS, 0.4, seed=1) == plant(CAPTIONS, PHOTOS, 0.4, seed=1)
    assert plant(CAPTIONS, PHOTOS, 0.4, seed=1) != plant(CAPTIONS, PHOTOS, 0.4, seed=2)


def test_the_share_in_equal_parts_by_row():
    planted = plant(CAPTIONS, PHOTOS, 0.4, seed=0)
    assert len(planted) == round(0.4 * len(CAPTIONS)) == 18
    assert sorted(Counter(one.kind for one in planted).values()) == [4, 4, 5, 5]
    assert [one.index for one in planted] == sorted({one.index for one in planted})
    assert all(one.original == CAPTIONS[one.index] != one.caption for one in planted)


def test_a_swap_is_a_caption_of_another_photo_and_a_hard_one_a_similar_one():
    planted = plant(CAPTIONS, PHOTOS, 0.5, seed=0, kinds=("swap", "hard_swap"))
    common = {"swap": [], "hard_swap": []}
    for one in planted:
        assert one.caption in CAPTIONS
        common[one.kind].append(len(set(one.caption.split()) & set(one.original.split())))
    assert np.mean(common["hard_swap"]) > np.mean(common["swap"]) and min(common["hard_swap"]) == 6


def test_no_photo_gets_a_caption_that_it_carries_anyway():
    """Photo 0 has both captions, so neither is wrong there; photo 1 has one."""
    captions, photos = ["a red bolt", "a blue nut", "a red bolt"], [0, 0, 1]
    for seed in range(20):
        for one in plant(captions, photos, 0.9, seed, kinds=("swap", "hard_swap")):
            assert photos[one.index] == 1 and one.caption == "a blue nut"


def test_a_swap_changes_what_is_stated():
    captions = [
        "A mold sits on the tray (tp).",
        "Mold on the tray",
        "A clean mold on the tray",
        "A beaker on the scale",
    ]
    facts = [stated(caption) for caption in captions]
    for seed in range(20):
        for one in plant(captions, PHOTOS[:4], 0.9, seed, kinds=("swap", "hard_swap"), facts=facts):
            assert "beaker" in one.caption + one.original, "the other three say the same, or more of the same"


def test_stated_leaves_out_what_says_nothing():
    assert stated("Two molds sit on the tray (tp).") == {"two", "mold", "tray"}
    assert stated("Green\u2011marked container") == stated("A green-marked container.")


def test_one_word_is_replaced_by_another_of_its_set():
    rng = np.random.default_rng(0)
    for caption in CAPTIONS[:20]:
        changed = change_one_word(caption, rng)
        differ = [(a, b) for a, b in zip(caption.split(), changed.split(), strict=True) if a != b]
        assert len(differ) == 1
        before, after = (word.lower() for word in differ[0])
        assert any({before, after} <= set(words) for words in EXCLUSIVE["en"])
    assert change_one_word("Something else", rng) is None
    assert change_one_word("Red ball", rng)[0].isupper()
    assert change_one_word("トレイの上のボルト", rng) != "トレイの上のボルト"


def test_vague_captions_say_less():
    rng = np.random.default_rng(0)
    for caption in ("A brass bolt with a scratch on the left", "真鍮のボルトの左側に深い傷があります"):
        assert all(len(made) < len(caption) for _ in range(10) if (made := make_vague(caption, rng)))


def test_swaps_stay_in_the_language():
    captions = ["a red bolt", "a blue nut", "赤いボルト", "青いナット"]
    for one in plant(captions, PHOTOS[:4], 0.9, 0, kinds=("swap", "hard_swap")):
        assert one.caption.isascii() == one.original.isascii()


def test_a_kind_with_nothing_to_change_plants_fewer():
    assert plant(["Nothing here", "Nor there"], [0, 1], 0.5, 0, kinds=("attribute",)) == []


def test_wrong_requests_are_refused():
    with pytest.raises(GenbaError, match=r"No kind of error 'typo'.*swap"):
        plant(CAPTIONS, PHOTOS, 0.3, 0, kinds=("typo",))
    with pytest.raises(GenbaError, match="between 0 and 1, not 1"):
        plant(CAPTIONS, PHOTOS, 1, 0)
    assert KINDS == ("swap", "hard_swap", "attribute", "vague")
