"""The trainer takes any open_clip model: ViT, ResNet, mobile, Hugging Face text towers, SigLIP; locks and layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.errors import GenbaError
from scoring.encoders import load_encoder
from tests.training.encoders import SIGLIP, again, lesson, random_encoder, weights
from training import step as steps
from training.optimiser import adamw, layer_factors, locked, towers
from training.plan import Plan
from training.trainer import fine_tune

PLAN = Plan(steps=3, batch=12, learning_rate=1e-3, seed=0)


@pytest.mark.parametrize("vision", ["vit", "resnet", "mobile"])
@pytest.mark.parametrize("lock", ["image", "text"])
def test_a_locked_tower_keeps_its_weights_and_statistics(tmp_path: Path, vision: str, lock: str) -> None:
    encoder = random_encoder(tmp_path / "encoder", vision, "bert", **(SIGLIP if lock == "text" else {}))
    before = weights(encoder)
    fine_tune(encoder, *lesson(24), Plan(**{**vars(PLAN), "lock": lock}))
    moved = {name for name, value in weights(encoder).items() if not torch.equal(value, before[name])}
    sides = {
        "image" if name.startswith("visual.") else "text" for name in moved - {"logit_scale", "logit_bias"}
    }
    assert sides == {"text" if lock == "image" else "image"}
    assert "logit_scale" in moved
    assert ("logit_bias" in moved) == (lock == "text")
    assert not any("running_" in name for name in moved)
    assert all(parameter.requires_grad for parameter in encoder.model.parameters())


@pytest.mark.parametrize("vision", ["resnet", "mobile"])
def test_batch_norm_keeps_the_statistics_of_the_base_unless_asked(tmp_path: Path, vision: str) -> None:
    """A base with folded layers has neutral ones (mean 0, variance 1): those of a batch would undo its weights."""
    moved = {}
    for batch_norm in ("frozen", "batch"):
        encoder = random_encoder(tmp_path / batch_norm, vision, "bert")
        before = weights(encoder)
        fine_tune(encoder, *lesson(24), Plan(**{**vars(PLAN), "batch_norm": batch_norm}))
        moved[batch_norm] = {
            name
            for name, value in weights(encoder).items()
            if "running_mean" in name and not torch.equal(value, before[name])
        }
    assert not moved["frozen"] and moved["batch"]


def test_a_locked_text_tower_reads_every_caption_once(tmp_path: Path) -> None:
    """And teaches what it would when it were asked at every step."""
    encoder = random_encoder(tmp_path / "encoder", "vit", "bert")
    asked: list[int] = []
    encoder.model.text.register_forward_pre_hook(lambda _, given: asked.append(len(given[0])))  # type: ignore[operator, union-attr]
    pixels, captions = lesson(24)
    fine_tune(encoder, pixels, captions, Plan(**{**vars(PLAN), "lock": "text"}))
    assert asked == [len({text for texts in captions for text in texts})]
    other = again(encoder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.trainer.fixed_texts", lambda encoder, texts: None)
        fine_tune(other, pixels, captions, Plan(**{**vars(PLAN), "lock": "text"}))
    for name, value in weights(encoder).items():
        assert torch.allclose(value, weights(other)[name], atol=1e-5), name


def test_what_was_frozen_before_stays_frozen(tmp_path: Path) -> None:
    encoder = random_encoder(tmp_path / "encoder")
    parameter: Any = encoder.model.visual.proj  # type: ignore[union-attr]
    parameter.requires_grad_(False)
    with locked(encoder.model, "image") as set_training:
        set_training()
        assert not encoder.model.visual.training and encoder.model.text.training  # type: ignore[union-attr]
        assert not any(one.requires_grad for one in towers(encoder.model)["image"].values())
    still = [name for name, one in encoder.model.named_parameters() if not one.requires_grad]
    assert still == ["visual.proj"]


def test_siglip_learns_with_its_own_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = random_encoder(tmp_path / "encoder", **SIGLIP)
    biases: list[Any] = []
    real = steps.contrastive_loss

    def watched(*given: Any) -> torch.Tensor:
        biases.append(given[4])
        return real(*given)

    monkeypatch.setattr(steps, "contrastive_loss", watched)
    losses: list[float] = []
    plan = Plan(steps=60, batch=24, learning_rate=3e-3, seed=0)
    fine_tune(encoder, *lesson(96), plan, progress=lambda step, loss: losses.append(loss))
    assert all(one is encoder.model.logit_bias for one in biases)
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


FACTORS = {
    "vit": {"visual.proj": 1, "visual.ln_post.weight": 1, "visual.transformer.resblocks.1.ln_1.weight": 0.5,
            "visual.transformer.resblocks.0.mlp.c_fc.weight": 0.25, "visual.conv1.weight": 0.125,
            "visual.class_embedding": 0.125},
    "resnet": {"visual.attnpool.c_proj.weight": 1, "visual.layer4.0.conv1.weight": 0.5,
               "visual.layer1.0.conv1.weight": 0.0625, "visual.conv1.weight": 0.03125},
    "mobile": {"visual.head.proj.weight": 1, "visual.trunk.conv_head.weight": 0.5,
               "visual.trunk.blocks.3.0.conv_pw.weight": 0.25, "visual.trunk.conv_stem.weight": 0.5**6},
}  # fmt: skip
TEXTS = {
    "causal": {"text.text_projection": 1, "text.ln_final.weight": 1, "text.transformer.resblocks.0.ln_1.bias": 0.25,
               "text.token_embedding.weight": 0.125, "text.positional_embedding": 0.125},
    "bert": {"text.proj.weight": 1, "text.transformer.encoder.layer.1.output.dense.weight": 0.5,
             "text.transformer.embeddings.word_embeddings.weight": 0.125},
}  # fmt: skip


@pytest.mark.parametrize(("vision", "text"), [("vit", "bert"), ("resnet", "causal"), ("mobile", "causal")])
def test_layers_below_move_less(tmp_path: Path, vision: str, text: str) -> None:
    """Half the rate for each block further from the output, by hand for each kind of tower."""
    encoder = random_encoder(tmp_path / "encoder", vision, text)
    found = layer_factors(encoder.model, 0.5)
    for name, factor in {**FACTORS[vision], **TEXTS[text], "logit_scale": 1}.items():
        assert found[name] == factor, name
    plan = Plan(steps=4, batch=12, learning_rate=1e-3, seed=0, layer_decay=0.5)
    optimizer = adamw(encoder.model, plan)
    names = {id(parameter): name for name, parameter in encoder.model.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            assert group["factor"] == found[names[id(parameter)]]
            assert (group["weight_decay"] > 0) == (parameter.ndim >= 2)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(names)


def test_the_first_step_moves_each_layer_by_its_rate(tmp_path: Path) -> None:
    """AdamW's first step is the rate itself, whatever the gradient: so the movement shows the rate of each block."""
    encoder = random_encoder(tmp_path / "encoder")
    before = weights(encoder)
    fine_tune(encoder, *lesson(24), Plan(1, 12, 1e-3, 0, warmup=0, weight_decay=0, layer_decay=0.5))
    for name, factor in FACTORS["vit"].items():
        moved = (weights(encoder)[name] - before[name]).abs().median()
        assert moved == pytest.approx(1e-3 * factor, rel=0.1), name


