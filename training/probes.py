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
PLACES = 32  # of each photo
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)  # of the ridge, in units of the mean eigenvalue
HELD_BACK = 0.2  # of the photos, to choose the strength on


@dataclass(frozen=True)
class Probe:
    """outputs = features @ weight + bias, with the standardisation folded in. weight: (C, K), bias: (K,), float32."""

    weight: torch.Tensor
    bias: torch.Tensor

    def maps(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, G, G) -> (B, K, G, G)."""
        import torch

        weight, bias = self.weight.to(features.device), self.bias.to(features.device)
        return torch.einsum("bchw,ck->bkhw", features, weight) + bias[None, :, None, None]


def features_of(encoder: Encoder, pixels: Pixels, image_ids: Sequence[str]) -> torch.Tensor:
    """(B, C, G, G) of a few photos."""
    import torch

    return dense_maps(encoder, normalised(torch.from_numpy(pixels.of(image_ids)), encoder))


def fit(
    encoder: Encoder,
    pixels: Pixels,
    image_ids: Sequence[str],
    targets_of: Callable[[Sequence[str]], np.ndarray],
    is_balanced: bool = False,
    seed: int = 0,
) -> Probe:
    """Fit one matrix on places drawn from each photo.

    targets_of(ids) -> (B, K, S, S) float32 at the model's size, NaN where a place has no label. A grid cell's target is
    the mean of its pixels. is_balanced: targets are shares of classes; a place weighs the more, the rarer its classes
    are (by the square root), else small defects would never be found.
    """
    import numpy as np
    import torch

    rng = np.random.default_rng([seed, 3])
    rows: list[torch.Tensor] = []
    wanted: list[torch.Tensor] = []
    photos: list[int] = []
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
            photos += [len(rows)] * len(chosen)
            rows.append(x[chosen])
            wanted.append(y[chosen])
    y = torch.cat(wanted)
    weights = (y / y.mean(0).clamp(min=1e-6).sqrt()).sum(1) if is_balanced else torch.ones(len(y))
    is_back = torch.tensor(photos) >= (1 - HELD_BACK) * len(rows)
    return ridge(torch.cat(rows), y, weights, is_back)


def ridge(
    x: torch.Tensor,
    y: torch.Tensor,
    weights: torch.Tensor,
    is_back: torch.Tensor,
    strengths: Sequence[float] = STRENGTHS,
) -> Probe:
    """Ridge regression of y (N, K) on x (N, C) with an intercept, in closed form; features are standardised first.

    Minimises sum_n weights_n |x_n' w - y_n'|^2 / sum(weights) + strength |w|^2 over the centred, standardised x'. The
    strength is the one that predicts the rows of `is_back` (N, bool) best from the others; then all rows are used.
    """
    import torch

    share = weights / weights.sum()
    mean, centre = share @ x, share @ y
    scale = (share @ (x - mean) ** 2).sqrt().clamp(min=1e-6)
    z, t = (x - mean) / scale, y - centre
    back = _moments(z[is_back], t[is_back], share[is_back])
    rest = _moments(z[~is_back], t[~is_back], share[~is_back])
    values, basis = torch.linalg.eigh(rest[0] / rest[2])
    turned = basis.T @ (rest[1] / rest[2])
    candidates = {s: basis @ (turned / (values.clamp(min=0) + s)[:, None]) for s in strengths}
    best = min(candidates, key=lambda s: _error(candidates[s], back)) if bool(is_back.any()) else strengths[0]
    gram = rest[0] + back[0]
    gram.diagonal().add_(best)
    weight = torch.linalg.solve(gram, rest[1] + back[1]).float() / scale[:, None]
    return Probe(weight, centre - mean @ weight)


Moments = tuple["torch.Tensor", "torch.Tensor", float]


def _moments(z: torch.Tensor, t: torch.Tensor, share: torch.Tensor) -> Moments:
    """(C, C) and (C, K) float64 second moments of the rows, and the sum of their shares."""
    weighted = z * share[:, None]
    return (weighted.T @ z).double(), (weighted.T @ t).double(), float(share.sum())


def _error(weight: torch.Tensor, of: Moments) -> float:
    """Squared error of z @ weight on the rows behind the moments, but for a constant."""
    import torch

    gram, cross, _ = of
    return float(torch.einsum("ck,cd,dk->", weight, gram, weight) - 2 * (weight * cross).sum())


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
