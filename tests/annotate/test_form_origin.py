"""Where the form's first answers come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from annotate.form_origin import Origin, add_meaning, begin, since
from annotate.pages import work
from data.templates import load_template
from scoring.encoders import load_encoder
from scoring.slot_embedding import Found

PARTS = load_template("parts")
COUNTED = PARTS.model_copy(
    update={
        "slots": tuple(s.model_copy(update={"default": 1}) if s.id == "count" else s for s in PARTS.slots)
    }
)


def test_what_the_old_caption_says_and_the_defaults_are_told_apart() -> None:
    values, origins = begin(COUNTED, "rusty pipes on the belt", "en")
    assert (values["part"], origins["part"].kind) == ("pipe", "words")
    assert (values["count"], origins["count"]) == (1, Origin("default"))
    assert set(values) == set(origins)
    assert begin(COUNTED, "", "und") == ({"count": 1}, {"count": Origin("default")})


def test_a_draft_counts_before_the_old_caption_and_keeps_its_confidence() -> None:
    values, origins = begin(
        PARTS, "rusty pipe", "en", proposed={"part": "bolt", "material": "steel", "place": None, "gone": "x"},
        confidence={"part": 0.93, "material": 0.6},
    )  # fmt: skip
    assert (values["part"], origins["part"]) == ("bolt", Origin("draft", 0.93))
    assert (origins["material"].is_unsure, origins["part"].is_unsure) == (True, False)
    assert origins["defect"].kind == "words" and "place" not in values and "gone" not in values


def test_what_a_drafter_only_guesses_stays_open() -> None:
    values, origins = begin(PARTS, "", "en", proposed={"part": "bolt", "defect": "scratch"},
                            confidence={"part": 0.93, "defect": 0.13})  # fmt: skip
    assert values["part"] == "bolt" and "defect" not in values and "defect" not in origins


def test_what_a_person_changes_is_theirs() -> None:
    first, origins = begin(COUNTED, "rusty pipe", "en")
    later = {**first, "part": "bolt", "material": "steel", "defect": None}
    found = since(origins, first, later)
    assert found["part"] == found["material"] == Origin("person")
    assert found["count"] == origins["count"]
    assert since(origins, first, first) == origins


def test_what_the_old_caption_means_fills_only_what_nobody_has_said() -> None:
    values, origins = begin(COUNTED, "rusty pipe", "en", proposed={"material": "steel"})
    found = {
        "part": Found("pipe", "words", 1.0), "material": Found("brass", "meaning", 0.9),
        "place": Found("belt", "meaning", 0.75), "count": Found(2, "meaning", 0.8),
    }  # fmt: skip
    more, read = add_meaning(values, origins, found)
    assert more == {**values, "place": "belt", "count": 2}
    assert (read["place"], read["place"].is_unsure, read["count"].is_unsure) == (
        Origin("meaning", 0.75), True, False,
    )  # fmt: skip
    assert (read["part"].kind, read["material"].kind) == ("words", "draft")
    assert add_meaning(values, origins, {}) == (values, origins)


def in_hand(caption: str) -> work.Work:
    first, origins = begin(PARTS, caption, "en")
    row = {
        "pair_id": "p",
        "state": "captioned",
        "caption": caption,
        "language": "en",
        "audit": False,
        "risk": 0.5,
    }
    return work.Work(row, "Sato", dict(first), first, origins)


def test_the_form_begins_with_what_a_real_encoder_reads_by_meaning(shared: Path) -> None:
    encoder = load_encoder(f"local-dir:{shared / 'models' / 'mobilenet-minilm'}")
    fresh = in_hand("steel bolts with severe cracking on the assembly line conveyor")
    assert "defect" not in fresh.values
    blind = replace(fresh, row={**fresh.row, "audit": True}, values=dict(fresh.values))
    begun = replace(fresh, values={**fresh.values, "part": "nut"})
    for hand in (fresh, blind, begun):
        work.read_by_meaning(hand, encoder, PARTS)
    origin = fresh.origin("defect")
    assert fresh.values["defect"] == "crack" and origin and origin.kind == "meaning"
    assert origin.confidence == pytest.approx(0.85, abs=0.15)
    assert "defect" not in blind.values and "defect" not in begun.values
