"""What an image tower knows of each place in a photo: feature maps, on one grid for linear probes, or as a pyramid.

    maps = dense_maps(encoder, batch)        # batch (B, 3, S, S) as the tower wants it -> (B, C, G, G) float32
    larger = at_size(encoder, 384)           # the same weights for photos of 384 x 384

A vision transformer gives its patches after four evenly spaced blocks (for twelve: 3, 6, 9, 12), or after those that
are named. A convolutional tower gives its maps at strides 4 and above, each brought to the finest one's grid: details
from the early ones, meaning from the late ones.

Another input size than a vision transformer's own: its position embeddings are interpolated (bicubic, antialiased; as
DeiT and open_clip do it) in a copy of the tower. Convolutional towers take any size as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from data.errors import GenbaError
from scoring.patches import inner_maps

if TYPE_CHECKING:
    import torch

TAPS = 4
FINEST_STRIDE = 4  # finer maps hold edges and colours, cost four times as much, and add next to nothing


class DenseEncoder(Protocol):
    """What the dense tasks need: an Encoder (scoring/encoders.py), or a base without texts (training/dense_base.py).

    model.visual is the image tower: `forward_intermediates` and `preprocess_cfg` as open_clip's towers have them.
    """

    @property
    def id(self) -> str: ...
    @property
    def model(self) -> torch.nn.Module: ...
    @property
    def image_size(self) -> int: ...
    @property
    def device(self) -> str: ...
    def _inference(self) -> AbstractContextManager[None]: ...


AnEncoder = TypeVar("AnEncoder", bound=Any)


def dense_maps(encoder: DenseEncoder, batch: torch.Tensor, blocks: Sequence[int] = ()) -> torch.Tensor:
    """(B, 3, S, S) normalised photos on the encoder's device -> (B, C, G, G) float32, on the same device, no gradient.

    Raises GenbaError for an image tower that does not show its inner maps, and for a block that it does not have.
    """
    return on_one_grid(choose_maps(inner_maps(encoder, batch), batch.shape[-1], blocks))  # type: ignore[arg-type]


def choose_maps(maps: Sequence[torch.Tensor], side: int, blocks: Sequence[int] = ()) -> list[torch.Tensor]:
    """Of all maps (B, C, H, W) those that are used: the named ones, counted from 0; else evenly spaced ones when all
    are of one size, else those that are coarse enough."""
    if blocks:
        absent = [block for block in blocks if not 0 <= block < len(maps)]
        if absent:
            raise GenbaError(
                f"The image tower has no block {absent[0]}: it has {len(maps)}, counted from 0.",
                choices=[str(number) for number in range(len(maps))], next="edit retrain.dense_blocks in genba.toml",
            )  # fmt: skip
        return [maps[block] for block in blocks]
    if len({one.shape[-1] for one in maps}) == 1:
        count = min(TAPS, len(maps))
        return [maps[(number + 1) * len(maps) // count - 1] for number in range(count)]
    return [one for one in maps if one.shape[-1] * FINEST_STRIDE <= side]


def on_one_grid(maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """Maps (B, C_i, H_i, W_i) brought bilinearly to the largest H and W, one behind the other: (B, sum C_i, H, W)."""
    import torch
    from torch.nn import functional

    size = max((one.shape[-2:] for one in maps), key=lambda shape: shape[0] * shape[1])
    return torch.cat(
        [
            one.float() if one.shape[-2:] == size
            else functional.interpolate(one.float(), size=size, mode="bilinear", align_corners=False)
            for one in maps
        ],
        dim=1,
    )  # fmt: skip


def at_size(encoder: AnEncoder, side: int) -> AnEncoder:
    """The encoder with an image tower for photos of side x side: itself at its own size, else a copy of the tower.

    What is fine-tuned afterwards is not the copy: make a new one. Raises GenbaError for a size that the tower's patches
    do not divide, and for a tower that is built for one size.
    """
    if side in (0, encoder.image_size):
        return encoder
    tower = copy.deepcopy(encoder.model.visual)
    trunk: Any = getattr(tower, "trunk", None)
    _require_whole_patches(tower, side)
    if hasattr(tower, "positional_embedding") and hasattr(tower, "conv1"):
        _resample(tower, side)
    elif hasattr(trunk, "set_input_size"):
        trunk.set_input_size(img_size=(side, side))
    elif not _is_free_of_size(tower):
        raise GenbaError(
            f"The image tower of {encoder.id!r} ({type(trunk or tower).__name__}) is built for photos of "
            f"{encoder.image_size} pixels alone.",
            next="set retrain.dense_size = 0 in genba.toml",
        )
    return replace(encoder, model=_holder(tower), image_size=side)


def _holder(tower: torch.nn.Module) -> torch.nn.Module:
    """A model that holds nothing but an image tower."""
    import torch

    model = torch.nn.Module()
    model.visual = tower
    return model.train(tower.training)


def _require_whole_patches(tower: Any, side: int) -> None:
    embed = getattr(getattr(tower, "trunk", None), "patch_embed", None)
    patch = getattr(embed, "patch_size", None) or getattr(tower, "patch_size", None)
    patch = patch[0] if isinstance(patch, (tuple, list)) else patch
    if isinstance(patch, int) and side % patch:
        near = max(1, round(side / patch)) * patch
        raise GenbaError(
            f"Photos of {side} pixels cannot be cut into patches of {patch}.",
            next=f"set retrain.dense_size = {near} in genba.toml",
        )


def _resample(tower: Any, side: int) -> None:
    """Of open_clip's own vision transformer: (1 + N, C), the class token's first, which has no place."""
    import torch
    from timm.layers import resample_abs_pos_embed

    patch = tower.conv1.kernel_size[0]
    grid = side // patch
    old = tower.positional_embedding
    made = resample_abs_pos_embed(old.detach()[None], new_size=[grid, grid], num_prefix_tokens=1)[0]
    tower.positional_embedding = torch.nn.Parameter(made, requires_grad=old.requires_grad)
    tower.image_size, tower.grid_size = (side, side), (grid, grid)


def _is_free_of_size(tower: torch.nn.Module) -> bool:
    """A tower of convolutions alone: no parameter stands for places."""
    return not any(
        word in name
        for name, _ in tower.named_parameters()
        for word in ("pos_embed", "relative_position", "rel_pos")
    )
