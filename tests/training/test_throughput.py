"""The speed of fine-tuning is measured on real photos with the trainer itself, and merged with what stands there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.errors import GenbaError
from scoring.benchmark_sets import random_encoder
from scoring.encoders import load_encoder
from training import throughput


def test_the_trainer_beside_forward_and_backward_alone(
    shared: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    taught = throughput.lesson(encoder, 12)
    assert taught[0].shape == (12, 3, 32, 32) and [len(one) for one in taught[1]] == [5] * 12
    found = throughput.measure(encoder, taught, batch=6, accumulate=2, steps=2, repeats=2)
    assert found["images_per_second"] > 0 and found["bound"] > 0 and found["gpu_gigabytes"] is None
    assert found["share_of_bound"] == pytest.approx(found["images_per_second"] / found["bound"], rel=0.5)


def test_figures_of_other_machines_stay(tmp_path: Path) -> None:
    one = {"model": "a", "pixels": 32, "machine": "m", "precision": "bf16", "batch": 1024, "parts": 4, "date": "d",
           "images_per_second": 1500.5, "bound": 2000.0, "share_of_bound": 0.75, "gpu_gigabytes": 24.0}  # fmt: skip
    throughput.record(tmp_path, {"a": one})
    throughput.record(tmp_path, {"b": {**one, "model": "b", "gpu_gigabytes": None}})
    assert json.loads((tmp_path / "training.json").read_text()).keys() == {"a", "b"}
    text = (tmp_path / "training.md").read_text()
    assert "| a | 32 | m | bf16 | 1,024 | 4 | 1,500.5 | 2,000.0 | 0.75 | 24.0 GB | d |" in text
    assert "| b | 32 |" in text and "| 0.75 |  | d |" in text


def test_a_model_that_open_clip_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(GenbaError, match=r"no model 'ViT-B-61'\. Did you mean 'ViT-B-16'"):
        random_encoder("ViT-B-61", tmp_path / "encoder")
