"""Metrics by hand: what is a hit, what is a miss, what is left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.snapshots import collect
from scoring.encoders import Encoder, load_encoder
from tests.training.conftest import Made
from training.bench import Bench, prepare
from training.pixels import Pixels, load_pixels, normalised
from training.tasks import TASKS, TaskSkipped, first_right, measure, ranks, right_answers


def item(
    photo: str, caption: str, language: str = "en", facts: str | None = None, verdict: str = "ok"
) -> dict[str, Any]:
    return {"item_id": f"{photo}-{caption}", "image_id": photo, "group_id": photo, "caption": caption,
            "language": language, "facts": facts, "verdict": verdict}  # fmt: skip


@dataclass
class Pointing:
    """An encoder whose vectors are given: photo number n shows vectors[n], a caption its own."""

    images: dict[int, list[float]]
    texts: dict[str, list[float]]
    device: str = "cpu"

    def encode_images(self, batch: torch.Tensor) -> np.ndarray:
        return np.array([self.images[int(one[0, 0, 0])] for one in batch], dtype=np.float32)

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        return np.array([self.texts[text] for text in texts], dtype=np.float32)


def pixels(photos: list[str]) -> Pixels:
    array = np.arange(len(photos), dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 2, 2), np.uint8)
    return Pixels(array, {photo: number for number, photo in enumerate(photos)})


@pytest.fixture
def as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.vectors.normalised", lambda batch, encoder: batch)


def test_the_rank_counts_wrong_answers_that_are_as_similar_or_more() -> None:
    similarity = np.array([[0.9, 0.5, 0.1], [0.2, 0.2, 0.2], [0.1, 0.3, 0.8]])
    right = np.array([[False, True, False], [True, False, False], [True, False, True]])
    assert first_right(similarity, right).tolist() == [2, 3, 1]


def test_captions_with_the_same_words_or_facts_are_right_for_each_other() -> None:
    items = [
        item("a", "x"),
        item("b", "x"),
        item("c", "y", facts="1"),
        item("d", "z", facts="1"),
        item("e", "w"),
    ]
    row = {photo: number for number, photo in enumerate("abcde")}
    column = {caption: number for number, caption in enumerate("xyzw")}
    assert right_answers(items, row, column).astype(int).tolist() == [
        [1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1],
    ]  # fmt: skip


@pytest.mark.usefixtures("as_they_are")
def test_recall_both_ways_by_hand() -> None:
    """Three photos on the axes. Caption x points at a; y of b points at c; z of c points at c. d shares x with a."""
    photos = ["a", "b", "c", "d"]
    encoder = Pointing(
        {0: [1, 0, 0], 1: [0, 1, 0], 2: [0, 0.1, 1], 3: [0.9, 0, 0.5]},
        {"x": [1, 0, 0], "y": [0, 0.2, 1], "z": [0, 0, 1]},
    )
    items = [item("a", "x"), item("b", "y"), item("c", "z"), item("d", "x")]
    found = ranks(encoder, items, pixels(photos))  # type: ignore[arg-type]
    # x finds a first: right for both its items. y: c 1.02, d .5, b .2 -> 3. z finds c first.
    assert [one.rank for one in found["text_to_image"]] == [1, 3, 1, 1]
    # a: x. b: y .2 before 0. c: y 1.02 before z 1. d: x .9.
    assert [one.rank for one in found["image_to_text"]] == [1, 1, 2, 1]
    items[1]["verdict"] = items[2]["verdict"] = "fix"
    bench = Bench(items, pixels(photos), None, None)
    found_by = {(one.task, one.metric): one for one in TASKS["retrieval"](encoder, bench)}  # type: ignore[arg-type]
    values = {name: one.value for name, one in found_by.items()}
    assert values["retrieval", "recall_at_1_text_to_image"] == 0.75
    assert values["retrieval", "recall_at_5_text_to_image"] == 1.0
    assert values["retrieval", "recall_at_1_image_to_text"] == 0.75
    assert values["retrieval", "median_rank_text_to_image"] == 1
    # by style, among the same answers: x (of a and d) is legacy; y ranks 3 and z ranks 1 are template
    assert values["retrieval_legacy", "recall_at_1_text_to_image"] == 1.0
    assert values["retrieval_template", "recall_at_1_text_to_image"] == 0.5
    assert values["retrieval_template", "median_rank_text_to_image"] == 2
    assert [
        found_by[f"retrieval_{style}", "recall_at_1_image_to_text"].n for style in ("legacy", "template")
    ] == [2, 2]
    ways = ("text_to_image", "image_to_text")
    assert set(values) == {
        (task, metric)
        for task in ("retrieval", "retrieval_legacy", "retrieval_template")
        for way in ways
        for metric in (f"median_rank_{way}", *(f"recall_at_{k}_{way}" for k in (1, 5, 10)))
    }


@pytest.mark.usefixtures("as_they_are")
def test_languages_are_searched_apart_and_counted_together() -> None:
    """The Japanese caption of a is nearer to b's photo, but b has no Japanese caption, so it is no answer."""
    encoder = Pointing({0: [1, 0], 1: [0, 1]}, {"x": [0, 1], "y": [0, 1], "あ": [0, 1]})
    items = [item("a", "x"), item("b", "y"), item("a", "あ", "ja")]
    found = ranks(encoder, items, pixels(["a", "b"]))  # type: ignore[arg-type]
    assert [(one.item, one.rank) for one in found["text_to_image"]] == [("a-x", 2), ("b-y", 1), ("a-あ", 1)]
    assert [one.item for one in found["image_to_text"]] == ["a-en", "b-en", "a-ja"]
    assert [one.cluster for one in found["image_to_text"]] == ["a", "b", "a"]


