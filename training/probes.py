"""Linear probes on frozen feature maps: how much of a mask or a depth map can be read off an encoder by one matrix.

    drawn = PlacesFile.begin(folder)
    drawn.add(*draw_places(maps, targets, image_id))        # of each photo some places, once for a model
    places = drawn.places()
    probe = fit(places, photos=40)                          # ridge regression in closed form, on the first 40 photos
    predicted = probe.maps(features)                        # (B, outputs, G, G)

The probe is small on purpose: what it finds was in the features already. A photo's places are drawn from its id and the
seed alone, so two encoders are probed at the same places. Features lie in a file and are read in blocks: 32 places of
a vision transformer with 3,072 channels are 0.4 MB a photo, in memory nothing but a block and the moments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from training.row_files import RowFile

if TYPE_CHECKING:
    import numpy as np
    import torch

BATCH = 32
ROWS = 4096  # places that are held at once
PLACES = 32  # of each photo
# Of the ridge, in units of the mean eigenvalue: 0.001 to 100, three and a bit times as strong each
STRENGTHS = tuple(10 ** (half / 2) for half in range(-6, 5))
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


@dataclass(frozen=True)
class Places:
    """Drawn places of photos: features (N, C), targets (N, K), the number of each one's photo (N,), in their order."""

    features: torch.Tensor
    targets: torch.Tensor
    photo: torch.Tensor


OfPhoto = tuple["torch.Tensor", "torch.Tensor"]  # features (n, C) and targets (n, K) of one photo's places


def draw_places(features: torch.Tensor, targets: torch.Tensor, image_id: str, seed: int = 0) -> OfPhoto:
    """At most PLACES labelled places of one photo. features: (C, G, G); targets: (K, G, G), NaN where there is none."""
    import numpy as np
    import torch

    x, y = features.flatten(1).T, targets.flatten(1).T  # (G * G, ·)
    labelled = torch.nonzero(~y.isnan().any(1)).flatten().numpy()
    rng = np.random.default_rng([seed, 3, *hashlib.sha256(image_id.encode()).digest()[:8]])
    chosen = rng.permutation(labelled)[:PLACES]
    return x[chosen].contiguous(), y[chosen].contiguous()


@dataclass
class PlacesFile:
    """The places of photos, one photo behind the other."""

    features: RowFile
    targets: RowFile
    photo: list[int] = field(default_factory=list)  # how many places each photo has

    @classmethod
    def begin(cls, folder: Path | None) -> PlacesFile:
        """folder: see RowFile."""
        return cls(RowFile(folder), RowFile(folder))

    def add(self, features: torch.Tensor, targets: torch.Tensor) -> None:
        """One photo's, (n, C) and (n, K). Raises DiskFull."""
        self.features.add(features.numpy())
        self.targets.add(targets.numpy())
        self.photo.append(len(features))

    def places(self) -> Places:
        """All that was added."""
        import torch

        numbers = torch.repeat_interleave(
            torch.arange(len(self.photo)), torch.tensor(self.photo, dtype=torch.long)
        )
        features, targets = (torch.from_numpy(one.array()) for one in (self.features, self.targets))
        return Places(features, targets, numbers)


def fit(places: Places, photos: int, is_balanced: bool = False) -> Probe:
    """Fit one matrix on the places of the first `photos` photos; the last fifth of them choose the strength.

    is_balanced: targets are shares of classes; a place weighs the more, the rarer its classes are (by the square root),
    else small defects would never be found; and only which class is the largest counts, see `ridge`.
    """
    import torch

    count = int((places.photo < photos).sum())  # they come first
    x, y = places.features[:count], places.targets[:count]
    weights = (y / y.mean(0).clamp(min=1e-6).sqrt()).sum(1) if is_balanced else torch.ones(len(y))
    back = max(1, round(HELD_BACK * photos)) if photos > 1 else 0
    return ridge(x, y, weights, places.photo[:count] >= photos - back, is_scale_free=is_balanced)


