"""What a retraining forgets: the general set is read from elsewhere, measured with each model, judged by the gate."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data.errors import GenbaError
from data.settings import set_value
from data.site import Site
from scoring.encoders import load_for_site
from tests.training.conftest import Made, draw_facts, draw_photo
from training.bench import Bench
from training.general import FEWEST, general_task, read_set
from training.pixels import Pixels
from training.registry import checks

Small = Callable[..., Made]


def write_set(folder: Path, photos: int = 24) -> Path:
    """Photos in a subfolder and captions.csv, far from the site."""
    rng = np.random.default_rng(5)
    (folder / "photos").mkdir(parents=True)
    with (folder / "captions.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "caption"])
        for number in range(photos):
            facts = draw_facts(rng)
            draw_photo(facts, rng).save(folder / "photos" / f"{number}.png")
            rows.writerow([f"photos/{number}.png", facts.caption("en" if number % 2 else "ja")])
    return folder / "captions.csv"


def naming(site: Site, path: Path | str) -> Site:
    set_value(site.settings_path, "retrain", "general_set", str(path))
    return Site.open(site.root)


def test_it_measures_recall_both_ways_and_leaves_nothing_in_the_site(
    small_site: Small, tmp_path: Path
) -> None:
    site = naming(small_site(photos={"train": 2, "test": 2}).site, write_set(tmp_path / "elsewhere"))
    encoder = load_for_site(site, device="cpu")
    empty = Bench([], Pixels(np.zeros((0, 3, 1, 1), np.uint8), {}), None, None)
    found = {one.metric: one for one in general_task(site, tmp_path / "work")["general"](encoder, empty)}
    assert set(found) == {"recall_at_1_text_to_image", "recall_at_1_image_to_text"}
    assert all(one.task == "general" and 0 <= one.value <= 1 for one in found.values())
    assert found["recall_at_1_text_to_image"].n == 24
    with site.connect() as db:
        assert db.value("SELECT count(*) FROM images") == 4
    assert general_task(naming(site, ""), tmp_path / "work") == {}


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ("gone", "there is no such file"),
        ("few", f"has 3 captions; a general set takes at least {FEWEST}"),
        ("photo", "the photo .*7.png cannot be read"),
        ("broken", "the photo .*7.png cannot be read"),
        ("caption", r"line 2: it has no caption"),
    ],
)
def test_a_set_that_cannot_be_used_is_told_before_anything_is_trained(
    tmp_path: Path, harm: str, message: str
) -> None:
    path = write_set(tmp_path / "elsewhere", 3 if harm == "few" else 24)
    if harm == "gone":
        path.unlink()
    elif harm == "photo":
        (path.parent / "photos" / "7.png").unlink()
    elif harm == "broken":
        (path.parent / "photos" / "7.png").write_bytes(b"no picture")
    elif harm == "caption":
        path.write_text("image,caption\nphotos/0.png,\n" * 1, encoding="utf-8")
    with pytest.raises(GenbaError, match=message):
        read_set(path)


def test_a_retraining_measures_all_that_the_gate_asks_for(small_site: Small, tmp_path: Path) -> None:
    from training.retrain import retrain

    site = naming(small_site().site, write_set(tmp_path / "elsewhere"))
    run_id = retrain(site, seeds=1, device="cpu")
    with site.connect() as db:
        model = db.rows("SELECT * FROM models WHERE run_id = ?", [run_id])[0]
        gaps = db.rows("SELECT * FROM slice_gaps WHERE run_id = ?", [run_id])
    found = {check.name: check.state for check in checks(site, model["model_id"])}
    assert [name for name, state in found.items() if state == "not_measured"] == ["checklist"]
    assert {one["task"] for one in model["meta"]["effects"]} >= {"retrieval", "retrieval_legacy", "general"}
    assert {gap["arm"] for gap in gaps} == {"base", "corrected", "candidate"}
    assert {gap["slice"] for gap in gaps} == {"language"}
    assert all(gap["change"] is None for gap in gaps if gap["arm"] == "base")
