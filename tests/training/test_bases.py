"""A light base by name: made, read back, scored with, and trained; what does not fit is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from data.errors import GenbaError
from data.settings import set_value
from data.site import Site
from scoring.encoders import load_encoder, resolve_encoder
from scoring.score import score
from tests.training.conftest import Made
from tests.training.encoders import SIDE, lesson, random_encoder, weights
from training.bases import main, make_base, vision_config
from training.plan import Plan
from training.trainer import fine_tune

SMALL = "test_efficientnet"  # timm's own for tests


def test_a_mobile_tower_learns_to_speak_the_language_of_another_encoder(tmp_path: Path) -> None:
    """MobileCLIP's image tower beside a given text tower: the text vectors stay, the photos come to them."""
    teacher = random_encoder(tmp_path / "teacher")
    made = make_base("MobileCLIP2-S0", tmp_path / "light", text_of=teacher.id, size=SIDE)
    config = json.loads((tmp_path / "light/open_clip_config.json").read_text())
    assert config["model_cfg"]["vision_cfg"]["timm_model_name"] == "fastvit_mci0"
    pixels, captions = lesson(24)
    words = [texts[0] for texts in captions]
    assert np.array_equal(made.encode_texts(words), teacher.encode_texts(words))
    before = weights(made)
    losses: list[float] = []
    plan = Plan(steps=6, batch=24, learning_rate=1e-3, seed=0, lock="text", layer_decay=0.9)
    fine_tune(made, pixels, captions, plan, progress=lambda step, loss: losses.append(loss))
    assert losses[-1] < losses[0]
    moved = {name for name, value in weights(made).items() if not torch.equal(value, before[name])}
    assert moved and all(name.startswith("visual.") or name == "logit_scale" for name in moved)
    assert np.array_equal(made.encode_texts(words), teacher.encode_texts(words))


def test_the_first_class_of_open_clip_and_siglip_give_their_text_tower(tmp_path: Path) -> None:
    for name, more in (("clip", {"custom_text": False}), ("siglip", {"init_logit_bias": -10.0})):
        teacher = random_encoder(tmp_path / name, **more)
        made = make_base(SMALL, tmp_path / f"of-{name}", text_of=teacher.id, size=SIDE)
        assert np.allclose(made.encode_texts(["a bolt"]), teacher.encode_texts(["a bolt"]), atol=1e-6)
        assert (made.model.logit_bias is None) == (name == "clip")


def test_a_new_base_from_a_sites_captions_scores_its_photos(
    small_site: Callable[..., Made], tmp_path: Path
) -> None:
    """The command, on captions in two languages; the site then uses what it made."""
    old = small_site(photos={"train": 24}).site
    done = CliRunner().invoke(
        main, ["mobilenetv4_conv_small", str(tmp_path / "light"), "--captions", str(old.root), "--size", "64"]
    )
    assert done.exit_code == 0, done.output
    assert "million parameters, 64 pixels; its image tower is random." in done.output
    source = resolve_encoder(f"local-dir:{tmp_path / 'light'}")
    assert source.languages == ("ja", "en") and not source.is_demo
    encoder = load_encoder(source.id, device="cpu")
    assert encoder.encode_texts(["真鍮の ボルト", "a brass bolt"]).shape == (2, 256)
    assert not encoder.is_truncated(["真鍮の ボルト 傷"])[0]
    set_value(old.settings_path, "site", "encoder", source.id)
    site = Site.open(old.root)
    score(site)
    with site.connect() as db:
        pairs = db.value("SELECT count(*) FROM pairs")
        assert pairs > 24
        assert db.value("SELECT count(*) FROM scores WHERE encoder = ?", [source.id]) == pairs


def test_image_weights_are_read_and_those_of_another_model_refused(tmp_path: Path) -> None:
    teacher = random_encoder(tmp_path / "teacher")
    import timm  # after open_clip, which random_encoder imports the way it must be here

    torch.manual_seed(5)
    tower = timm.create_model(SMALL, num_classes=7)
    right, wrong, pickle = (
        tmp_path / name for name in ("right.safetensors", "wrong.safetensors", "tower.bin")
    )
    save_file(tower.state_dict(), str(right))
    save_file(timm.create_model("test_byobnet").state_dict(), str(wrong))
    torch.save({}, pickle)
    made = make_base(SMALL, tmp_path / "light", text_of=teacher.id, image_weights=right, size=SIDE)
    for name, value in tower.state_dict().items():
        if not name.startswith("classifier."):
            assert torch.equal(made.model.state_dict()[f"visual.trunk.{name}"], value), name
    with pytest.raises(GenbaError, match=r"wrong.safetensors holds weights of another model: \d+ do not fit"):
        make_base(SMALL, tmp_path / "other", text_of=teacher.id, image_weights=wrong)
    with pytest.raises(GenbaError, match=r"tower.bin cannot be read as safetensors"):
        make_base(SMALL, tmp_path / "other", text_of=teacher.id, image_weights=pickle)
    assert not (tmp_path / "other").exists()


def test_what_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        GenbaError, match=r"No light model 'mobilenetv4_conv_smal'. Did you mean 'mobilenetv4_conv_small'"
    ):
        make_base("mobilenetv4_conv_smal", tmp_path / "it")
    with pytest.raises(GenbaError, match=r"vit_tiny_patch16_224 takes no photos of 100 pixels"):
        make_base("vit_tiny_patch16_224", tmp_path / "it", texts=["a bolt"] * 30, size=100)
    with pytest.raises(GenbaError, match=r"ViT-B-32 is no light model"):
        vision_config("ViT-B-32")
    with pytest.raises(GenbaError, match=r"at least 10; there are 2.*--text-of ENCODER"):
        make_base(SMALL, tmp_path / "it", texts=["a bolt", "a nut"])
    (tmp_path / "used").mkdir()
    (tmp_path / "used/file").touch()
    with pytest.raises(GenbaError, match=r"used is not empty"):
        make_base(SMALL, tmp_path / "used", texts=["a bolt"] * 30)


def test_the_demos_text_tower_keeps_its_mark(tmp_path: Path) -> None:
    made = make_base(SMALL, tmp_path / "light", text_of="demo", size=96)
    assert made.source.is_demo
    with pytest.raises(GenbaError, match="demo encoder"):
        load_encoder(f"local-dir:{tmp_path / 'light'}", device="cpu")
