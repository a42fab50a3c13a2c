"""Masks and depth: every figure by hand and against torchmetrics; both ways learn what they are shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data.errors import GenbaError
from data.settings_retrain import RetrainSection
from data.snapshots import collect
from scoring.encoders import Encoder, load_encoder
from scoring.torchvision_ops import ensure_torchvision
from tests.training.conftest import Made
from training.bench import IGNORED, Bench, Dense, prepare, shrink
from training.decoder import fine_tune
from training.dense_plan import DensePlan
from training.dense_tasks import (
    Goal,
    confusion,
    depth_goal,
    depth_sums,
    label_order,
    masks_goal,
    measure_dense,
    predict,
    segmentation,
)
from training.pixels import Pixels
from training.vectors import TaskSkipped

PHOTOS = {"train": 30, "test": 20}


@pytest.fixture
def encoder(tiny_encoder: Path) -> Encoder:
    return load_encoder(f"local-dir:{tiny_encoder}", device="cpu")


def test_confusion_by_hand() -> None:
    true = np.array([[0, 1], [1, IGNORED]], dtype=np.int16)
    assert confusion(true, np.array([[0, 1], [0, 0]]), 2).tolist() == [1, 0, 1, 1]


def test_labels_shrink_by_their_middles() -> None:
    values = np.arange(16).reshape(4, 4)
    assert shrink(values, 2).tolist() == [[5, 7], [13, 15]]
    assert shrink(values[:2], 4).tolist() == [[0, 1, 2, 3]] * 2 + [[4, 5, 6, 7]] * 2


def dense(values: np.ndarray, names: list[str] | None = None) -> Dense:
    """Ten train photos, then ten test photos, all with the same labels (S, S), black."""
    ids = [f"{number:02d}" for number in range(20)]
    side = values.shape[-1]
    pixels = Pixels(np.zeros((20, 3, side, side), np.uint8), {one: n for n, one in enumerate(ids)})
    all_values = np.broadcast_to(values, (20, side, side)).copy()
    return Dense(pixels, ids[:10], ids[10:], all_values, dict(pixels.place), list(range(len(names or []))),
                 {one: one for one in ids}, names or [])  # fmt: skip


def masks(goal_of: Callable[[Bench], Goal], made: Dense, plan: DensePlan | None = None) -> Goal:
    kind = "masks" if goal_of is masks_goal else "depth"
    bench = Bench([], made.pixels, None, None, plan=plan or DensePlan())
    return goal_of(replace(bench, **{kind: made}))


def test_miou_and_the_iou_of_each_class_by_hand() -> None:
    """Of 4 pixels, one without label: class 0 hit once, 1 taken for 0 once, 1 hit once. IoU 1/2 and 1/2. "dent" is only
    predicted, never shown, and so has no value."""
    true = np.array([[0, 1], [1, IGNORED]], np.int16)
    goal = masks(masks_goal, dense(true, ["ground", "rust spot", "dent"]))
    scores = np.zeros((3, 2, 2))
    scores[0, 0, 0] = scores[0, 0, 1] = scores[1, 1, 0] = scores[2, 1, 1] = 1
    found = {one.metric: one for one in goal.measured(np.stack([goal.sums(true, scores)] * 10))}
    assert {name: one.value for name, one in found.items()} == {
        "miou": 0.5, "iou_ground": 0.5, "iou_rust_spot": 0.5}  # fmt: skip
    assert found["miou"].n == 10 and found["iou_ground"].unit == "fraction"


def test_depth_by_hand() -> None:
    """2 m taken for 3 m: off by 1, by half, not within 1.25. 4 m hit. 20 m is too deep, 0 and NaN no measurement."""
    true = np.array([[2, 4, 20], [0, np.nan, 8]], np.float32)
    predicted = np.array(
        [[3, 4, 4], [1, 1, 12]], np.float32
    )  # 12 is cut to 10: off by 2, by a quarter, at the limit
    assert depth_sums(true, predicted).tolist() == [5.0, 0.75, 1.0, 3.0]
    goal = masks(depth_goal, dense(np.where(np.isnan(true), 0, true)[:, :2]))
    found = {one.metric: one.value for one in goal.measured(np.tile(depth_sums(true, predicted), (10, 1)))}
    assert found == pytest.approx({"rmse": (5 / 3) ** 0.5, "abs_rel": 0.25, "delta_1_25": 1 / 3})


def test_as_torchmetrics() -> None:
    ensure_torchvision()
    from torchmetrics.classification import MulticlassJaccardIndex
    from torchmetrics.regression import MeanAbsolutePercentageError, MeanSquaredError

    rng = np.random.default_rng(0)
    true = rng.integers(-1, 3, (20, 8, 8)).astype(np.int16)
    scores = rng.normal(size=(20, 3, 8, 8))
    goal = masks(masks_goal, dense(true[0], ["a", "b", "c"]))
    found = {one.metric: one.value for one in goal.measured(np.stack([*map(goal.sums, true, scores)])[:10])}
    jaccard = MulticlassJaccardIndex(3, average="none", ignore_index=IGNORED)
    theirs = jaccard(torch.from_numpy(scores[:10]), torch.from_numpy(true[:10].astype(int)))
    assert [found[f"iou_{name}"] for name in "abc"] == pytest.approx(theirs.tolist())
    assert found["miou"] == pytest.approx(float(theirs.mean()))

    metres, guess = rng.uniform(0.5, 9, (2, 10, 8, 8))
    goal = masks(depth_goal, dense(metres[0].astype(np.float32)))
    found = {one.metric: one.value for one in goal.measured(np.stack([*map(depth_sums, metres, guess)]))}
    pair = torch.from_numpy(guess).flatten(), torch.from_numpy(metres).flatten()
    assert found["rmse"] == pytest.approx(float(MeanSquaredError(squared=False)(*pair)))
    assert found["abs_rel"] == pytest.approx(float(MeanAbsolutePercentageError()(*pair)))


def test_probes_read_masks_and_depth_off_the_features(
    small_site: Callable[..., Made], encoder: Encoder, tmp_path: Path
) -> None:
    """The part covers about a fifth of the photo, 4 cm nearer than the ground; two by two patches see that coarsely."""
    made = small_site(labels=True, photos=PHOTOS)
    bench = prepare(made.site, collect(made.site), encoder, tmp_path / "pixels")
    assert bench.masks is not None and bench.masks.names == ["ground", "brass", "steel"]
    found, skipped = measure_dense(encoder, bench)
    assert skipped == {}
    values = {one.metric: one for one in found}
    assert set(values) == {"miou", "iou_ground", "iou_brass", "iou_steel", "rmse", "abs_rel", "delta_1_25"}
    assert 0 < values["miou"].value < 1 and values["miou"].n == 20
    assert values["miou"].statistics.sum() == 20 * 32 * 32  # every pixel is counted once
    assert 0 < values["rmse"].value < 0.02 and values["rmse"].unit == "m"
    assert not values["rmse"].higher_is_better and values["delta_1_25"].higher_is_better
    again, _ = measure_dense(encoder, bench)
    assert [one.value for one in again] == [one.value for one in found]


def test_mirrored_photos_are_predicted_as_well(
    small_site: Callable[..., Made], encoder: Encoder, tmp_path: Path
) -> None:
    """With the flip test, the mirror image of every test photo gets the mirror image of its prediction."""
    made = small_site(labels=True, photos=PHOTOS, retrain=RetrainSection(dense_size=64))
    bench = prepare(made.site, collect(made.site), encoder, tmp_path / "pixels")
    assert bench.masks is not None
    pixels, values = bench.masks.pixels, bench.masks.values
    is_test = [one in bench.masks.test for one in pixels.place]  # train photos stay as they are
    mirrored_pixels, mirrored_values = np.array(pixels.array), values.copy()
    mirrored_pixels[is_test] = mirrored_pixels[is_test][..., ::-1]
    rows = [bench.masks.place[one] for one in bench.masks.test]
    mirrored_values[rows] = mirrored_values[rows][..., ::-1]

    def counts(is_flipped: bool, array: np.ndarray, labels: np.ndarray) -> np.ndarray:
        dense = replace(bench.masks, pixels=Pixels(array, pixels.place), values=labels)
        plan = replace(bench.plan, is_flipped=is_flipped)
        return segmentation(encoder, replace(bench, masks=dense, plan=plan, memo={}))[0].statistics

    flipped, as_it_is = (
        np.abs(counts(way, pixels.array, values) - counts(way, mirrored_pixels, mirrored_values)).sum()
        for way in (True, False)
    )
    assert flipped <= 4 < as_it_is  # pixels of 80,000, where two classes are equally likely


def test_fine_tuning_learns_what_a_probe_cannot_read(
    small_site: Callable[..., Made], encoder: Encoder, tmp_path: Path
) -> None:
    """Patches of 16 pixels, random weights: the probe sees four cells, the decoder finds the part's outline."""
    made = small_site(labels=True, photos=PHOTOS)
    bench = prepare(made.site, collect(made.site), encoder, tmp_path / "pixels")
    before = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    tuned = replace(bench, plan=DensePlan("finetune", steps=40, batch=8, learning_rate=1e-3))
    probe, fine = (
        {one.metric: one.value for one in measure_dense(encoder, way)[0]} for way in (bench, tuned)
    )
    assert fine["miou"] > max(0.5, probe["miou"])
    assert fine["rmse"] < probe["rmse"]
    assert all(torch.equal(value, before[name]) for name, value in encoder.model.state_dict().items())


