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
from training.bench import IGNORED, Bench, prepare, shrink
from training.pixels import Pixels, load_pixels, normalised
from training.probes import on_grid, ridge
from training.tasks import TASKS, TaskSkipped, confusion, first_right, measure, ranks, right_answers


def item(photo: str, caption: str, language: str = "en", facts: str | None = None) -> dict[str, Any]:
    return {"item_id": f"{photo}-{caption}", "image_id": photo, "group_id": photo, "caption": caption,
            "language": language, "facts": facts}  # fmt: skip


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
    monkeypatch.setattr("training.tasks.normalised", lambda batch, encoder: batch)


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
    bench = Bench(items, pixels(photos), None, None)
    values = {one.metric: one.value for one in TASKS["retrieval"](encoder, bench)}  # type: ignore[arg-type]
    assert values["recall_at_1_text_to_image"] == 0.75
    assert values["recall_at_5_text_to_image"] == 1.0
    assert values["recall_at_1_image_to_text"] == 0.75
    assert set(values) == {
        f"recall_at_{k}_{way}" for k in (1, 5, 10) for way in ("text_to_image", "image_to_text")
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
    assert {one.value for one in found} == {0.0}


def test_confusion_by_hand() -> None:
    true = np.array([[0, 1], [1, IGNORED]], dtype=np.int16)
    assert confusion(true, np.array([[0, 1], [0, 0]]), 2).tolist() == [1, 0, 1, 1]


def test_labels_shrink_by_their_middles() -> None:
    values = np.arange(16).reshape(4, 4)
    assert shrink(values, 2).tolist() == [[5, 7], [13, 15]]
    assert shrink(values[:2], 4).tolist() == [[0, 1, 2, 3]] * 2 + [[4, 5, 6, 7]] * 2


def test_a_cell_is_the_mean_of_its_labelled_pixels() -> None:
    maps = torch.tensor([[[[1.0, 3.0], [np.nan, np.nan]]]])
    assert on_grid(maps, 1).item() == 2.0
    cells = on_grid(maps.repeat(1, 1, 1, 1), 2)
    assert cells[0, 0, 0].tolist() == [1.0, 3.0] and cells[0, 0, 1].isnan().all()


def test_ridge_agrees_with_scikit_learn() -> None:
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)) * [1, 5, 0.1, 1, 2, 3] + 4
    y = x @ rng.normal(size=(6, 2)) + rng.normal(size=(200, 2))
    weights = rng.random(200)
    none = torch.zeros(200, dtype=torch.bool)
    probe = ridge(*(torch.from_numpy(one).float() for one in (x, y, weights)), none, [0.05])
    share = weights / weights.sum()
    scaled = (x - share @ x) / np.sqrt(share @ (x - share @ x) ** 2)
    expected = Ridge(alpha=0.05).fit(scaled, y, sample_weight=share).predict(scaled)
    features = torch.from_numpy(x).float()[None].transpose(1, 2)[..., None]  # one photo, 200 x 1 places
    found = probe.maps(features)[0, :, :, 0].T.numpy()
    assert np.abs(found - expected).max() < 1e-3


@pytest.mark.parametrize(("noise", "strength"), [(0.0, 1e-3), (30.0, 100.0)])
def test_the_strength_is_the_one_that_holds_on_other_photos(noise: float, strength: float) -> None:
    """Without noise the weakest, with nothing but noise the strongest; then all rows count."""
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.normal(size=(60, 20))).float()
    y = x[:, :1] + noise * torch.from_numpy(rng.normal(size=(60, 1))).float()
    back = torch.arange(60) >= 48
    chosen = ridge(x, y, torch.ones(60), back)
    fixed = ridge(x, y, torch.ones(60), torch.zeros(60, dtype=torch.bool), [strength])
    assert torch.allclose(chosen.weight, fixed.weight, atol=1e-5)


@pytest.fixture
def encoder(tiny_encoder: Path) -> Encoder:
    return load_encoder(f"local-dir:{tiny_encoder}", device="cpu")


def test_probes_read_masks_and_depth_off_the_features(
    small_site: Callable[..., Made], encoder: Encoder, tmp_path: Path
) -> None:
    """The part covers about a fifth of the photo, 4 cm nearer than the ground; two by two patches see that coarsely."""
    made = small_site(labels=True, photos={"train": 30, "test": 20})
    bench = prepare(made.site, collect(made.site), encoder, tmp_path / "pixels")
    assert bench.masks is not None and bench.masks.classes == [0, 1, 2]
    found, skipped = measure(encoder, bench)
    assert skipped == {}
    values = {one.metric: one for one in found}
    assert 0 < values["miou"].value < 1 and values["miou"].n == 20
    assert values["miou"].statistics.sum() == 20 * 32 * 32  # every pixel is counted once
    assert (
        0 < values["rmse"].value < 0.02 and values["rmse"].unit == "m" and not values["rmse"].higher_is_better
    )
    again, _ = measure(encoder, bench)
    assert [one.value for one in again] == [one.value for one in found]


def test_tasks_say_why_they_are_left_out(
    small_site: Callable[..., Made], encoder: Encoder, tmp_path: Path
) -> None:
    made = small_site(photos={"train": 4, "test": 4})
    contents = collect(made.site)
    bench = prepare(made.site, contents, encoder, tmp_path)
    found, skipped = measure(encoder, bench)
    assert {one.task for one in found} == {"retrieval"}
    assert skipped == {"segmentation": "the site has no masks", "depth": "the site has no depth maps"}
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