def test_a_tower_without_blocks_says_so(tmp_path: Path) -> None:
    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.visual = torch.nn.Linear(2, 2)
            self.text = torch.nn.Linear(2, 2)

    with pytest.raises(GenbaError, match=r"image tower of this model has no blocks.*retrain.layer_decay = 1"):
        layer_factors(Plain(), 0.9)
    assert set(layer_factors(Plain(), 1.0).values()) == {1.0}


def test_the_first_class_of_open_clip_is_trained_too(tmp_path: Path) -> None:
    """It keeps the parts of its text tower beside `visual`, under no name of its own."""
    encoder = random_encoder(tmp_path / "encoder", custom_text=False)
    assert not hasattr(encoder.model, "text")
    before = weights(encoder)
    fine_tune(
        encoder, *lesson(24), Plan(**{**vars(PLAN), "lock": "image", "layer_decay": 0.5, "accumulate": 2})
    )
    moved = {name for name, value in weights(encoder).items() if not torch.equal(value, before[name])}
    assert "token_embedding.weight" in moved and not any(name.startswith("visual.") for name in moved)


def test_the_small_real_encoder_learns_real_photos(shared: Path) -> None:
    """mobilenet-minilm on ten real photos that carry each other's captions: it unlearns, and so the loss falls."""
    import csv

    from PIL import Image

    folder = shared / "models" / "mobilenet-minilm"
    if not folder.is_dir():
        pytest.skip(f"needs the small real encoder: no {folder}")

    with (shared / "data/flickr8k/captions.csv").open(encoding="utf-8") as file:
        rows = {row["image"]: row["caption"] for row in csv.DictReader(file)}
    names = list(rows)[:10]
    encoder = load_encoder(f"local-dir:{folder}", device="cpu")
    size = (encoder.image_size, encoder.image_size)
    photos = [
        Image.open(shared / "data/flickr8k/images" / name).convert("RGB").resize(size) for name in names
    ]
    pixels = np.stack([np.asarray(photo).transpose(2, 0, 1) for photo in photos])
    captions = [[rows[name]] for name in names[1:] + names[:1]]
    losses: list[float] = []
    plan = Plan(3, 10, 1e-4, 0, warmup=0, layer_decay=0.9, lock="image", ema=0.5)
    fine_tune(encoder, pixels, captions, plan, progress=lambda step, loss: losses.append(loss))
    assert losses[-1] < 0.8 * losses[0]
    assert all(torch.isfinite(value).all() for value in weights(encoder).values())
