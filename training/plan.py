"""How a model is fine-tuned: what a person may set, and the order in which photos are shown.

plan = Plan.of(site.settings.retrain, seed=0)
order = photo_order(len(captions), plan)      # (steps, batch) photo numbers, the same for every arm
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.errors import GenbaError

if TYPE_CHECKING:
    import numpy as np

    from data.settings_retrain import RetrainSection

LOCKS = ("none", "image", "text")
FEWEST_PHOTOS = 2  # one photo alone has nothing to be told apart from


@dataclass(frozen=True)
class Plan:
    """How to train. learning_rate: the peak, reached after `warmup` of the steps, then half a cosine down to 0.

    batch: photos of a step, all of them negatives of one another. accumulate: into how many parts a batch is cut for
    want of memory; the gradient stays that of the whole batch. layer_decay: factor of the learning rate from one block
    of a tower to the block below it (ELECTRA, Clark et al. 2020). lock: the tower that is not trained (LiT, Zhai et al.
    2022). batch_norm: "frozen" keeps the base's statistics, "batch" takes each batch's and averages them (decision 14).
    ema: decay of the running mean of the weights that is kept as the result; 0 keeps the last weights.
    """

    steps: int
    batch: int
    learning_rate: float
    seed: int
    warmup: float = 0.1
    weight_decay: float = 0.02  # of matrices only
    largest_gradient: float = 1.0
    layer_decay: float = 1.0
    lock: str = "none"
    batch_norm: str = "frozen"
    ema: float = 0.0
    accumulate: int = 1
    shift: float = 0.05  # augmentation: up to so much of the side
    light: float = 0.12
    colour: float = 0.04
    save_every: int = 50

    def __post_init__(self) -> None:
        if self.lock not in LOCKS:
            raise GenbaError(f"No lock {self.lock!r}.", choices=LOCKS, next="set retrain.lock in genba.toml")

    @classmethod
    def of(cls, settings: RetrainSection, seed: int) -> Plan:
        """The plan that genba.toml's [retrain] asks for."""
        return cls(
            settings.steps, settings.batch, settings.learning_rate, seed, warmup=settings.warmup,
            weight_decay=settings.weight_decay, layer_decay=settings.layer_decay, lock=settings.lock,
            batch_norm=settings.batch_norm,
            ema=settings.ema, accumulate=settings.accumulate,
        )  # fmt: skip

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        warm = max(1, round(self.warmup * self.steps))
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, self.steps - warm)))

    def parts(self, photos: int, processes: int = 1) -> int:
        """Into how many parts a batch of `photos` is cut, over all processes: no part is smaller than two photos.

        Raises GenbaError when there are too few photos for every process to have a part.
        """
        most = photos // 2
        if most < processes:
            raise GenbaError(
                f"A batch of {photos} photos cannot be shared by {processes} processes: each needs two.",
                next="a larger retrain.batch, or a smaller --nproc-per-node",
            )
        return min(self.accumulate, most // processes) * processes


def photo_order(photos: int, plan: Plan) -> np.ndarray:
    """(steps, batch) photo numbers: no photo twice in a batch, none twice before all that fill whole batches had
    their turn. A batch is never larger than the number of photos."""
    import numpy as np

    batch = min(plan.batch, photos)
    rng = np.random.default_rng([plan.seed, 1])
    rows: list[np.ndarray] = []
    while len(rows) < plan.steps:
        order = rng.permutation(photos)
        rows += [order[start : start + batch] for start in range(0, photos - batch + 1, batch)]
    return np.stack(rows[: plan.steps])
