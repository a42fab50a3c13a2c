"""What an encoder's image tower knows of each place in a photo: feature maps, on one grid, for linear probes.

    maps = dense_maps(encoder, batch)        # batch (B, 3, S, S) as the tower wants it -> (B, C, G, G) float32

A vision transformer gives its patches after four evenly spaced blocks (for twelve: 3, 6, 9, 12). A convolutional tower
gives its maps at strides 4 and above, each brought to the finest one's grid: details from the early ones, meaning from
the late ones. The tower is not changed and no gradient is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scoring.encoders import Encoder
from scoring.patches import inner_maps

if TYPE_CHECKING:
    import torch

TAPS = 4
FINEST_STRIDE = 4  # finer maps hold edges and colours, cost four times as much, and add next to nothing


def dense_maps(encoder: Encoder, batch: torch.Tensor) -> torch.Tensor:
    """(B, 3, S, S) normalised photos on the encoder's device -> (B, C, G, G) float32, on the same device.

    Raises GenbaError for an image tower that does not show its inner maps.
    """
    return on_one_grid(choose_maps(inner_maps(encoder, batch), batch.shape[-1]))


def choose_maps(maps: Sequence[torch.Tensor], side: int) -> list[torch.Tensor]:
    """Of all maps (B, C, H, W) those that are used: evenly spaced ones when all are of one size, else coarse enough."""
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
