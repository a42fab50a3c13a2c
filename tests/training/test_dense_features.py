"""Feature maps against a slow reference, on a vision transformer and on a convolutional tower."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from data.errors import GenbaError
from scoring.encoders import Encoder, load_encoder
from training.dense_base import load_base
from training.dense_features import at_size, choose_maps, dense_maps, on_one_grid

# The small real encoder comes from the tests of scoring/.
from tests.scoring.conftest import small_encoder  # noqa: F401  isort: skip


def batch(size: int, photos: int = 2) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(photos, 3, size, size))).float()


def test_patches_of_a_vision_transformer(tiny_encoder: Path) -> None:
    """Two by two patches of 16 pixels after the only block, by a hook; patch (row, column) stands at [row, column]."""
    encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    kept: list[torch.Tensor] = []
    block = encoder.model.visual.transformer.resblocks[-1]
    handle = block.register_forward_hook(lambda module, given, made: kept.append(made))
    photos = batch(32)
    encoder.encode_images(photos)
    handle.remove()
    maps = dense_maps(encoder, photos)
    assert maps.shape == (2, 32, 2, 2)
    tokens = kept[0]  # (B, 1 + 4, 32), the class token first
    for number in range(4):
        assert torch.allclose(maps[:, :, number // 2, number % 2], tokens[:, 1 + number], atol=1e-6)


def test_maps_of_a_convolutional_tower(small_encoder: Path) -> None:  # noqa: F811
    """Every stage by its hook, upsampled with numpy-like loops: the same as the fast way."""
    encoder = load_encoder(f"local-dir:{small_encoder}", device="cpu")
    photos = batch(64, 1)
    maps = dense_maps(encoder, photos)
    trunk = encoder.model.visual.trunk
    x = trunk.bn1(trunk.conv_stem(photos))
    stages = [x]
    for block in trunk.blocks:
        x = block(x)
        stages.append(x)
    sizes = [one.shape[-1] for one in stages]
    last_of_size = {
        size: one for size, one in zip(sizes, stages, strict=True)
    }  # timm gives the last of each size
    kept = [last_of_size[size] for size in sorted(last_of_size, reverse=True) if size * 4 <= 64]
    expected = torch.cat([slow_upsample(one.detach(), 16) for one in kept], dim=1)
    assert maps.shape == expected.shape
    assert maps.shape[-1] == 16
    assert (maps - expected).abs().max() < 1e-3 * expected.abs().max()


def slow_upsample(maps: torch.Tensor, size: int) -> torch.Tensor:
    """Bilinear, pixel by pixel: pixel i lies at (i + 1/2) * H / size - 1/2 of the small map, held at its border."""
    side = maps.shape[-1]
    made = torch.empty(*maps.shape[:2], size, size)
    for i in range(size):
        for j in range(size):
            y, x = (min(max((n + 0.5) * side / size - 0.5, 0), side - 1) for n in (i, j))
            top, left = int(y), int(x)
            bottom, right = min(top + 1, side - 1), min(left + 1, side - 1)
            upper = maps[:, :, top, left] * (1 - (x - left)) + maps[:, :, top, right] * (x - left)
            lower = maps[:, :, bottom, left] * (1 - (x - left)) + maps[:, :, bottom, right] * (x - left)
            made[:, :, i, j] = upper * (1 - (y - top)) + lower * (y - top)
    return made


def test_which_maps_are_used() -> None:
    twelve = [torch.full((1, 1, 4, 4), float(number)) for number in range(1, 13)]
    assert [int(one[0, 0, 0, 0]) for one in choose_maps(twelve, 64)] == [3, 6, 9, 12]
    assert [int(one[0, 0, 0, 0]) for one in choose_maps(twelve[:2], 64)] == [1, 2]
    pyramid = [torch.zeros(1, 2, size, size) for size in (32, 16, 8, 4, 2)]
    assert [one.shape[-1] for one in choose_maps(pyramid, 64)] == [16, 8, 4, 2]
    assert on_one_grid(choose_maps(pyramid, 64)).shape == (1, 8, 16, 16)


def test_measuring_leaves_the_model_in_training_and_without_gradients(tiny_encoder: Path) -> None:
    encoder: Encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    encoder.model.train()
    assert not dense_maps(encoder, batch(32)).requires_grad
    assert encoder.model.training


def test_a_vision_transformer_at_another_size(tiny_encoder: Path) -> None:
    """Four by four patches where the tower knows two by two: its position embeddings, interpolated, the class token's
    as it was; then its only block. The encoder itself stays as it is."""
    encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    before = encoder.model.visual.positional_embedding.clone()
    photos = batch(64)
    maps = dense_maps(at_size(encoder, 64), photos)
    tower: Any = encoder.model.visual
    places = before[1:].T.reshape(1, 32, 2, 2)
    places = functional.interpolate(places, size=(4, 4), mode="bicubic", antialias=True, align_corners=False)
    for number, photo in enumerate(photos):
        tokens = [tower.class_embedding + before[0]]
        for row in range(4):
            for column in range(4):
                patch = photo[:, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
                value = (tower.conv1.weight * patch).sum((1, 2, 3))
                tokens.append(value + places[0, :, row, column])
        made = tower.transformer.resblocks[0](tower.ln_pre(torch.stack(tokens))[None])[0, 1:]
        assert torch.allclose(maps[number], made.T.reshape(32, 4, 4), atol=1e-5)
    assert torch.equal(encoder.model.visual.positional_embedding, before) and encoder.image_size == 32
    assert at_size(encoder, 32) is encoder is at_size(encoder, 0)


def test_a_convolutional_tower_at_another_size_is_the_same_tower(small_encoder: Path) -> None:  # noqa: F811
    encoder = load_encoder(f"local-dir:{small_encoder}", device="cpu")
    photos = batch(96, 1)
    assert torch.equal(dense_maps(at_size(encoder, 96), photos), dense_maps(encoder, photos))


@pytest.mark.parametrize("name", ["test_vit", "test_vit4", "test_resnet"])
def test_towers_of_timm_at_twice_their_size(name: str) -> None:
    base = load_base(f"timm-random:{name}", "cpu")
    twice = at_size(base, 2 * base.image_size)
    maps = dense_maps(base, batch(base.image_size, 1)), dense_maps(twice, batch(twice.image_size, 1))
    assert maps[1].shape[-1] == 2 * maps[0].shape[-1] and maps[1].shape[1] == maps[0].shape[1]


def test_blocks_by_their_number(tiny_encoder: Path) -> None:
    base = load_base("timm-random:test_vit", "cpu")
    photos = batch(base.image_size, 1)
    all_of_them = base.model.visual.forward_intermediates(photos, intermediates_only=True)[
        "image_intermediates"
    ]  # type: ignore[union-attr, operator]
    found = dense_maps(base, photos, [1, 3])
    assert torch.allclose(found, torch.cat([all_of_them[1], all_of_them[3]], 1))
    with pytest.raises(GenbaError, match=r"has no block 9: it has \d+, counted from 0"):
        dense_maps(base, photos, [9])


def test_sizes_that_a_tower_cannot_take(tiny_encoder: Path) -> None:
    encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    with pytest.raises(
        GenbaError, match=r"Photos of 70 pixels cannot be cut into patches of 16.*dense_size = 64"
    ):
        at_size(encoder, 70)

    class Fixed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pos_embed = torch.nn.Parameter(torch.zeros(4))

    fixed = SimpleNamespace(id="odd", image_size=32, model=SimpleNamespace(visual=Fixed()))
    with pytest.raises(
        GenbaError, match=r"The image tower of 'odd' \(Fixed\) is built for photos of 32 pixels alone"
    ):
        at_size(fixed, 64)
