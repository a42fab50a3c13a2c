"""The speed benchmark runs on real photos, and its tables say what was measured and what was left out."""

from __future__ import annotations

import json

import pytest

from scoring import rates
from scoring.encoders import load_encoder
from scoring.rate_checks import scaled_decoding
from scoring.rate_large import large_site, neighbour_search
from scoring.rate_tables import markdown
from scoring.rates import derived, interleaved, measure, measure_live, medians, pairs_scored, record, samples


@pytest.fixture
def encoder(tiny_encoder):
    return load_encoder(f"local-dir:{tiny_encoder}", device="cpu")


def test_all_rates_of_small_and_large_files(shared, tmp_path, encoder, monkeypatch):
    monkeypatch.setattr(rates, "LARGE_FILES", 1)
    found = {one.name: measure(encoder, one, repeats=2) for one in samples(shared, tmp_path, 12)}
    for one in found.values():
        assert {
            "decode",
            "decode_plain",
            "forward",
            "photos",
            "photos_open_clip",
            "captions",
            "pairs",
        } <= one.keys()
        assert all(value > 0 for value in one.values())
    assert found[rates.LARGE]["decode_against_plain"] > 1.3, (
        "decoded at 1/8; 4 on a machine that does nothing else"
    )
    known = record(
        tmp_path / "out", {"speed": {"cpu fp32": {"encoder": "tiny", **rates.where("cpu"), "rates": found}}}
    )
    text = (tmp_path / "out" / "rates.md").read_text()
    assert json.loads((tmp_path / "out" / "rates.json").read_text()) == known
    assert "| small files | 12-megapixel files |" in text and "end to end against the bound" in text


def test_pairs_are_all_scored(shared, tmp_path, encoder, monkeypatch):
    monkeypatch.setattr(rates, "LARGE_FILES", 1)
    small, large = samples(shared, tmp_path, 20)
    assert len(small.pairs) == 20 and len(large.pairs) == 2 and pairs_scored(encoder, small) == 20
    assert len({path for path, _ in small.pairs}) == 20, "each photo once"


def test_interleaved_rounds_leave_the_first_out():
    order: list[str] = []
    works = {name: (lambda name=name: order.append(name) or 1) for name in "ab"}
    rounds = interleaved(works, 2)
    assert [set(one) for one in rounds] == [{"a", "b"}] * 2 and order == ["a", "b"] * 3


def test_medians():
    assert medians([{"x": 1.0}, {"x": 9.0}, {"x": 2.044}], 2) == {"x": 2.04}


@pytest.mark.parametrize(("device", "bound"), [("cpu", 20.0), ("cuda", 30.0)])
def test_the_bound(device, bound):
    """Sharing the cores, times add up: 1/30 + 1/60 s a photo. Side by side, the slower one binds."""
    given = {"decode": 30.0, "forward": 60.0, "decode_plain": 5.0, "photos": 18.0, "photos_open_clip": 6.0}
    found = derived(given, device)
    assert found["bound"] == pytest.approx(bound) and found["photos_against_bound"] == pytest.approx(
        18 / bound
    )
    assert (found["decode_against_plain"], found["photos_against_open_clip"]) == (6.0, 3.0)
    assert "pairs_against_torchmetrics" not in found


def test_the_time_of_a_typed_caption(shared, tmp_path, tiny_encoder):
    found = measure_live(shared, tmp_path, f"local-dir:{tiny_encoder}")
    assert found["captions"] == 200 and 0 < found["median_ms"] <= found["p95_ms"]


def test_scaled_decoding_ranks_alike(shared, tmp_path, encoder):
    told: list[str] = []
    found = scaled_decoding(encoder, shared, tmp_path, 4, told.append)
    assert (found["photos"], found["pairs"]) == (4, 20) and told
    assert found["spearman"] > 0.9 and abs(found["auroc_points"]) < 20, "of 20 pairs and a random encoder"


def test_the_search_for_neighbours(monkeypatch):
    monkeypatch.setattr("scoring.neighbours.EXACT_ROWS", 300)
    monkeypatch.setattr("scoring.neighbours.FEW_ASKED", 20)
    found = neighbour_search(2000, 50, ["cpu"], k=5, dim=16)
    assert (found["rows"], found["asked"], found["k"]) == (2000, 50, 5) and found["cpu_seconds"] >= 0
    assert "recall_of_lists" not in found, "nothing exact to compare with"
    text = markdown({"neighbours": {"2000": {**found, "cuda_seconds": 0.5, "recall_of_lists": 0.9154, "machine": "m",
                                             "date": "d"}}})  # fmt: skip
    assert f"| 2,000 | 16 | 50 | 5 | {found['cpu_seconds']} s | 0.5 s | 91.5% | m | d |" in text
    with pytest.raises(ValueError, match="so few"):
        neighbour_search(2000, 20, ["cpu"])


@pytest.mark.long
def test_a_large_site_is_ranked_and_ranked_again(tiny_encoder, tmp_path):
    """Small here: every pair, then the corrected ones alone, in processes of their own."""
    found = large_site(600, f"local-dir:{tiny_encoder}")
    assert (found["pairs"], found["ranked"], found["embedded"]) == (600, 600, 0)
    assert (found["again_ranked"], found["again_embedded"]) == (100, 100)
    assert 0 < found["peak_megabytes"] < 500 and found["again_seconds"] < found["seconds"] + 30


def test_tables_of_every_section():
    text = markdown({
        "speed": {"cuda bf16": {"encoder": "e", "machine": "m", "date": "d",
                                "rates": {"small files": {"decode": 10.0}}}},
        "live": {"machine": "m", "date": "d", "e": {"captions": 3, "median_ms": 20.0, "p95_ms": 30.0}},
        "scaled": {"encoder": "e", "date": "d", "photos": 5, "pairs": 25, "megapixels": 12, "spearman": 0.9991,
                   "auroc_full": 0.9, "auroc_scaled": 0.901, "auroc_points": 0.1},
        "large": {"1000000": {"pairs": 1_000_000, "dim": 512, "machine": "m", "date": "d", "seconds": 900.0,
                              "peak_megabytes": 1700, "corrections": 100, "again_seconds": 30.0,
                              "again_peak_megabytes": 700}},
    })  # fmt: skip
    for words in ("| decode and resize | 10.0 |", "torchmetrics was not installed", "| e | 20.0 ms | 30.0 ms |",
                  "+0.10 points", "0.9991", "1,000,000", "1,700 MB", "| 30.0 s | 700 MB"):  # fmt: skip
        assert words in text
