"""The embedded encoder is small, loads without a network, reads both languages; rebuilding it works end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from data.demo.build import build_photos
from data.demo.scenes import DEFECTS, MATERIALS
from data.errors import GenbaError
from scoring.encoders import load_encoder
from training import demo_encoder
from training.demo_encoder import FOLDER, PEAK_RATE, learning_rate, rebuild, write_tokenizer
from training.demo_figures import auroc, measure, recall_at_1


def test_auroc_by_hand() -> None:
    """Of the four pairs (wrong, right) three have the wrong one below: 0.1<0.2, 0.1<0.4, 0.3<0.4."""
    assert auroc(np.array([0.1, 0.3]), np.array([0.2, 0.4])) == 0.75
    assert auroc(np.array([0.5]), np.array([0.5])) == 0.5


def test_recall_counts_a_scene_with_equal_facts_as_found() -> None:
    rows = np.array([[0.1, 0.9, 0.0], [0.0, 0.9, 0.1], [0.8, 0.1, 0.2]], dtype=np.float32)
    assert recall_at_1(rows, ["a", "a", "b"]) == pytest.approx(2 / 3)


def test_the_learning_rate_rises_and_falls_to_nothing() -> None:
    rates = [learning_rate(step, 100) for step in range(100)]
    assert rates[0] == PEAK_RATE / 5
    assert max(rates) == PEAK_RATE == rates[4]
    assert rates[99] < PEAK_RATE / 500
    assert rates[5:] == sorted(rates[5:], reverse=True)


def test_the_tokenizer_spells_words_it_never_saw(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    write_tokenizer(tmp_path, ["2 steel bolts on the tray", "トレーの上の鋼製ボルト2個"] * 20)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in ("rubber gear", "ゴム製ギア１個"):
        ids = tokenizer.encode(text).ids
        assert ids[0] == 1 and ids[-1] == 2
        assert tokenizer.decode(ids).strip() == text.replace("１", "1")


def test_a_tiny_rebuild_loads_offline_and_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import torch

    torch.set_num_threads(1)
    seen: list[str] = []
    figures = rebuild(
        tmp_path, scenes=24, steps=2, batch=8, workers=1, site_photos=24,
        progress=lambda done, total, what: seen.append(what.split(",")[0]),
    )  # fmt: skip
    assert 0 <= figures["auroc"] <= 1
    assert seen.count("render scenes") == 24 and seen.count("train") == 2
    assert json.loads((tmp_path / "genba.json").read_text())["genba_demo"] is True
    assert "of no use outside the demo" in (tmp_path / "README.md").read_text(encoding="utf-8")
    encoder = load_encoder(f"local-dir:{tmp_path}", device="cpu", demo_site=True)
    assert next(encoder.model.parameters()).dtype == torch.float32
    assert encoder.encode_texts(["鋼製ボルト"]).shape == (1, demo_encoder.WIDTH)
    with pytest.raises(GenbaError, match="demo encoder"):
        load_encoder(f"local-dir:{tmp_path}", device="cpu")


def test_two_rebuilds_with_one_seed_give_the_same_weights(tmp_path: Path) -> None:
    import torch

    torch.set_num_threads(1)
    for name in ("a", "b"):
        rebuild(tmp_path / name, scenes=12, steps=2, batch=6, workers=1, site_photos=12)
    weights = [(tmp_path / name / "open_clip_model.safetensors").read_bytes() for name in ("a", "b")]
    assert weights[0] == weights[1]


def test_the_embedded_encoder_is_small_and_has_its_papers() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 8 * 1024**2
    names = {path.name for path in FOLDER.iterdir()}
    assert {"README.md", "genba.json", "open_clip_config.json", "tokenizer.json"} <= names
    assert "genba" not in json.loads((FOLDER / "open_clip_config.json").read_text())


def test_the_embedded_encoder_finds_wrong_captions_in_both_languages(tmp_path: Path) -> None:
    """On photos of another seed than those of its README. Chance: AUROC 0.5, recall@1 0.01."""
    build_photos(tmp_path, 120, seed=8, workers=1)
    figures = measure(load_encoder("demo", device="cpu", demo_site=True), tmp_path)
    assert figures["auroc"] > 0.65
    assert figures["auroc_swapped"] > 0.75
    for language in ("ja", "en"):
        assert figures[f"recall_at_1_text_to_image_{language}"] > 0.2


def test_general_scenes_are_what_it_was_trained_on() -> None:
    assert not set(MATERIALS) & {"rubber", "cast_iron"}
    assert not set(DEFECTS) & {"chip", "burn"}
