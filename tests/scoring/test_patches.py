"""Vectors of places against slow references, for each kind of image tower; which part of a photo they cover."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.errors import GenbaError
from data.site import Site
from scoring.encoders import Encoder, load_encoder
from scoring.patches import Places, inner_maps, patch_vectors, places_of, seen_box
from tests.data.makers import picture
from tests.scoring.conftest import TINY, write_tokenizer


def encoder_with(folder: Path, vision: dict[str, Any]) -> Encoder:
    """A random encoder of 16 dimensions with this image tower, as open_clip loads it from a folder."""
    from scoring.torchvision_ops import ensure_torchvision

    ensure_torchvision()
    import open_clip
    from safetensors.torch import save_file

    folder.mkdir()
    config = {**TINY, "model_cfg": {**TINY["model_cfg"], "vision_cfg": vision}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    write_tokenizer(folder)
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()},
        str(folder / "open_clip_model.safetensors"),
    )
    return load_encoder(f"local-dir:{folder}", device="cpu")


VIT = {"image_size": 32, "layers": 2, "width": 32, "patch_size": 16, "head_width": 16}


def photos(size: int = 32, count: int = 2) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(count, 3, size, size))).float()


def unit(vectors: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(vectors, dim=-1).detach().numpy()


def own(encoder: Encoder, batch: torch.Tensor) -> torch.Tensor:
    """The photos' embeddings as the tower gives them, not yet of unit length."""
    with torch.no_grad():
        return encoder.model.encode_image(batch)  # type: ignore[operator]


