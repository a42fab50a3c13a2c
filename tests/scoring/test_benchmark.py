"""The benchmark on real photos, cut short; its tables; and what it says without them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from data.errors import GenbaError
from scoring import benchmark
from scoring.benchmark import OVERALL, RANKINGS, figures, markdown, mean_figures, run, write_planted
from scoring.benchmark_sets import SETS, BenchmarkSet, PlantedPair, shared_folder, stated
from scoring.planting import KINDS
from tests.conftest import CHECKOUT, ENVIRONMENT


def short(one: BenchmarkSet, pairs: int) -> BenchmarkSet:
    step = max(1, len(one.pairs) // pairs)
    return BenchmarkSet(one.name, one.folder, one.pairs[::step][:pairs], one.facts_of, one.template)


def test_without_the_real_photos_it_says_what_is_missing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "scoring.benchmark"], cwd=CHECKOUT, capture_output=True, text=True, timeout=120,
        env={**ENVIRONMENT, "GENBA_SHARED": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 1 and f"no {tmp_path}/data" in done.stderr and "GENBA_SHARED" in done.stderr
    assert "Traceback" not in done.stderr


def test_figures_of_a_perfect_and_a_useless_ranking():
    rows = [PlantedPair(pair=None, kind=kind) for kind in ("", "", *KINDS)]  # type: ignore[arg-type]
    import numpy as np

    perfect, flat = np.array([0, 0, 1, 1, 1, 1.0]), np.zeros(6)
    found = list(figures(rows, {"cosine": flat, "neg_clip_loss": -perfect, "risk": perfect}))
    assert len(found) == 5 * len(RANKINGS)
    auroc = {(kind, name): value for kind, name, value, _ in found}
    assert (
        auroc[OVERALL, "risk"] == 1
        and auroc["vague", "cosine"] == 0.5
        and auroc["swap", "neg_clip_loss"] == 0
    )
    (mean,) = [
        row for row in mean_figures([found, found]) if (row["kind"], row["ranking"]) == (OVERALL, "risk")
    ]
    assert mean["auroc"] == 1 and mean["auroc_sd"] == 0 and mean["precision_at_100"] == round(4 / 6, 3)


def test_the_committed_figures_are_those_of_the_committed_table():
    result = json.loads((benchmark.OUT / "finder.json").read_text())
    assert (benchmark.OUT / "finder.md").read_text() == markdown(result)
    assert set(result["sets"]) == {"inspection", "flickr8k dev"} and result["seeds"] == [0, 1, 2]


def test_a_short_run_on_real_photos(shared: Path, small_encoder: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(
        benchmark.SETS, "flickr8k", lambda folder: short(SETS_AS_SHIPPED["flickr8k"](folder), 80)
    )
    monkeypatch.setattr(benchmark, "RATE_PHOTOS", 8)
    result = run(["flickr8k"], "", [0], tmp_path)
    one = result["sets"]["flickr8k dev"]
    assert (one["pairs"], one["planted"]) == (80, 24) and len(one["figures"]) == 15
    swap = {row["ranking"]: row["auroc"] for row in one["figures"] if row["kind"] == "swap"}
    assert all(value > 0.85 for value in swap.values()), "a real encoder finds captions of other photos"
    assert all(value > 0 for value in result["rates"]["flickr8k dev"].values())
    assert json.loads((tmp_path / "finder.json").read_text()) == result
    table = (tmp_path / "finder.md").read_text()
    assert "| hard_swap |" in table and "end to end" in table


SETS_AS_SHIPPED = dict(SETS)


def test_planted_captions_of_inspection_to_try_the_product_on(shared: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(
        benchmark.SETS, "inspection", lambda folder: short(SETS_AS_SHIPPED["inspection"](folder), 60)
    )
    write_planted("inspection", tmp_path, 0.3, seed=0)
    given = [json.loads(line) for line in (tmp_path / "captions.jsonl").read_text().splitlines()]
    truth = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert len(given) == len(truth) == 60 and sum(bool(row["kind"]) for row in truth) == 18
    assert all(set(row) == {"image", "caption"} for row in given)
    assert all((row["caption"] != row["original"]) == bool(row["kind"]) for row in truth)
    swaps = [row for row in truth if "swap" in row["kind"]]
    assert swaps and all(stated(row["caption"]) != stated(row["original"]) for row in swaps)
    assert all((shared / "data" / "inspection" / row["image"]).is_file() for row in given)


def test_the_sets_are_read_as_they_are(shared: Path):
    inspection, flickr = (SETS[name](shared) for name in ("inspection", "flickr8k"))
    assert len(inspection.pairs) == 1957 and len({caption for _, caption in inspection.pairs}) == 108
    assert len(flickr.pairs) == 5000 and len({image for image, _ in flickr.pairs}) == 1000


def test_shared_folder_names_what_is_absent(monkeypatch, tmp_path):
    monkeypatch.setenv("GENBA_SHARED", str(tmp_path))
    with pytest.raises(GenbaError, match="GENBA_SHARED"):
        shared_folder()
