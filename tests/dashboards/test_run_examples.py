"""Photos on which a retraining changed most: what is chosen, what is kept of it, what the page shows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dashboards import run_examples
from dashboards.run_examples import Example, examples, most_changed
from data.map_pictures import read_places
from data.site import Site
from tests.dashboards.test_pages import rerun, show, texts
from training import runs
from training.bench import IGNORED, Bench, Dense
from training.dense_tasks import confusion
from training.examples import Answer, Shown, gain_of, palette, write
from training.measures import Measured
from training.pixels import Pixels


def test_what_changed_most_by_hand() -> None:
    assert gain_of("retrieval", 5, 1) == pytest.approx(0.8) and gain_of("depth", 2, 1) == 1
    assert gain_of("segmentation", 0.5, 0.75) == 0.25
    made = [
        Example("retrieval", f"i{n}", f"m{n}", "c", 1, 1, None, gain)
        for n, gain in enumerate((0.1, 0, -0.3, 0.5))
    ]
    found = most_changed(made, "original", most=1)
    assert [one.item for one in found.better] == ["i3"] and [one.item for one in found.worse] == ["i2"]
    assert found.compared == 4


def ranks(values: list[float], items: list[str]) -> Measured:
    return Measured("retrieval", "median_rank_text_to_image", "rank", False, "median", items, items,
                    np.array(values)[:, None])  # fmt: skip


def examples_page(site: Site, language: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The part Examples as it first shows."""
    at = show("runs", site, language, monkeypatch)
    next(control for control in at.get("button_group") if control.key == "part-run-1").set_value("examples")
    return texts(rerun(at))