def norms(encoder: Encoder, batch: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """The vectors of places before they are made unit length: (B, H, W, D)."""
    with monkeypatch.context() as patched:
        patched.setattr(torch.nn.functional, "normalize", lambda vectors, dim: vectors)
        found = patch_vectors(encoder, batch)
    assert found is not None
    return torch.from_numpy(found)


def test_the_mean_over_places_is_the_embedding_of_an_averaging_vision_transformer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = encoder_with(tmp_path / "e", {**VIT, "pool_type": "avg"})
    places = norms(encoder, photos(), monkeypatch)
    assert places.shape == (2, 2, 2, 16)
    assert torch.allclose(places.mean((1, 2)), own(encoder, photos()), atol=1e-5)


def test_the_mean_over_places_is_the_embedding_of_an_averaging_convolutional_tower(
    small_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MobileNetV2 averages and then projects linearly; and each place, slowly: its features through the head alone."""
    encoder = load_encoder(f"local-dir:{small_encoder}", device="cpu")
    batch = photos(192, 1)
    places = norms(encoder, batch, monkeypatch)
    assert places.shape == (1, 6, 6, 384)
    whole = own(encoder, batch)
    assert torch.allclose(places.mean((1, 2)), whole, atol=1e-3 * float(whole.abs().max()))
    tower = encoder.model.visual
    with torch.no_grad():
        maps = tower.trunk.forward_features(batch)
        for row, column in ((0, 0), (2, 5)):
            one = tower.head(tower.trunk.global_pool(maps[:, :, row : row + 1, column : column + 1]))
            assert torch.allclose(places[:, row, column], one, atol=1e-3 * float(one.abs().max()))


def test_a_head_that_is_not_linear_sees_each_place_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's tower: average, convolution, activation, projection. A photo of one value has equal places inside."""
    encoder = load_encoder("demo", device="cpu", demo_site=True)
    batch = photos(96, 1)
    places = norms(encoder, batch, monkeypatch)
    trunk = encoder.model.visual.trunk
    assert places.shape == (1, 3, 3, 192)
    with torch.no_grad():
        maps = trunk.forward_features(batch)
        one = trunk.forward_head(maps[:, :, 1:2, 2:3])
        pooled = trunk.forward_head(maps.mean((2, 3), keepdim=True))
    assert torch.allclose(places[:, 1, 2], one, atol=1e-4)
    assert torch.allclose(pooled, own(encoder, batch), atol=1e-4), "the head of the mean is the embedding"


def test_a_class_token_tower_gives_the_value_path_of_its_last_block(tmp_path: Path) -> None:
    """MaskCLIP, slowly: out-projection of the value of one token, the two residuals, the norm, the projection."""
    encoder = encoder_with(tmp_path / "e", VIT)
    tower = encoder.model.visual
    kept: list[torch.Tensor] = []
    handle = tower.transformer.resblocks[-1].register_forward_pre_hook(
        lambda module, given: kept.append(given[0])
    )
    own(encoder, photos())
    handle.remove()
    block = tower.transformer.resblocks[-1]
    found = patch_vectors(encoder, photos())
    assert found is not None and found.shape == (2, 2, 2, 16)
    weight, bias = block.attn.in_proj_weight[64:], block.attn.in_proj_bias[64:]
    for photo in range(2):
        for place in range(4):
            x = kept[0][photo, 1 + place]
            value = weight @ block.ln_1(x) + bias
            x = x + block.attn.out_proj(value)
            x = x + block.mlp(block.ln_2(x))
            expected = unit(tower.ln_post(x) @ tower.proj)
            assert np.allclose(found[photo, place // 2, place % 2], expected, atol=1e-5)


def test_clips_residual_tower_gives_the_value_path_of_its_pooling(tmp_path: Path) -> None:
    encoder = encoder_with(
        tmp_path / "e", {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}
    )
    found = patch_vectors(encoder, photos(64))
    assert found is not None and found.shape == (2, 2, 2, 16)
    pool = encoder.model.visual.attnpool
    maps = inner_maps(encoder, photos(64))[-1]
    slow = pool.c_proj(pool.v_proj(maps[1, :, 0, 1]))
    assert np.allclose(found[1, 0, 1], unit(slow), atol=1e-5)


@pytest.mark.parametrize("pool", ["map", "avg"])
def test_timm_transformers_that_pool_by_attention_or_average(
    pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SigLIP's kind: the pooling head on one token. With an average and no norm behind it the mean is the embedding."""
    vision = {
        "image_size": 32,
        "timm_model_name": "vit_tiny_patch16_224",
        "timm_pool": pool,
        "timm_proj": "linear",
    }
    if pool == "map":
        vision["timm_model_name"] = "vit_base_patch16_siglip_224"
        vision["timm_proj"] = "none"
        monkeypatch.setitem(TINY["model_cfg"], "embed_dim", 768)
    encoder = encoder_with(tmp_path / "e", {**vision, "image_size": 224})
    batch = photos(224, 1)
    places = norms(encoder, batch, monkeypatch)
    assert places.shape[:3] == (1, 14, 14)
    trunk = encoder.model.visual.trunk
    with torch.no_grad():
        tokens = trunk.forward_features(batch)[:, trunk.num_prefix_tokens :]
        alone = tokens[:, 30:31]
        pooled = (
            trunk.attn_pool(alone) if pool == "map" else encoder.model.visual.head(trunk.fc_norm(alone[:, 0]))
        )
    assert torch.allclose(places[0, 2, 2], pooled[0], atol=1e-4)


def test_a_timm_tower_with_a_class_token_has_no_places(tmp_path: Path) -> None:
    vision = {
        "image_size": 224,
        "timm_model_name": "vit_tiny_patch16_224",
        "timm_pool": "token",
        "timm_proj": "linear",
    }
    assert patch_vectors(encoder_with(tmp_path / "e", vision), photos(224, 1)) is None


def transformers_encoder(folder: Path, kind: str) -> Encoder:
    """A random model of transformers' own classes, as scoring/transformers_encoder.py wraps it."""
    import transformers as hub

    from scoring.encoder_files import EncoderSource

    sides: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    vision = {**sides, "image_size": 32, "patch_size": 16}
    text = {**sides, "vocab_size": 50, "max_position_embeddings": 12}
    torch.manual_seed(0)
    config = getattr(hub, f"{kind}Config")(text_config=text, vision_config=vision)
    if kind == "CLIP":
        config.projection_dim = 16
    inner = getattr(hub, f"{kind}Model")(config).eval()

    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def encode_image(self, batch: torch.Tensor) -> torch.Tensor:
            made = inner.get_image_features(pixel_values=batch)
            return made if hasattr(made, "shape") else made.pooler_output

    source = EncoderSource("t", "transformers", folder / "none", "{}", 16, ("en",), False, folder)
    return Encoder(source, Wrapped(), None, lambda photo: torch.zeros(3, 32, 32), 32, 12, "cpu", "fp32")


@pytest.mark.parametrize("kind", ["CLIP", "Siglip"])
def test_models_of_transformers(kind: str, tmp_path: Path) -> None:
    """Slowly: CLIP's last layer, or SigLIP's pooling head, on one token as a sequence of its own."""
    encoder = transformers_encoder(tmp_path, kind)
    found = patch_vectors(encoder, photos())
    assert found is not None and found.shape[:3] == (2, 2, 2)
    inner: Any = encoder.model.inner
    vision = inner.vision_model
    with torch.no_grad():
        if kind == "Siglip":
            one = vision.head(vision(pixel_values=photos()).last_hidden_state[1:2, 3:4])
        else:
            states = vision(pixel_values=photos(), output_hidden_states=True).hidden_states
            layer = vision.encoder.layers[-1]
            x = states[-2][1:2, 4:5]
            x = x + layer.self_attn.out_proj(layer.self_attn.v_proj(layer.layer_norm1(x)))
            x = x + layer.mlp(layer.layer_norm2(x))
            one = inner.visual_projection(vision.post_layernorm(x[:, 0]))
    assert np.allclose(found[1, 1, 1], unit(one)[0], atol=1e-5)


def test_packed_photos_and_other_towers_give_none(tmp_path: Path) -> None:
    encoder = encoder_with(tmp_path / "e", VIT)
    assert patch_vectors(encoder, torch.zeros(1, 4, 770)) is None
    other = replace(encoder, model=torch.nn.Module())
    other.model.visual = torch.nn.Identity()  # type: ignore[assignment]
    assert patch_vectors(other, photos()) is None
    with pytest.raises(GenbaError, match="does not show its inner maps"):
        inner_maps(other, photos())


def test_heat_is_a_cosine_for_each_place() -> None:
    vectors = np.array([[[1, 0], [0, 1]], [[0.6, 0.8], [-1, 0]]], np.float32)
    heat = Places(vectors, (0, 0, 1, 1)).heat(np.array([1, 0], np.float32))
    assert np.allclose(heat, [[1, 0], [0.6, -1]])


@pytest.mark.parametrize(
    ("mode", "size", "box"),
    [
        ("squash", (640, 480), (0, 0, 1, 1)),
        ("shortest", (640, 480), (0.125, 0, 0.875, 1)),  # 480 of 640 columns
        ("shortest", (300, 600), (0, 0.25, 1, 0.75)),
        ("longest", (640, 320), (0, -0.5, 1, 1.5)),  # half of the square is padding
    ],
)
def test_which_part_of_a_photo_is_seen(mode: str, size: tuple[int, int], box: Any, tmp_path: Path) -> None:
    """Against open_clip's own transforms: squash, crop in the middle, pad."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    encoder = encoder_with(tmp_path / "e", VIT)
    transform = image_transform_v2(PreprocessCfg(size=(64, 64), resize_mode=mode), is_train=False)
    found = seen_box(replace(encoder, transform=transform, image_size=64), *size)
    assert found == pytest.approx(box, abs=0.02)


def test_the_places_of_a_photo_of_the_site(site: Site) -> None:
    encoder = load_encoder(site.encoder_id(), device="cpu")
    with site.connect() as db:
        image_id = db.value("SELECT image_id FROM images ORDER BY uri LIMIT 1")
    found = places_of(site, encoder, image_id)
    assert found is not None and found.vectors.shape == (2, 2, 16)
    direct = patch_vectors(encoder, encoder.preprocess(picture(1))[None])
    assert direct is not None and np.allclose(found.vectors, direct[0], atol=1e-5)
    assert found.box == pytest.approx((0, 0, 1, 1), abs=0.02)
    with pytest.raises(GenbaError, match="No photo x"):
        places_of(site, encoder, "x")