def test_the_loss_falls_and_a_loss_that_is_no_number_stops(encoder: Encoder) -> None:
    goal = masks(masks_goal, dense(np.tile([[0, 1]], (32, 16)).astype(np.int16), ["a", "b"]))
    told: list[float] = []
    plan = DensePlan("finetune", steps=12, batch=4, learning_rate=1e-3)

    def batch(ids: object) -> torch.Tensor:
        return torch.zeros(4, 3, 32, 32)

    fine_tune(encoder, batch, goal.dense.train, lambda scores, ids: scores.square().mean(), 2, plan,
              told=lambda step, loss: told.append(loss))  # fmt: skip
    assert told[-1] < 0.5 * told[0]
    with pytest.raises(GenbaError, match=r"The loss became nan at step 1 .*on the photos"):
        fine_tune(encoder, batch, goal.dense.train, lambda scores, ids: scores.mean() * float("nan"), 2, plan)


def test_more_labels_hold_the_fewer_and_all_of_them_are_the_task(
    small_site: Callable[..., Made], encoder: Encoder, tmp_path: Path
) -> None:
    ids = [f"p{number}" for number in range(9)]
    assert sorted(label_order(ids)) == ids and label_order(ids) == label_order(ids[::-1]) != label_order(
        ids, 1
    )
    made = small_site(labels=True, photos=PHOTOS)
    bench = prepare(made.site, collect(made.site), encoder, tmp_path / "pixels")
    assert bench.masks is not None
    ((few, many),) = predict(encoder, [masks_goal(bench)], bench.plan, [[15, 30]])
    ((alone,),) = predict(encoder, [masks_goal(bench)], bench.plan, [[15]])
    assert few[0].value == alone[0].value
    assert many[0].value == segmentation(encoder, bench)[0].value
    of_fewer = replace(bench.masks, train=label_order(bench.masks.train)[:15])
    assert segmentation(encoder, replace(bench, masks=of_fewer, memo={}))[0].value == few[0].value


