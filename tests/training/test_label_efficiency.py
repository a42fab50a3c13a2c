"""Label efficiency: which shares, the equivalents by hand and by their properties, and the curve of a real encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data.settings_retrain import RetrainSection
from data.snapshots import collect
from scoring.encoders import load_encoder
from tests.training.conftest import Made
from training.bench import Bench, prepare
from training.dense_tasks import measure_dense
from training.label_efficiency import (
    Curve,
    Equivalent,
    Point,
    curve,
    efficiency_rows,
    label_counts,
    label_equivalents,
    labels_needed,
    monotone,
)
from training.measures import Measured
from training.tasks import measure

LABELS = [10, 20, 40, 80, 160]
SHARES = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0]
PHOTOS = 60
curves = arrays(float, st.tuples(st.integers(1, 6), st.integers(1, 3)), elements=st.floats(0, 1))


def points(
    hits: list[float], is_gain: bool = True, noise: float = 0.0, seed: int = 0, task: str = "t"
) -> list[Point]:
    """A curve of a share of hits; every photo has the same share, but for noise."""
    rng = np.random.default_rng(seed)
    ids = [f"p{number}" for number in range(PHOTOS)]
    found = []
    for share, labels, value in zip(SHARES, LABELS, hits, strict=True):
        hit = np.full(PHOTOS, value) + noise * rng.normal(size=PHOTOS)
        measured = Measured(
            task, "m", "fraction", is_gain, "ratio", ids, ids, np.stack([hit, np.ones(PHOTOS)], 1)
        )
        found.append(Point(task, "m", share, labels, measured))
    return found


PAIRS = [("corrected", "original")]


def equivalents(corrected: list[float], original: list[float], **how: object) -> list[Equivalent]:
    given_curves = {("corrected", 0): points(corrected, **how), ("original", 0): points(original, **how)}  # type: ignore[arg-type]
    return label_equivalents(given_curves, PAIRS, resamples=50)


def test_shares_that_come_to_the_same_number_count_once() -> None:
    assert label_counts(320) == {1 / 16: 20, 1 / 8: 40, 1 / 4: 80, 1 / 2: 160, 1.0: 320}
    assert label_counts(20) == {1 / 8: 2, 1 / 4: 5, 1 / 2: 10, 1.0: 20}  # a sixteenth is one photo
    assert label_counts(3) == {1 / 2: 2, 1.0: 3}
    assert label_counts(1) == {}


def test_labels_needed_by_hand() -> None:
    """0.2 with 10 and 0.4 with 40 labels: 0.3 lies half way in the logarithm, so 20. 0.1 takes 10 or fewer."""
    found = labels_needed(
        np.array([[0.2], [0.4]]), np.array([10.0, 40]), np.array([[0.3], [0.1], [0.2], [0.4], [0.5]])
    )
    assert found[:, 0].tolist() == pytest.approx([20, 10, 10, 40, np.inf])


def test_on_a_plateau_the_fewest_labels_count() -> None:
    found = labels_needed(np.array([[0.2], [0.4], [0.4]]), np.array([10.0, 40, 160]), np.array([[0.4]]))
    assert found.tolist() == [[40]]


def test_monotone_by_hand() -> None:
    assert monotone(np.array([[1.0], [3], [2], [4]]))[:, 0].tolist() == [1, 2.5, 2.5, 4]
    assert monotone(np.array([[3.0], [2], [1]]))[:, 0].tolist() == [2, 2, 2]


@given(curves)
def test_monotone_as_scikit_learn(values: np.ndarray) -> None:
    from sklearn.isotonic import IsotonicRegression

    for column, found in zip(values.T, monotone(values).T, strict=True):
        expected = IsotonicRegression().fit_transform(np.arange(len(column)), column)
        assert found == pytest.approx(expected, abs=1e-9)


@given(curves, st.floats(0, 1))
def test_more_is_never_needed_for_less(values: np.ndarray, wanted: float) -> None:
    labels = 10.0 * 2 ** np.arange(len(values))
    rising = monotone(values)
    ask = np.full((1, values.shape[1]), wanted)
    needed = labels_needed(rising, labels, ask)
    assert (labels_needed(rising, labels, ask / 2) <= needed).all()
    assert ((needed >= labels[0]) & ((needed <= labels[-1]) | np.isinf(needed))).all()
    assert (np.isinf(needed) == (rising[-1] < wanted * (1 - 1e-9))).all()
    own = labels_needed(rising, labels, rising)  # a curve needs no more labels than it has for what it has
    assert (own <= labels[:, None] * (1 + 1e-9)).all()


def test_equivalents_by_hand() -> None:
    """The corrected arm is one doubling ahead: with 10 labels as good as the original one with 20. With all it is
    better than the original one ever gets."""
    found = equivalents([0.2, 0.3, 0.4, 0.5, 0.6], [0.1, 0.2, 0.3, 0.4, 0.5])
    assert [one.labels for one in found] == LABELS and [one.share for one in found] == SHARES
    assert [one.equivalent for one in found[:4]] == pytest.approx([20, 40, 80, 160])
    assert found[4].equivalent is None and not found[4].is_reached
    assert [one.is_reached for one in found] == [True] * 4 + [False]
    assert (found[4].low, found[4].high) == (None, None)
    assert (found[0].low, found[0].high) == pytest.approx((20, 20))  # all photos alike: no draw differs


def test_equal_arms_need_equal_labels_and_worse_ones_fewer() -> None:
    line = [0.1, 0.2, 0.3, 0.4, 0.5]
    assert [one.equivalent for one in equivalents(line, line)] == pytest.approx(LABELS)
    worse = equivalents([0.05, 0.1, 0.2, 0.3, 0.4], line)
    assert [one.equivalent for one in worse] == pytest.approx([10, 10, 20, 40, 80])


def test_errors_are_read_the_other_way_round() -> None:
    found = equivalents([0.4, 0.3, 0.2, 0.1, 0.05], [0.5, 0.4, 0.3, 0.2, 0.1], is_gain=False)
    assert [one.equivalent for one in found[:4]] == pytest.approx([20, 40, 80, 160])
    assert not found[4].is_reached


def test_the_interval_holds_the_value_and_opens_where_all_labels_may_not_do() -> None:
    """At half of the labels the corrected arm is about as good as the original one with all: often not reached."""
    corrected, original = (
        points([0.2, 0.3, 0.4, 0.5, 0.6], noise=0.5),
        points([0.1, 0.2, 0.3, 0.4, 0.5], noise=0.5, seed=1),
    )
    found = label_equivalents({("corrected", 0): corrected, ("original", 0): original}, PAIRS, resamples=400)
    for one in found:
        assert one.low is not None and one.low >= 10
        assert one.high is None or (one.low <= one.high <= 160)
        if one.equivalent is not None:
            assert one.low <= one.equivalent <= (one.high or 160)
    assert found[3].high is None and found[1].low is not None
    again = label_equivalents({("corrected", 0): corrected, ("original", 0): original}, PAIRS, resamples=400)
    assert again == found


def test_seeds_widen_the_interval() -> None:
    def of(spread: float) -> Equivalent:
        found = {}
        for seed, shift in enumerate((-spread, 0, spread)):
            found["corrected", seed] = points([value + shift for value in (0.2, 0.3, 0.4, 0.5, 0.6)])
            found["original", seed] = points([0.1, 0.2, 0.3, 0.4, 0.5])
        return label_equivalents(found, PAIRS, resamples=200)[1]

    narrow, wide = of(0.0), of(0.05)
    assert narrow.equivalent == pytest.approx(40) and wide.equivalent == pytest.approx(40)
    assert narrow.low == pytest.approx(40) and wide.low is not None and wide.low < 36
    assert wide.high is not None and wide.high > 44


def test_one_model_alone_is_paired_with_all_seeds() -> None:
    found = {("corrected", seed): points([0.2, 0.3, 0.4, 0.5, 0.6]) for seed in range(3)}
    found["base", 0] = points([0.1, 0.2, 0.3, 0.4, 0.5])
    rows = label_equivalents(found, [("corrected", "base"), ("corrected", "absent")], resamples=20)
    assert [one.versus for one in rows] == ["base"] * 5 and rows[0].equivalent == pytest.approx(20)


def test_arms_that_cannot_be_compared() -> None:
    line = points([0.1, 0.2, 0.3, 0.4, 0.5])
    with pytest.raises(ValueError, match="learned from other numbers of labels"):
        label_equivalents({("corrected", 0): line[1:], ("original", 0): line}, PAIRS)
    other = [Point(one.task, one.metric, one.share, one.labels, _renamed(one.measured)) for one in line]
    with pytest.raises(ValueError, match="measured on different items"):
        label_equivalents({("corrected", 0): other, ("original", 0): line}, PAIRS)
    seeds = {**{("corrected", n): line for n in range(3)}, **{("original", n): line for n in range(2)}}
    with pytest.raises(ValueError, match="have 3 and 2 seeds"):
        label_equivalents(seeds, PAIRS)


def _renamed(one: Measured) -> Measured:
    ids = [f"q{number}" for number in range(one.n)]
    return Measured(
        one.task, one.metric, one.unit, one.higher_is_better, one.summary, ids, ids, one.statistics
    )


@settings(max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=5, max_size=5), st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_equivalents_keep_their_promises(corrected: list[float], original: list[float]) -> None:
    for one in equivalents(corrected, original):
        assert one.is_reached == (one.equivalent is not None)
        assert one.equivalent is None or 10 - 1e-9 <= one.equivalent <= 160 + 1e-9


def test_the_curve_of_a_real_encoder(
    small_site: Callable[..., Made], tiny_encoder: Path, tmp_path: Path
) -> None:
    """The last point is the task itself; the seed changes which labels are used, and nothing else."""
    encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    made = small_site(labels=True, photos={"train": 32, "test": 20}, retrain=RetrainSection(dense_size=64))
    bench = prepare(made.site, collect(made.site), encoder, tmp_path / "pixels")
    whole = curve(encoder, bench)
    found = whole.points
    assert {(one.task, one.metric) for one in found} == {
        ("segmentation", "miou"), ("depth", "rmse"), ("depth", "abs_rel"), ("depth", "delta_1_25")}  # fmt: skip
    miou = [one for one in found if one.metric == "miou"]
    assert [(one.share, one.labels) for one in miou] == list(label_counts(32).items())
    task = {one.metric: one.value for one in measure_dense(encoder, bench)[0]}
    assert {one.metric: one.measured.value for one in found if one.share == 1} == {
        name: value for name, value in task.items() if not name.startswith("iou_")}  # fmt: skip
    again, _ = measure(encoder, bench, whole.with_all)
    assert {one.metric: one.value for one in again if one.metric in task} == task
    assert [one for one in again if one.task == "depth"] == whole.with_all[
        "depth"
    ]  # taken over, not made again
    other = [one.measured for one in curve(encoder, bench, seed=1).points if one.metric == "miou"]
    assert any(
        (one.statistics != two.measured.statistics).any()
        for one, two in zip(other[:-1], miou[:-1], strict=True)
    )
    assert other[-1].value == pytest.approx(miou[-1].measured.value, abs=0.05)
    rows = efficiency_rows({("corrected", 2): found})
    assert rows[0] == {"arm": "corrected", "seed": 2, "task": "segmentation", "metric": "miou", "share": 1 / 16,
                       "labels": 2, "value": miou[0].measured.value, "unit": "fraction", "higher_is_better": True,
                       "n": 20}  # fmt: skip
    assert curve(encoder, Bench([], bench.photos, None, None)) == Curve([], {})