def ridge(
    x: torch.Tensor,
    y: torch.Tensor,
    weights: torch.Tensor,
    is_back: torch.Tensor,
    strengths: Sequence[float] = STRENGTHS,
    is_scale_free: bool = False,
) -> Probe:
    """Ridge regression of y (N, K) on x (N, C) with an intercept, in closed form; features are standardised first.

    Minimises sum_n weights_n |x_n' w - y_n'|^2 / sum(weights) + strength |w|^2 over the centred, standardised x'. The
    strength is the one that predicts the rows of `is_back` (N, bool) best from the others; then all rows are used.
    is_scale_free: best after one factor for all outputs. A strong ridge makes all of them small, which squared errors
    reward where there is much noise; but the largest output stays the largest.
    """
    import torch

    share = weights / weights.sum()
    mean, centre = share @ x, share @ y
    spread = torch.stack([share[block] @ (x[block] - mean) ** 2 for block in _blocks(len(x))]).sum(0)
    scale = spread.sqrt().clamp(min=1e-6)

    def moments(is_in: torch.Tensor) -> Moments:
        parts = [
            _moments((x[block][rows] - mean) / scale, y[block][rows] - centre, share[block][rows])
            for block in _blocks(len(x))
            for rows in [is_in[block]]
        ]
        return _sum(parts)

    back, rest = moments(is_back), moments(~is_back)
    values, basis = torch.linalg.eigh(rest[0] / rest[2])
    turned = basis.T @ (rest[1] / rest[2])
    candidates = {s: basis @ (turned / (values.clamp(min=0) + s)[:, None]) for s in strengths}
    best = (
        min(candidates, key=lambda s: _error(candidates[s], back, is_scale_free))
        if bool(is_back.any())
        else strengths[0]
    )
    gram = rest[0] + back[0]
    gram.diagonal().add_(best)
    weight = torch.linalg.solve(gram, rest[1] + back[1]).float() / scale[:, None]
    return Probe(weight, centre - mean @ weight)


Moments = tuple["torch.Tensor", "torch.Tensor", float]


def _moments(z: torch.Tensor, t: torch.Tensor, share: torch.Tensor) -> Moments:
    """(C, C) and (C, K) float64 second moments of the rows, and the sum of their shares."""
    weighted = z * share[:, None]
    return (weighted.T @ z).double(), (weighted.T @ t).double(), float(share.sum())


def _sum(parts: Iterable[Moments]) -> Moments:
    gram, cross, share = zip(*parts, strict=True)
    return sum(gram[1:], gram[0]), sum(cross[1:], cross[0]), sum(share)


def _blocks(rows: int) -> list[slice]:
    return [slice(start, start + ROWS) for start in range(0, rows, ROWS)]


def _error(weight: torch.Tensor, of: Moments, is_scale_free: bool) -> float:
    """Squared error of z @ weight on the rows behind the moments, but for a constant; or of its best multiple."""
    import torch

    gram, cross, _ = of
    size = float(torch.einsum("ck,cd,dk->", weight, gram, weight))
    fit = float((weight * cross).sum())
    if not is_scale_free:
        return size - 2 * fit
    return -(max(fit, 0.0) ** 2) / size if size > 0 else 0.0


def class_shares(labels: np.ndarray, classes: int, grid: int, ignored: int) -> np.ndarray:
    """(B, S, S) class places -> (B, classes, G, G) float32: each class's share of a cell's labelled pixels, NaN where
    it has none. class_shares([[[0, 1], [1, 1]]], 2, 1, -1) == [[[[0.25]], [[0.75]]]]"""
    import numpy as np

    cell = _cells(labels.shape[-1], grid)
    found = np.empty((len(labels), classes, grid, grid), np.float32)
    for one, made in zip(labels.reshape(len(labels), -1), found, strict=True):
        known = one != ignored
        index = cell[known] * classes + one[known]
        counts = np.bincount(index, minlength=grid * grid * classes).reshape(grid, grid, classes)
        made[:] = _divided(counts, counts.sum(-1, keepdims=True)).transpose(2, 0, 1)
    return found


def cell_means(values: np.ndarray, grid: int) -> np.ndarray:
    """(B, S, S) -> (B, 1, G, G) float32: the mean over each cell's pixels that have a value, NaN where none has."""
    import numpy as np

    cell = _cells(values.shape[-1], grid)
    found = np.empty((len(values), 1, grid, grid), np.float32)
    for one, made in zip(values.reshape(len(values), -1), found, strict=True):
        known = ~np.isnan(one)
        total = np.bincount(cell[known], one[known], minlength=grid * grid)
        made[0] = _divided(total, np.bincount(cell[known], minlength=grid * grid)).reshape(grid, grid)
    return found


def _cells(side: int, grid: int) -> np.ndarray:
    """(S * S,) the number of the cell in which the middle of each pixel lies."""
    import numpy as np

    line = ((np.arange(side) + 0.5) * grid / side).astype(int)
    return (line[:, None] * grid + line).ravel()


def _divided(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    import numpy as np

    found: np.ndarray = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return found


def to_size(maps: torch.Tensor, side: int) -> torch.Tensor:
    """(B, K, G, G) -> (B, K, S, S), bilinear."""
    from torch.nn import functional

    return functional.interpolate(maps, size=(side, side), mode="bilinear", align_corners=False)
