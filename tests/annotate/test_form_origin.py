"""Where the form's first answers come from."""

from __future__ import annotations

from annotate.form_origin import Origin, begin, since
from data.templates import load_template

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
        confidence={"part": 0.93, "material": 0.4},
    )  # fmt: skip
    assert (values["part"], origins["part"]) == ("bolt", Origin("draft", 0.93))
    assert (origins["material"].is_unsure, origins["part"].is_unsure) == (True, False)
    assert origins["defect"].kind == "words" and "place" not in values and "gone" not in values


def test_what_a_person_changes_is_theirs() -> None:
    first, origins = begin(COUNTED, "rusty pipe", "en")
    later = {**first, "part": "bolt", "material": "steel", "defect": None}
    found = since(origins, first, later)
    assert found["part"] == found["material"] == Origin("person")
    assert found["count"] == origins["count"]
    assert since(origins, first, first) == origins
