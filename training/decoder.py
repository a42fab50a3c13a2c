"""Full fine-tuning for masks and depth: an image tower under a light decoder, all of it trained.

    net = fine_tune(encoder, batch_of, image_ids, loss, outputs=3, plan=plan)
    scores = net.scores(batch)                   # (B, 3, S, S)

The decoder is that of a feature pyramid network (Lin et al. 2017): each map of the tower is brought to one width, the
coarse ones are added to the finer ones from the top down, and the finest is made finer still where a vision
transformer's patches are coarse, by deconvolutions of stride 2 (as the paper's depth head). The encoder keeps its
weights: a copy is trained.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from training.dense_features import FINEST_STRIDE, DenseEncoder, choose_maps
from training.dense_plan import DensePlan
from training.plan import Plan, photo_order

if TYPE_CHECKING:
    import torch

WIDTH = 64  # channels of the decoder
GROUPS = 8  # of its norms, which do not depend on the batch
FASTER = 10  # its learning rate, in units of the tower's: it begins with nothing
WEIGHT_DECAY = 0.02
LARGEST_GRADIENT = 1.0
Batch = Callable[[Sequence[str]], "torch.Tensor"]  # image_ids -> (B, 3, S, S), normalised
Loss = Callable[["torch.Tensor", Sequence[str]], "torch.Tensor"]  # scores (B, K, S, S), image_ids -> a number


@dataclass(frozen=True)
class Net:
    """An image tower and its decoder. scores = scale * what the decoder gives + centre."""

    tower: Any
    parts: torch.nn.ModuleDict
    blocks: tuple[int, ...]
    centre: float
    scale: float

    def scores(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) -> (B, K, S, S) float32."""
        from torch.nn import functional

        maps = pyramid(self.tower, batch, self.blocks)
        made = self.parts["head"](self._merged(maps)).float()
        made = functional.interpolate(made, size=batch.shape[-2:], mode="bilinear", align_corners=False)
        return made * self.scale + self.centre

    def _merged(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """From the top (the last, coarsest map) down to the finest."""
        from torch.nn import functional

        laterals: Any = self.parts["laterals"]
        found = None
        for lateral, one in reversed(list(zip(laterals, maps, strict=True))):
            here = lateral(one)
            if found is not None:
                here = here + functional.interpolate(
                    found, size=here.shape[-2:], mode="bilinear", align_corners=False
                )
            found = here
        return self.parts["finer"](found)


def pyramid(tower: Any, batch: torch.Tensor, blocks: Sequence[int] = ()) -> list[torch.Tensor]:
    """The tower's maps (B, C_i, H_i, W_i) that are used, finest first, with their gradients."""
    found = tower.forward_intermediates(batch, intermediates_only=True, output_fmt="NCHW")
    return choose_maps(found["image_intermediates"], batch.shape[-1], blocks)


def build(
    encoder: DenseEncoder, outputs: int, plan: DensePlan, centre: float = 0.0, scale: float = 1.0
) -> Net:
    """A copy of the tower under a new decoder, drawn from the plan's seed alone."""
    import torch

    visual: Any = encoder.model.visual
    tower = copy.deepcopy(visual).eval().float()
    with torch.no_grad():
        blank = torch.zeros(1, 3, encoder.image_size, encoder.image_size, device=encoder.device)
        maps = pyramid(tower, blank, plan.blocks)
    stride = encoder.image_size / max(one.shape[-1] for one in maps)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        parts = _parts([one.shape[1] for one in maps], stride, outputs)
    return Net(tower, parts.to(encoder.device), plan.blocks, centre, scale)


def _parts(channels: Sequence[int], stride: float, outputs: int) -> torch.nn.ModuleDict:
    from torch import nn

    finer: list[nn.Module] = [nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.GroupNorm(GROUPS, WIDTH), nn.ReLU()]
    while stride > FINEST_STRIDE:
        finer += [nn.ConvTranspose2d(WIDTH, WIDTH, 2, stride=2), nn.GroupNorm(GROUPS, WIDTH), nn.ReLU()]
        stride /= 2
    laterals = [nn.Sequential(nn.Conv2d(width, WIDTH, 1), nn.GroupNorm(GROUPS, WIDTH)) for width in channels]
    return nn.ModuleDict({"laterals": nn.ModuleList(laterals), "finer": nn.Sequential(*finer),
                          "head": nn.Conv2d(WIDTH, outputs, 1)})  # fmt: skip


def fine_tune(
    encoder: DenseEncoder,
    batch_of: Batch,
    image_ids: Sequence[str],
    loss_of: Loss,
    outputs: int,
    plan: DensePlan,
    centre: float = 0.0,
    scale: float = 1.0,
    told: Callable[[int, float], None] | None = None,
) -> Net:
    """Train tower and decoder on the photos, each mirrored half of the time. told(step, loss) after each step.

    Batch norm layers keep their statistics: a batch of a few large photos has none of its own. Raises GenbaError when
    the loss is no number.
    """
    import numpy as np
    import torch

    net = build(encoder, outputs, plan, centre, scale)
    order = Plan(plan.steps, plan.batch, plan.learning_rate, plan.seed)
    groups = [{"params": list(net.tower.parameters()), "factor": 1.0},
              {"params": list(net.parts.parameters()), "factor": float(FASTER)}]  # fmt: skip
    optimizer = torch.optim.AdamW(groups, lr=plan.learning_rate, weight_decay=WEIGHT_DECAY)
    rng = np.random.default_rng([plan.seed, 6])
    weights = [parameter for group in groups for parameter in group["params"]]  # type: ignore[attr-defined]
    for step, numbers in enumerate(photo_order(len(image_ids), order)):
        ids = [image_ids[number] for number in numbers]
        batch = batch_of(ids)
        is_mirrored = torch.from_numpy(rng.random(len(ids)) < 0.5).to(batch.device)[:, None, None, None]
        scores = net.scores(torch.where(is_mirrored, batch.flip(-1), batch))
        loss = loss_of(torch.where(is_mirrored, scores.flip(-1), scores), ids)
        if not torch.isfinite(loss):
            raise GenbaError(
                f"The loss became {float(loss.detach())} at step {step + 1} of fine-tuning, on the photos "
                f"{', '.join(one[:12] for one in ids[:3])}, …",
                next='set retrain.dense = "probe" in genba.toml, or look at the labels of these photos',
            )
        for group in optimizer.param_groups:
            group["lr"] = group["factor"] * order.rate(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, LARGEST_GRADIENT)
        optimizer.step()
        if told:
            told(step, float(loss.detach()))
    return net
