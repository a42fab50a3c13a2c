"""The plots beside the benchmarks: their sources stand there, and what is drawn is what was measured."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from annotate import coverage
from dashboards import evidence
from dashboards.evidence_runs import effect_rows as run_plot_rows
from data.errors import GenbaError
from scoring.benchmark import mean_figures
from tests.dashboards.test_charts import data


def finder() -> dict[str, Any]:
    """The form of scoring.benchmark.run, of two kinds of error and two seeds."""
    auroc = {"cosine": (0.6, 0.7), "risk": (0.7, 0.9), "after 100": (0.8, 0.92)}
    seeds = [
        [
            {"kind": kind, "ranking": ranking, "auroc": value + shift, "auroc_risk": 0.8, "precision": 0.5}
            for ranking, pair in auroc.items()
            for kind, value in zip(("swap", "vague"), pair, strict=True)
        ]
        for shift in (-0.01, 0.01)
    ]
    one = {"set": "photos", "share": 0.4, "figures": mean_figures(seeds)}
    return {"rankings": [*auroc, "after 500"], "sets": [one]}


def test_the_auroc_is_the_mean_over_kinds_with_the_worst_and_the_best() -> None:
    rows = {row["ranking"]: row for row in evidence.by_ranking(finder())}
    assert list(rows) == ["cosine", "risk", "after 100"]  # what was not measured is not drawn
    assert rows["risk"]["auroc"] == pytest.approx(0.8)
    assert (rows["risk"]["worst"], rows["risk"]["best"]) == (0.7, 0.9)
    assert rows["risk"]["set"] == "photos, 40% wrong"
    assert [(row["reviews"], row["left"]) for row in evidence.by_reviews(finder())] == [
        (0, 1.0),
        (100, pytest.approx((1 - 0.86) / (1 - 0.8))),
    ]


def simulated() -> dict[str, Any]:
    """The form of annotate.coverage, simulated in a moment."""
    return {"one_draw": [coverage.one_draw(400, 0.1, n, 3, 1) for n in (20, 40)],
            "working_site": [coverage.working_site(400, 0.1, 20, 40, 3, 1)]}  # fmt: skip


def test_every_interval_of_every_simulated_audit_is_drawn() -> None:
    found = simulated()
    rows = evidence.coverage_rows(found)
    assert len(rows) == 2 * len(found["one_draw"][0]["coverage"])
    assert evidence.OURS in {row["interval"] for row in rows}
    drawn = [row for row in data(evidence.coverage_plot(found).to_dict()) if "audit" in row]
    assert [row["coverage"] for row in drawn] == [found["working_site"][0]["coverage"]]


def test_rates_stand_beside_their_peers() -> None:
    rates = {"decode": 90.0, "decode_plain": 30.0, "forward": 50.0, "bound": 32.0}
    rows = evidence.rate_rows({"speed": {"cpu fp32": {"rates": {"small files": rates}}}, "live": {}})
    assert [(row["work"], row["rate"], row["whose"]) for row in rows] == [
        ("decode, ours", 90.0, "ours"),
        ("decode, plain recipe", 30.0, "peer"),
        ("forward pass alone", 50.0, "bound"),
    ]


def test_plots_are_drawn_of_the_sources_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "finder.json").write_text(json.dumps(finder()))
    (tmp_path / "coverage.json").write_text(json.dumps(simulated()))
    drawn = evidence.draw(tmp_path, tmp_path / "out")
    assert [path.name for path in drawn] == ["finder.png", "coverage.png"]
    for path in drawn:
        head = path.read_bytes()[:24]
        width, height = struct.unpack(">II", head[16:24])
        assert head.startswith(b"\x89PNG") and width > 600 and height > 400


def test_a_folder_without_sources_and_an_old_source_are_errors_in_words(tmp_path: Path) -> None:
    with pytest.raises(GenbaError, match=r"holds no finder\.json"):
        evidence.draw(tmp_path, tmp_path)
    (tmp_path / "finder.json").write_text('{"sets": {"photos": {}}}')
    with pytest.raises(GenbaError, match="is not what is measured now"):
        evidence.draw(tmp_path, tmp_path)
    assert list(tmp_path.glob("*.png")) == []


def test_every_plot_that_is_kept_has_its_source() -> None:
    kept = [
        path for folder in evidence.FOLDERS for path in folder.glob("*.png") if path.stem in evidence.PLOTS
    ]
    assert [path.name for path in kept if not path.with_suffix(".json").is_file()] == []


def run_of_a_retraining() -> dict[str, Any]:
    """The form of training.evidence.measure."""
    metric = {"task": "depth", "metric": "rmse", "unit": "m"}
    return {
        "metrics": [{**metric, "arm": "original", "value": 0.5}],
        "effects": [
            {**metric, "arm": "corrected", "versus": "original", "value": -0.05, "low": -0.1, "high": -0.01,
             "higher_is_better": False},
            {**metric, "arm": "corrected", "versus": "base", "value": 0.0, "low": 0.0, "high": 0.0,
             "higher_is_better": False},
        ],
        "efficiency": [
            {**metric, "arm": arm, "labels": labels, "value": 1 / labels, "least": 0.9 / labels, "most": 1.1 / labels}
            for arm in ("original", "corrected") for labels in (10, 20, 40)
        ],
    }  # fmt: skip


def test_effects_of_a_retraining_are_drawn_as_shares_of_the_control_arm(tmp_path: Path) -> None:
    found = run_of_a_retraining()
    rows = run_plot_rows(found)
    assert [(row["against"], row["shown"]) for row in rows] == [("corrected - original", "gain")]
    assert [rows[0][key] for key in ("value", "low", "high")] == pytest.approx([10, 2, 20])
    (tmp_path / "rooms.json").write_text(json.dumps(found))
    assert struct.unpack(">II", evidence.draw(tmp_path, tmp_path)[0].read_bytes()[16:24])[0] > 500
