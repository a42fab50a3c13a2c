"""The pages of docs/evidence say what their figures say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.errors import GenbaError
from training import evidence

EFFECT = {
    "task": "retrieval", "metric": "recall_at_1", "arm": "corrected", "versus": "original", "value": 0.07, "low": 0.02,
    "high": 0.12, "unit": "fraction", "higher_is_better": True, "n": 338, "seeds": 3, "p_value": 0.001,
    "detectable": 0.082,
}  # fmt: skip
EQUIVALENT = {
    "task": "depth", "metric": "rmse", "arm": "corrected", "versus": "original", "share": 0.0625, "labels": 52,
    "equivalent": 52.0, "low": 52.0, "high": 61.0, "is_reached": True,
}  # fmt: skip
COUNTS = {"train_photos": 833, "corrected_photos": 238, "test_photos": 236, "test_captions": 338}
FOUND = {
    "set": "small", "date": "2026-11-26", "machine": "x86_64, 2 cores", "base_encoder": "demo", "snapshot": "s",
    "seconds": 60, "config": {"counts": COUNTS}, "metrics": [], "efficiency": [], "effects": [EFFECT],
    "equivalents": [EQUIVALENT, {**EQUIVALENT, "labels": 104, "equivalent": 130.0, "high": None}],
}  # fmt: skip


def test_what_could_be_shown_follows_from_the_runs_own_interval() -> None:
    """2.8016 * 0.1 / 3.92 = 0.0715; what was stated before stands beside it. One seed, or a base without any hit, does
    not mean that an effect of nothing could be shown."""
    assert "| +0.0200 to +0.1200 | 0.0715 | 0.0820 | 0.0010 | 338 | 3 | gain |" in evidence.page_of(FOUND)
    vague = [{**EFFECT, "seeds": 1, "detectable": None}, {**EFFECT, "detectable": 0.0}]
    page = evidence.page_of({**FOUND, "effects": vague})
    assert "| cannot be told | could not be told |" in page and "| 0.0715 | 0 (tells nothing) |" in page


def test_the_fewest_labels_stand_for_so_many_or_fewer() -> None:
    page = evidence.page_of(FOUND)
    assert "| 52 | 52 or fewer | 52 or fewer to 61 |" in page
    assert "| 104 | 130 | 52 or fewer to not reached |" in page


def test_pages_are_written_anew_from_their_figures(tmp_path: Path) -> None:
    with pytest.raises(GenbaError, match="holds no figures"):
        evidence.pages(tmp_path)
    (tmp_path / "small.json").write_text(json.dumps(FOUND), encoding="utf-8")
    evidence.pages(tmp_path)
    assert (tmp_path / "small.md").read_text(encoding="utf-8") == evidence.page_of(FOUND)


@pytest.mark.parametrize("name", ["demo", "rooms", "steel"])
def test_the_pages_are_those_of_the_figures_beside_them(name: str) -> None:
    figures = json.loads((evidence.OUT / f"{name}.json").read_text(encoding="utf-8"))
    assert (evidence.OUT / f"{name}.md").read_text(encoding="utf-8") == evidence.page_of(figures)