def test_examples_are_read_from_the_run_and_private_photos_are_left_out(
    worked: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    with worked.connect() as db:
        old = db.rows(
            "SELECT pair_id, image_id, caption FROM pairs WHERE origin = 'legacy' ORDER BY image_id"
        )[:3]
    items = [
        {"item_id": f"{row['pair_id']}-ja", "image_id": row["image_id"], "caption": row["caption"]}
        for row in old
    ]
    folder = worked.folder("snapshots") / "snap-run-1"
    folder.mkdir()
    parquet.write_table(pa.Table.from_pylist(items), folder / "items.parquet")
    names = [item["item_id"] for item in items]
    measured = {("original", 0): [ranks([4, 1, 2], names)], ("original", 1): [ranks([4, 1, 2], names)],
                ("corrected", 0): [ranks([1, 2, 2], names)], ("corrected", 1): [ranks([1, 2, 2], names)],
                ("base", 0): [ranks([9, 9, 9], names)]}  # fmt: skip
    runs.write_results(runs.folder(worked, "run-1") / "results.parquet", measured)
    found = examples(worked, "run-1", "retrieval")
    assert found and found.versus == "original" and found.compared == 3
    (better,), (worse,) = found.better, found.worse
    assert (better.before, better.after, better.base, better.caption) == (4, 1, 9, old[0]["caption"])
    assert (worse.item, worse.gain) == (names[1], -0.5)
    assert examples(worked, "run-1", "segmentation") is None
    assert found.kept is None and found.lacks == "older"
    assert "前後の画像はありません" in examples_page(worked, "ja", monkeypatch)
    keep_answers(worked, measured, [row["image_id"] for row in old], names)
    answered = examples(worked, "run-1", "retrieval")
    assert answered and answered.kept and [one.item for one in answered.better] == [names[0]]
    assert answered.kept.items[names[0]]["original"] == Answer(old[2]["image_id"], "wrong")
    assert answered.kept.items[names[0]]["corrected"] == Answer(old[0]["image_id"], "right")
    page = examples_page(worked, "en", monkeypatch)
    assert "Nearest words to the right photo" in page and "Found first" in page and "wrong" in page
    assert "No pictures" not in page
    with worked.connect() as db:
        from tests.dashboards.conftest import add_correction

        add_correction(db, old[2]["pair_id"], "private")
    answered = examples(worked, "run-1", "retrieval")
    assert answered and answered.kept and answered.kept.items[names[0]]["original"].photo == "", (
        "not shown any more"
    )
    with worked.connect() as db:
        from tests.dashboards.conftest import add_correction

        add_correction(db, old[0]["pair_id"], "private")
    again = examples(worked, "run-1", "retrieval")
    assert again and again.better == [] and again.compared == 1


def keep_answers(
    site: Site, measured: dict[tuple[str, int], list[Measured]], photos: list[str], items: list[str]
) -> None:
    """As a run does. Before, every caption finds the third photo."""
    shown = {arm: Shown(answers={item: Answer(photo if arm == "corrected" else photos[2],
                                              "right" if arm == "corrected" else "wrong")
                                 for item, photo in zip(items, photos, strict=True)})
             for arm in ("original", "corrected")}  # fmt: skip
    write(
        runs.folder(site, "run-1"),
        measured,
        shown,
        Bench([], Pixels(np.zeros((0, 3, 1, 1), np.uint8), {}), None, None),
    )


def test_maps_are_kept_of_those_that_changed_most(tmp_path: Path) -> None:
    """By hand: two photos of four places; a place without a label stays visible, and class names stay as written."""
    truth = np.array([[[0, 1], [1, IGNORED]], [[1, 1], [0, 0]]], np.int16)
    dense = Dense(Pixels(np.zeros((2, 3, 2, 2), np.uint8), {"a": 0, "b": 1}), [], ["a", "b"], truth, {"a": 0, "b": 1},
                  [3, 7], {"a": "a", "b": "b"}, ["ground", "<b>rust</b>"])  # fmt: skip
    guess = {"original": np.zeros((2, 2, 2)), "corrected": np.where(truth == IGNORED, 0, truth)}
    shown, measured = {}, {}
    for arm, places in guess.items():
        scores = np.eye(2)[places.astype(int)].transpose(0, 3, 1, 2)
        shown[arm] = Shown()
        shown[arm].take("segmentation", ["a", "b"], scores)
        sums = np.stack([confusion(*one, 2) for one in zip(truth, places.astype(int), strict=True)])
        measured[arm, 0] = [dense.measured("segmentation", "miou", "fraction", True, "mean_iou", sums)]
    write(tmp_path, measured, shown, Bench([], dense.pixels, dense, None))
    index = json.loads((tmp_path / "examples/index.json").read_text(encoding="utf-8"))["tasks"][
        "segmentation"
    ]
    assert set(index["items"]) == {"a", "b"} and index["has_unlabelled"]
    assert index["classes"] == [["ground", "#0072b2"], ["<b>rust</b>", "#e69f00"]]
    kept = {of: read_places(tmp_path / "examples" / f"segmentation-a-{of}.png").tolist()
            for of in ("original", "corrected", "truth")}  # fmt: skip
    assert kept == {"original": [[0, 0], [0, 0]], "corrected": [[0, 1], [1, 0]], "truth": [[0, 1], [1, 255]]}


def test_the_palette_tells_forty_classes_apart() -> None:
    colours = palette("segmentation")
    assert len(set(colours[:40])) == 40 and colours[255] not in colours[:40] and len(palette("depth")) == 256


def test_regions_and_depth_by_hand(tmp_path: Path) -> None:
    """A confusion of 3, 1 / 0, 4 is 0.775 (training/measures.py); 8 squared metres over 2 pixels is 2 m."""
    path = tmp_path / "results.parquet"
    items = ["m1", "m2"]
    nothing = [0.0] * 4
    regions = Measured(
        "segmentation",
        "miou",
        "fraction",
        True,
        "mean_iou",
        items,
        items,
        np.array([[3.0, 1, 0, 4], nothing]),
    )
    depth = Measured(
        "depth", "rmse", "m", False, "root_mean_square", items, items, np.array([[8.0, 2], [0, 0]])
    )
    runs.write_results(path, {("corrected", 0): [regions, depth]})
    assert run_examples.read_values(path, "segmentation") == {"corrected": {"m1": pytest.approx(0.775)}}
    assert run_examples.read_values(path, "depth") == {"corrected": {"m1": 2.0}}