def test_another_size_of_the_photos(
    small_site: Callable[..., Made], encoder: Encoder, tmp_path: Path
) -> None:
    """retrain.dense_size brings photos and labels to another square; what patches do not divide is refused."""
    settings = RetrainSection(dense_size=64, dense_blocks=[0])
    made = small_site(labels=True, photos=PHOTOS, retrain=settings)
    bench = prepare(made.site, collect(made.site), encoder, tmp_path / "pixels")
    assert bench.masks is not None and bench.masks.side == 64 and bench.photos.array.shape[-1] == 32
    found = segmentation(encoder, bench)[0]
    assert found.statistics.sum() == 20 * 64 * 64
    small = prepare(
        small_site(name="own", labels=True, photos=PHOTOS).site, collect(made.site), encoder, tmp_path
    )
    assert (
        found.value > segmentation(encoder, small)[0].value
    )  # four by four patches see more than two by two


def test_what_cannot_be_measured_says_why(encoder: Encoder) -> None:
    one_class = dense(np.zeros((4, 4), np.int16), ["ground"])
    with pytest.raises(TaskSkipped, match="all masks hold one class alone: ground"):
        masks(masks_goal, one_class)
    far = dense(np.full((4, 4), 30, np.float32))
    with pytest.raises(TaskSkipped, match="no train or no test photo has a depth of at most 10 m"):
        masks(depth_goal, far)
    assert masks(depth_goal, far, DensePlan(depth_max_m=50)).outputs == 1
    _, skipped = measure_dense(encoder, Bench([], one_class.pixels, None, replace(far, train=far.train[:4])))
    assert skipped == {"segmentation": "the site has no masks",
                       "depth": "4 train and 10 test photos have depth maps; it takes 10 of each"}  # fmt: skip
