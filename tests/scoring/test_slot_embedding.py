"""Captions read by meaning: what the dictionary leaves over, and only where the template's own words say it works."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.template_file import parse_template
from data.templates import Template, load_template
from scoring.encoders import Encoder, load_encoder
from scoring.slot_embedding import Bank, Calibration, Found, Reader, embedding_of, nearest, parse_with_origin

PARTS = load_template("parts")


def noise(texts: Sequence[str]) -> NDArray[np.float32]:
    """An encoder that knows nothing: each text has a random vector of its own."""
    rows = [np.random.default_rng(zlib.crc32(text.encode())).normal(size=32) for text in texts]
    return np.array([row / np.linalg.norm(row) for row in rows], dtype=np.float32)


@pytest.fixture(scope="module")
def real(small_encoder: Path) -> Encoder:
    return load_encoder(f"local-dir:{small_encoder}")


def test_by_words_alone_each_value_says_so() -> None:
    assert parse_with_origin(PARTS, "トレーの上の鋼製ボルト2個、錆", "ja") == {
        "part": Found("bolt", "words", 1.0), "count": Found(2, "words", 1.0), "material": Found("steel", "words", 1.0),
        "defect": Found("rust", "words", 1.0), "background": Found("tray", "words", 1.0),
    }  # fmt: skip
    assert parse_with_origin(PARTS, "", "en") == {}


def test_a_caption_that_says_two_things_is_half_sure() -> None:
    found = parse_with_origin(PARTS, "steel bolt with a crack and rust on the tray or the bench", "en")
    assert (found["defect"], found["material"].confidence) == (Found("crack", "words", 0.5), 1.0)
    assert found["background"] == Found("tray", "words", 0.5)


def test_by_meaning_with_a_real_encoder(real: Encoder) -> None:
    embed = embedding_of(real, "en")
    assert embed is not None
    found = parse_with_origin(
        PARTS, "steel bolts with severe cracking on the assembly line conveyor", "en", embed
    )
    assert found["background"].origin == "words"
    assert found["defect"].value == "crack" and found["defect"].origin == "meaning"
    assert 0.7 <= found["defect"].confidence <= 1
    # what the template has no word for at all stays open
    assert "defect" not in parse_with_origin(PARTS, "steel bolts, a dog runs over the grass", "en", embed)
    # words come first, and what they say is never changed
    both = parse_with_origin(PARTS, "a rusty bolt with fractured head", "en", embed)
    assert both["defect"] == Found("rust", "words", 1.0)


@pytest.mark.parametrize("pack", [pytest.param("infrastructure", marks=pytest.mark.long), "parts"])
def test_held_out_words_are_read_rightly_or_not_at_all(pack: str, real: Encoder) -> None:
    reader = Reader.of(load_template(pack), "en", real.encode_texts)
    assert reader.calibration.is_good and reader.calibration.precision >= 0.75
    held_out = reader.bank.held_out()
    n = len(held_out.right) // 2
    assert held_out.right[:n].mean() > 10 / len(reader.bank.options)  # chance is 1 / options
    assert not held_out.right[n:].any()


def test_an_encoder_that_does_not_read_the_language_is_not_asked(real: Encoder) -> None:
    assert embedding_of(real, "ja") is None
    assert not Reader.of(
        PARTS, "ja", real.encode_texts
    ).calibration.is_good  # and if it were, it would be found out


def test_an_encoder_that_knows_nothing_reads_nothing() -> None:
    reader = Reader.of(PARTS, "en", noise)
    assert not reader.calibration.is_good
    assert reader.read("steel bolt with a fissured head") == []
    caption = "steel bolt with weathering at the left"
    assert parse_with_origin(PARTS, caption, "en", noise) == parse_with_origin(PARTS, caption, "en")


def test_nearest_and_bank_by_hand() -> None:
    best, likeness, margin = nearest(np.array([[0.1, 0.9, 0.4], [0.5, 0.5, -1]], dtype=np.float32))
    assert (
        best[0] == 1
        and likeness.tolist() == pytest.approx([0.9, 0.5])
        and margin.tolist() == pytest.approx([0.5, 0])
    )
    table = {"oak": 0, "pine": 80, "oaken": 10, "firry": 70}

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        angles = [math.radians(table[text]) for text in texts]
        return np.array([[math.cos(a), math.sin(a)] for a in angles], dtype=np.float32)

    bank = Bank.of(WOOD, "en", embed)
    assert bank.words == ["oak", "oaken", "pine", "firry"] and bank.options == [
        ("wood", "oak"),
        ("wood", "pine"),
    ]
    found = bank.likeness(embed(["pine"]), np.array([[False, False, True, False]]))
    assert found[0].tolist() == pytest.approx(
        [math.cos(math.radians(70)), math.cos(math.radians(10))], abs=1e-6
    )
    held_out = bank.held_out()  # "oak" stands in "oaken", but as a word of its own it does not
    assert held_out.right.tolist() == [True, True, True, True, False, False, False, False]
    assert Calibration.of(held_out).model is None  # four words prove nothing


WOOD = parse_template(
    """
id: wood
version: 1
title: { en: Wood }
rubric: { en: [Say it.] }
slots:
  - id: wood
    type: choice
    label: { en: Wood }
    required: true
    options:
      - { id: oak, label: { en: oak }, synonyms: { en: [oaken] } }
      - { id: pine, label: { en: pine }, synonyms: { en: [firry] } }
caption: { en: "{wood}" }
""",
    "wood",
    Template,
)


def test_a_caption_that_says_all_costs_no_embedding() -> None:
    def never(texts: Sequence[str]) -> NDArray[np.float32]:
        raise AssertionError(f"embedded {texts}")

    for caption in PARTS.examples["en"].good:
        assert {one.origin for one in parse_with_origin(PARTS, caption, "en", never).values()} == {"words"}
    assert parse_with_origin(PARTS, "ボルト", "fr", never)["part"] == Found("bolt", "words", 1.0)
