"""Linear probes on frozen feature maps: how much of a mask or a depth map can be read off an encoder by one matrix.

    probe = fit(encoder, pixels, image_ids, targets_of, outputs)     # ridge regression in closed form
    predicted = probe.maps(features)                        # (B, outputs, G, G)

The probe is small on purpose: what it finds was in the features already. Places are drawn from the seed alone, so two
encoders are probed at the same places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scoring.encoders import Encoder
from training.dense_features import dense_maps
from training.pixels import Pixels, batches, normalised

if TYPE_CHECKING:
    import numpy as np
    import torch

BATCH = 32
PLACES = 64  # of each photo
RIDGE = 1e-3  # of the mean eigenvalue, which is 1 for standardised features


@dataclass(frozen=True)
class Probe:
    """outputs = features @ weight + bias, with the standardisation folded in. weight: (C, K), bias: (K,), float32."""

    weight: torch.Tensor
    bias: torch.Tensor

    def maps(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, G, G) -> (B, K, G, G)."""
        import torch

        return torch.einsum("bchw,ck->bkhw", features, self.weight) + self.bias[None, :, None, None]


def features_of(encoder: Encoder, pixels: Pixels, image_ids: Sequence[str]) -> torch.Tensor:
    """(B, C, G, G) of a few photos."""
    import torch

    return dense_maps(encoder, normalised(torch.from_numpy(pixels.of(image_ids)), encoder))


def fit(
    encoder: Encoder,
    pixels: Pixels,
    image_ids: Sequence[str],
    targets_of: Callable[[Sequence[str]], np.ndarray],
    seed: int = 0,
) -> Probe:
    """Fit one matrix on places drawn from each photo.

    targets_of(ids) -> (B, K, S, S) float32 at the model's size, NaN where a place has no label. A grid cell's target is
    the mean of its pixels.
    """
    import numpy as np
    import torch

    rng = np.random.default_rng([seed, 3])
    rows, wanted = [], []
    for ids in batches(image_ids, BATCH):
        features = features_of(encoder, pixels, ids).cpu()  # (B, C, G, G)
        targets = on_grid(torch.from_numpy(targets_of(ids)), features.shape[-1])
        flat_x, flat_y = (
            features.flatten(2).transpose(1, 2),
            targets.flatten(2).transpose(1, 2),
        )  # (B, G * G, ·)
        for x, y in zip(flat_x, flat_y, strict=True):
            labelled = torch.nonzero(~y.isnan().any(1)).flatten().numpy()
            chosen = rng.permutation(labelled)[:PLACES]
            rows.append(x[chosen])
            wanted.append(y[chosen])
    return ridge(torch.cat(rows).to(encoder.device), torch.cat(wanted).to(encoder.device))


def ridge(x: torch.Tensor, y: torch.Tensor, strength: float = RIDGE) -> Probe:
    """Ridge regression of y (N, K) on x (N, C) with an intercept, in closed form; features are standardised first.

    Minimises |x' w - y'|^2 / N + strength |w|^2 over the centred, standardised x'.
    """
    import torch

    mean, scale = x.mean(0), x.std(0, unbiased=False).clamp(min=1e-6)
    centre = y.mean(0)
    z = (x - mean) / scale
    gram = (z.T @ z / len(z)).cpu().double()
    gram.diagonal().add_(strength)
    solved = torch.linalg.solve(gram, (z.T @ (y - centre) / len(z)).cpu().double())
    weight = solved.float().to(x.device) / scale[:, None]
    return Probe(weight, centre - mean @ weight)


def on_grid(maps: torch.Tensor, grid: int) -> torch.Tensor:
    """(B, K, S, S) -> (B, K, G, G): the mean over each cell's labelled pixels, NaN where it has none."""
    from torch.nn import functional

    is_there = (~maps.isnan()).float()
    total = functional.adaptive_avg_pool2d(maps.nan_to_num(0.0), grid)
    return total / functional.adaptive_avg_pool2d(is_there, grid)  # 0 / 0 is NaN


def to_size(maps: torch.Tensor, side: int) -> torch.Tensor:
    """(B, K, G, G) -> (B, K, S, S), bilinear."""
    from torch.nn import functional

    return functional.interpolate(maps, size=(side, side), mode="bilinear", align_corners=False)