@pytest.mark.usefixtures("as_they_are")
def test_an_encoder_that_knows_nothing_gets_nothing() -> None:
    photos = [f"p{number}" for number in range(12)]
    encoder = Pointing(
        {number: [1, 0] for number in range(12)}, {f"c{number}": [1, 0] for number in range(12)}
    )
    items = [item(photo, f"c{number}") for number, photo in enumerate(photos)]
    found = TASKS["retrieval"](encoder, Bench(items, pixels(photos), None, None))  # type: ignore[arg-type]
    assert {one.value for one in found if one.summary == "ratio"} == {0.0}
    assert {one.value for one in found if one.summary == "median"} == {12.0}


def test_captions_that_all_say_the_same_measure_nothing() -> None:
    items = [item(photo, "part") for photo in "ab"]
    with pytest.raises(
        TaskSkipped, match="all checked captions say the same, 'part': every search would find it"
    ):
        TASKS["retrieval"](Pointing({}, {}), Bench(items, pixels(["a", "b"]), None, None))  # type: ignore[arg-type]


@pytest.fixture
def encoder(tiny_encoder: Path) -> Encoder:
    return load_encoder(f"local-dir:{tiny_encoder}", device="cpu")


def test_tasks_say_why_they_are_left_out(
    small_site: Callable[..., Made], encoder: Encoder, tmp_path: Path
) -> None:
    made = small_site(photos={"train": 4, "test": 4})
    contents = collect(made.site)
    bench = prepare(made.site, contents, encoder, tmp_path)
    found, skipped = measure(encoder, bench)
    assert {one.task for one in found} >= {"retrieval"} and all(
        one.task.startswith("retrieval") for one in found
    )
    assert (skipped["segmentation"], skipped["depth"]) == (
        "the site has no masks",
        "the site has no depth maps",
    )
    assert skipped["slots"] == "the captions of this bench were not read with a template"
    with pytest.raises(TaskSkipped, match="no held-out photo has a checked caption"):
        TASKS["retrieval"](encoder, Bench([], bench.photos, None, None))
    few = small_site(name="few", photos={"train": 4, "test": 4}, labels=True)
    bench = prepare(few.site, collect(few.site), encoder, tmp_path)
    assert measure(encoder, bench)[1]["depth"] == (
        "4 train and 4 test photos have depth maps; it takes 10 of each"
    )


def test_decoded_photos_are_what_the_encoder_sees_and_are_decoded_once(
    small_site: Callable[..., Made], encoder: Encoder, tmp_path: Path
) -> None:
    from data.photos import open_photo

    made = small_site(photos={"train": 3, "test": 2})
    rows = collect(made.site).train
    counted: list[int] = []
    made_pixels = load_pixels(made.site, encoder, rows, tmp_path, progress=counted.append)
    ids = [row["image_id"] for row in rows]
    ready = normalised(torch.from_numpy(made_pixels.of(ids)), encoder)
    for row, one in zip(rows, ready, strict=True):
        direct = encoder.preprocess(open_photo(made.site.photo_path(row["root"], row["uri"])))
        assert (one - direct).abs().max() < 1e-6
    for row in rows:
        made.site.photo_path(row["root"], row["uri"]).unlink()
    assert np.array_equal(load_pixels(made.site, encoder, rows, tmp_path).array, made_pixels.array)
    assert sum(counted) == 3
