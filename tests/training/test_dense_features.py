"""Feature maps against a slow reference, on a vision transformer and on a convolutional tower."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from scoring.encoders import Encoder, load_encoder
from training.dense_features import choose_maps, dense_maps, on_one_grid

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
