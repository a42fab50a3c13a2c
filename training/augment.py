"""Augmentation: each photo shifted a little, in other light and colour, drawn for a whole batch at once.

    draws = Draws.of(rng, 256, side=224, plan)
    part = augmented(pixels, draws.part(slice(0, 64)))      # the same photos in the same light, however a batch is cut

Nothing is mirrored or turned: left, right, top and bottom are what captions speak of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.plan import Plan

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class Draws:
    """reach: pixels of the largest shift. offsets: (B, 2) down and right, 0 to 2 * reach. factors: (B, 3) of the
    channels. level: (B,) added, on the scale of 0 to 255."""

    reach: int
    offsets: np.ndarray
    factors: np.ndarray
    level: np.ndarray

    @classmethod
    def of(cls, rng: np.random.Generator, photos: int, side: int, plan: Plan) -> Draws:
        """Draw for `photos` photos of `side` pixels."""
        reach = round(plan.shift * side)
        offsets = rng.integers(0, 2 * reach + 1, (photos, 2))
        light = 1 + plan.light * rng.standard_normal((photos, 1))
        factors = light * (1 + plan.colour * rng.standard_normal((photos, 3)))
        return cls(reach, offsets, factors, 255 * 0.25 * plan.light * rng.standard_normal(photos))

    def part(self, where: slice) -> Draws:
        """Of some photos of the batch."""
        return Draws(self.reach, self.offsets[where], self.factors[where], self.level[where])


def augmented(batch: torch.Tensor, draws: Draws) -> torch.Tensor:
    """(B, 3, S, S) uint8 -> float32 in 0 to 255, on the same device. The edge is repeated where a photo moved away."""
    import torch

    n, side, reach = len(batch), batch.shape[-1], draws.reach
    moved = batch.float()
    if reach:
        padded = torch.nn.functional.pad(moved, (reach,) * 4, mode="replicate")
        windows = padded.unfold(2, side, 1).unfold(3, side, 1)  # a view of all (2 * reach + 1) ** 2 shifts
        rows, columns = torch.from_numpy(draws.offsets).to(batch.device).T
        moved = windows[torch.arange(n, device=batch.device), :, rows, columns]
    factors = torch.from_numpy(draws.factors).float().to(batch.device).reshape(n, 3, 1, 1)
    level = torch.from_numpy(draws.level).float().to(batch.device).reshape(n, 1, 1, 1)
    return moved.mul_(factors).add_(level).clamp_(0, 255)
