"""Right captions say every fact; wrong ones say something else. Captions are read back word by word."""

from __future__ import annotations

import re

import numpy as np
import pytest

from data.demo.captions import (
    LANGUAGES,
    WRONG_KINDS,
    changed,
    legacy_caption,
    mistype_english,
    mistype_japanese,
    plain_caption,
    write_caption,
    wrong_caption,
)
from data.demo.scenes import SITE_DEFECTS, SITE_MATERIALS, Scene, sample_scene, slots
from data.demo.words import MISCONVERSIONS, SOUND, WORDS


@pytest.fixture(scope="module")
def site() -> list[Scene]:
    rng = np.random.default_rng(9)
    return [sample_scene(rng, SITE_MATERIALS, SITE_DEFECTS) for _ in range(250)]


def found_words(text: str, words: tuple[str, ...], language: str) -> list[str]:
    if language == "ja":
        return [word for word in words if word in text]
    return [
        w
        for w in words
        if re.search(rf"(?<![a-z0-9]){re.escape(w)}s?(?![a-z])|\bx{re.escape(w)}\b", text.lower())
    ]


def read_back(text: str, language: str) -> dict[str, str]:
    """The slots that a caption speaks of; the longest word wins (黄銅 over 銅)."""
    read: dict[str, str] = {}
    for sound in sorted(SOUND[language], key=len, reverse=True):
        if sound in text.lower():
            read["defect"] = "none"
            text = re.sub(re.escape(sound), "", text, flags=re.IGNORECASE)
    if "欠陥はありません" in text:
        read["defect"] = "none"
    for slot, options in WORDS[language].items():
        hits = [
            (len(w), option)
            for option, words in options.items()
            for w in found_words(
                text, tuple(x.lower() if language == "en" else x.rstrip("のな") for x in words), language
            )
        ]
        if hits:
            read.setdefault(slot, max(hits)[1])
    return read


def facts(scene: Scene) -> dict[str, str]:
    return {slot: str(value) for slot, value in slots(scene).items()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_right_caption_says_every_fact(site: list[Scene], language: str) -> None:
    rng = np.random.default_rng(1)
    for scene in site:
        for text in (legacy_caption(scene, language, rng), plain_caption(slots(scene), language)):
            assert read_back(text, language) == facts(scene), text


@pytest.mark.parametrize("language", LANGUAGES)
def test_captions_of_a_scene_vary(site: list[Scene], language: str) -> None:
    rng = np.random.default_rng(2)
    assert len({legacy_caption(site[0], language, rng) for _ in range(40)}) > 25


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", [kind for kind in WRONG_KINDS if kind != "typo"])
def test_a_wrong_caption_says_something_else(site: list[Scene], kind: str, language: str) -> None:
    rng = np.random.default_rng(3)
    for scene in site:
        text = wrong_caption(kind, scene, site, language, rng)
        assert read_back(text, language) != facts(scene), text


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_missing_item_is_left_out_and_the_rest_is_right(site: list[Scene], language: str) -> None:
    rng = np.random.default_rng(4)
    for scene in site:
        read = read_back(wrong_caption("missing_item", scene, site, language, rng), language)
        assert read.items() < facts(scene).items() or set(facts(scene)) - set(read) or "count" in read


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_attribute_is_wrong_and_the_rest_is_right(site: list[Scene], language: str) -> None:
    rng = np.random.default_rng(5)
    for scene in site:
        read, right = (
            read_back(wrong_caption("wrong_attribute", scene, site, language, rng), language),
            facts(scene),
        )
        assert sum(read[slot] != right[slot] for slot in right) == 1


def test_a_typo_mistypes_and_keeps_the_length_about(site: list[Scene]) -> None:
    rng = np.random.default_rng(6)
    for scene in site:
        for language, mistype in (("ja", mistype_japanese), ("en", mistype_english)):
            right = legacy_caption(scene, language, rng)
            wrong = mistype(right, rng)
            assert wrong != right
            assert abs(len(wrong) - len(right)) <= 6


def test_a_misconversion_is_never_the_word_for_something_else() -> None:
    words = {
        word.rstrip("のな") for options in WORDS["ja"].values() for each in options.values() for word in each
    }
    assert not {wrong for forms in MISCONVERSIONS.values() for wrong in forms} & words


def test_no_word_stands_for_two_options() -> None:
    for language in LANGUAGES:
        for slot, options in WORDS[language].items():
            words = [word for each in options.values() for word in each]
            assert len(words) == len(set(words)), (language, slot)


def test_changed_changes_one_slot_and_severity_by_two_steps() -> None:
    rng = np.random.default_rng(7)
    found = {"part": "bolt", "severity": "slight"}
    assert changed(found, "severity", rng) == {"part": "bolt", "severity": "severe"}
    assert changed(found, "part", rng)["part"] != "bolt"


def test_an_absent_slot_is_not_spoken_of() -> None:
    rng = np.random.default_rng(8)
    assert read_back(write_caption({"part": "gear", "count": 2}, "ja", rng), "ja") == {
        "part": "gear",
        "count": "2",
    }


def test_the_plain_caption_in_both_languages() -> None:
    found = {"part": "bolt", "material": "steel", "defect": "scratch", "place": "centre", "severity": "severe",
             "background": "workbench", "count": 2}  # fmt: skip
    assert plain_caption(found, "en") == "2 steel bolts with severe scratch at the centre, on the workbench"
    assert plain_caption(found, "ja") == "作業台の上の鋼製ボルト2個。中央に重度の傷があります。"
