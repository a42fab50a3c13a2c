"""The benchmark on real photos, cut short; its tables; and what it says without them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from data.errors import GenbaError
from scoring import benchmark, benchmark_sets
from scoring.benchmark import OVERALL, mean_figures, run, write_planted
from scoring.benchmark_sets import SETS, BenchmarkSet, shared_folder, stated
from scoring.benchmark_tables import cut, markdown, mean_over_kinds
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


def test_the_committed_figures_are_those_of_the_committed_table():
    result = json.loads((benchmark.OUT / "finder.json").read_text())
    assert (benchmark.OUT / "finder.md").read_text() == markdown(result)
    assert {one["set"] for one in result["sets"]} == {"inspection", "flickr8k dev", "demo"}
    assert result["seeds"] == [0, 1, 2] and {one["share"] for one in result["sets"]} >= {0.4, 0.1}


def test_the_means_of_the_table_by_hand():
    """Cosine errs by 0.4 on the average of two kinds, the risk by 0.1: three quarters of the error are gone."""
    figures = [
        {"kind": kind, "ranking": name, "auroc": auroc, "auroc_cosine": {"swap": 0.5, "vague": 0.7}[kind]}
        for name, aurocs in (("cosine", (0.5, 0.7)), ("risk", (0.85, 0.95)))
        for kind, auroc in zip(("swap", "vague"), aurocs, strict=True)
    ]
    one = {"figures": [*figures, {"kind": OVERALL, "ranking": "risk", "auroc": 0.0}]}
    assert mean_over_kinds(one, "risk") == pytest.approx(0.9)
    assert cut(one, "risk") == pytest.approx(0.75) and cut(one, "lemon") is None


def test_means_over_seeds():
    rows = [[{"kind": "swap", "ranking": "risk", "auroc": value, "precision": 1.0}] for value in (0.8, 0.6)]
    assert mean_figures(rows) == [
        {"kind": "swap", "ranking": "risk", "auroc": 0.7, "precision": 1.0, "auroc_sd": 0.1}
    ]


def test_a_short_run_on_real_photos(shared: Path, small_encoder: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(
        benchmark_sets.SETS, "flickr8k", lambda folder: short(SETS_AS_SHIPPED["flickr8k"](folder), 120)
    )
    monkeypatch.setattr(benchmark, "REVIEWS", (40, 200))
    monkeypatch.setattr(benchmark, "SHARES", (0.4,))
    result = run(["flickr8k"], "", [0], tmp_path)
    (one,) = result["sets"]
    assert (one["pairs"], one["planted"], one["seeds"]) == (120, 48, 1)
    found = {(row["kind"], row["ranking"]): row for row in one["figures"]}
    assert all(found["swap", name]["auroc"] > 0.85 for name in ("cosine", "neg_clip_loss", "risk"))
    assert (OVERALL, "after 40") in found and (OVERALL, "after 200") not in found, (
        "there are not so many to review"
    )
    worst = found[OVERALL, "risk"]
    assert worst["recall"] == pytest.approx(worst["precision"] * 6 / 48, abs=1e-3), (
        "the worst 5 % are 6 of 120"
    )
    assert found[OVERALL, "plain"]["different_errors"] >= 1
    assert json.loads((tmp_path / "finder.json").read_text()) == result
    assert "| hard_swap |" in (tmp_path / "finder.md").read_text()


SETS_AS_SHIPPED = dict(benchmark_sets.SETS)


def test_planted_captions_of_inspection_to_try_the_product_on(shared: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(
        benchmark_sets.SETS, "inspection", lambda folder: short(SETS_AS_SHIPPED["inspection"](folder), 60)
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
