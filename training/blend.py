"""Weights between the base and the retrained model, and over seeds: what a few hundred captions teach, without losing
what the base knew.

    choice = choose_share(encoder, base, [load_seed_0, load_seed_1], val_items, val_photos)
    weights = interpolate(base, load_seed_0(), choice.share)

WiSE-FT (Wortsman et al. 2022a): (1 - share) * base + share * retrained. Model soup (Wortsman et al. 2022b): the mean of
the seeds' weights. Both are chosen on checked captions of the validation photos, by the same procedure for every arm,
so no arm has an advantage and the test photos choose nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scoring.encoders import Encoder
from training.pixels import Pixels
from training.tasks import matches

if TYPE_CHECKING:
    import numpy as np
    import torch

Weights = Mapping[str, "torch.Tensor"]
Load = Callable[[], Weights]  # weights of one seed: large models are read from disk when their turn comes
Row = dict[str, Any]
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
FEWEST_VAL = 20  # photos; with fewer the choice would be noise
SHARE_WITHOUT_VAL = 0.5  # what the authors advise when there is nothing to choose it on


@dataclass(frozen=True)
class Choice:
    """How much of the retrained weights is taken. losses: share -> validation loss, {} when there was no choice."""

    share: float
    losses: dict[float, float]
    chosen_on: str


def interpolate(base: Weights, tuned: Weights, share: float) -> dict[str, torch.Tensor]:
    """(1 - share) * base + share * tuned, exact at both ends; what is not floating (counters) comes from `tuned`."""
    if share == 0.0:
        return dict(base)
    if share == 1.0:
        return dict(tuned)
    return {
        name: value.lerp(tuned[name], share) if value.is_floating_point() else tuned[name]
        for name, value in base.items()
    }


def soup(tuned: Sequence[Load]) -> dict[str, torch.Tensor]:
    """The mean of several models' weights; one model is held beside the sum at a time."""
    mean = {name: value.clone() for name, value in tuned[0]().items()}
    for number, load in enumerate(tuned[1:], start=2):
        for name, value in load().items():
            if value.is_floating_point():
                mean[name].lerp_(value, 1 / number)
    return mean


def val_loss(encoder: Encoder, weights: Weights, items: Sequence[Row], photos: Pixels) -> float:
    """How surprised the model is by the right answers: the mean contrastive loss over checked captions, both ways.

    It tells apart models that the rank of the first right answer does not: among a few dozen validation photos nearly
    every search succeeds. Right answers that several captions or photos share are summed before the logarithm.
    """
    import numpy as np

    encoder.model.load_state_dict(dict(weights))
    scale = float(encoder.model.logit_scale.detach().exp())  # type: ignore[operator]
    losses: list[float] = []
    for match in matches(encoder, items, photos):
        photo = [match.row[item["image_id"]] for item in match.items]
        caption = [match.column[item["caption"]] for item in match.items]
        logits = scale * match.similarity.astype(np.float64)
        losses += surprise(logits, match.right)[photo].tolist()
        losses += surprise(logits.T, match.right.T)[caption].tolist()
    return float(np.mean(losses))


def surprise(logits: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(queries,) minus the logarithm of the right answers' share of the softmax. Both (queries, answers).

    surprise([[0, 0]], [[True, False]]) == [log 2]
    """
    import numpy as np

    total = np.logaddexp.reduce(logits, axis=1)
    own = np.logaddexp.reduce(np.where(right, logits, -np.inf), axis=1)
    found: np.ndarray = total - own
    return found


def choose_share(
    encoder: Encoder, base: Weights, tuned: Sequence[Load], items: Sequence[Row], photos: Pixels
) -> Choice:
    """The share with the lowest mean validation loss over the seeds; the larger one of two that are equal.

    The encoder's weights are changed.
    """
    count = _photos(items)
    if count < FEWEST_VAL:
        reason = f"fixed: {count} validation photos have a checked caption, a choice takes {FEWEST_VAL}"
        return Choice(SHARE_WITHOUT_VAL, {}, reason)
    losses = dict.fromkeys(SHARES, 0.0)
    for load in tuned:
        weights = load()
        for share in SHARES:
            mixed = interpolate(base, weights, share)
            losses[share] += val_loss(encoder, mixed, items, photos) / len(tuned)
    best = min(SHARES, key=lambda share: (losses[share], -share))
    return Choice(best, losses, f"{count} validation photos")


def choose_candidate(
    encoder: Encoder, blended: Sequence[Load], items: Sequence[Row], photos: Pixels
) -> tuple[dict[str, torch.Tensor], str]:
    """The soup of the seeds, or the best seed where that one validates better: (weights, "soup" or "seed N").

    Without enough validation photos the soup, which is the safer one.
    """
    if len(blended) == 1:
        return dict(blended[0]()), "seed 0"
    mixed = soup(blended)
    if _photos(items) < FEWEST_VAL:
        return mixed, "soup"
    losses = [val_loss(encoder, load(), items, photos) for load in blended]
    best = min(range(len(blended)), key=losses.__getitem__)
    if val_loss(encoder, mixed, items, photos) <= losses[best]:
        return mixed, "soup"
    return dict(blended[best]()), f"seed {best}"


def _photos(items: Sequence[Row]) -> int:
    return len({item["image_id"] for item in items})
