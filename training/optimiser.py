"""What of a model is trained, and how fast: locked towers, layer decay, AdamW.

    with locked(model, "image") as set_training:      # the image tower keeps its weights and its batch statistics
        set_training()
        optimizer = adamw(model, plan)

Layer decay: the blocks of a tower near the input, which see edges and spelling, move less than those near its output:
each block's rate is `layer_decay` of that of the block above it (ELECTRA, Clark et al. 2020; BEiT for vision).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from training.plan import Plan

if TYPE_CHECKING:
    import torch

TOP = ("logit_scale", "logit_bias")  # of neither tower
# A block's number in the names of open_clip's transformers, of its ResNets, and of Hugging Face's text towers
BLOCK = re.compile(r"(?:^|\.)(?:resblocks|layers?|block|h)\.?(\d+)\.(?:(\d+)\.)?")
OUTPUT = re.compile(
    r"(?:^|\.)(?:proj|text_projection|ln_post|ln_final|attn_pool|attnpool|head|pooler|final_layer_norm)(?:\.|$)"
)


def towers(model: torch.nn.Module) -> dict[str, dict[str, torch.nn.Parameter]]:
    """{"image": {name: parameter}, "text": …}; what is left (scale and bias) belongs to neither.

    open_clip's first class keeps the text tower's parts beside `visual`, its later one under `text`.
    """
    found: dict[str, dict[str, torch.nn.Parameter]] = {"image": {}, "text": {}}
    for name, parameter in model.named_parameters():
        if name not in TOP:
            found["image" if name.startswith("visual.") else "text"][name] = parameter
    return found


@contextmanager
def locked(model: torch.nn.Module, lock: str, batch_norm: str = "frozen") -> Iterator[Callable[[], None]]:
    """Freeze a tower meanwhile; gives a function that sets the training mode, with the frozen tower in evaluation mode.

    Evaluation mode keeps the running statistics of its batch norm layers and switches its dropout off. batch_norm:
    "frozen" keeps those of all towers. Afterwards the model is in evaluation mode and what could be trained before can
    be trained again.
    """
    from torch.nn.modules.batchnorm import _BatchNorm

    frozen = [p for p in towers(model).get(lock, {}).values() if p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)

    def set_training() -> None:
        model.train()
        for name, module in model.named_children():
            if lock != "none" and (name == "visual") == (lock == "image"):
                module.eval()
        if batch_norm == "frozen":
            for module in model.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    try:
        yield set_training
    finally:
        model.eval()
        for parameter in frozen:
            parameter.requires_grad_(True)


def adamw(model: torch.nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """AdamW over what can be trained: no weight decay of vectors; each group has its factor of the rate as "factor"."""
    import torch

    factors = layer_factors(model, plan.layer_decay)
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for decay, is_matrix in ((plan.weight_decay, True), (0.0, False)):
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and (parameter.ndim >= 2) == is_matrix:
                groups.setdefault((decay, factors[name]), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": given, "weight_decay": decay, "factor": factor} for (decay, factor), given in groups.items()],
        lr=plan.learning_rate, betas=(0.9, 0.98), eps=1e-6,
        fused=next(model.parameters()).device.type == "cuda" or None,  # in one go; None: the library's own choice
    )  # fmt: skip


def layer_factors(model: torch.nn.Module, decay: float) -> dict[str, float]:
    """name -> factor of the learning rate: 1 at a tower's output, decay ** blocks for what lies so many blocks below.

    Raises GenbaError for a tower whose blocks cannot be told apart.
    """
    factors = {name: 1.0 for name, _ in model.named_parameters()}
    if decay == 1.0:
        return factors
    for tower, parameters in towers(model).items():
        depths = _depths(model, tower, list(parameters))
        top = max(depths.values(), default=0)
        if top < 2:
            raise GenbaError(
                f"The {tower} tower of this model has no blocks that layer decay knows.",
                next="set retrain.layer_decay = 1 in genba.toml",
            )
        factors |= {name: decay ** (top - depth) for name, depth in depths.items()}
    return factors


def _depths(model: Any, tower: str, names: list[str]) -> dict[str, int]:
    """name -> place of its block: 0 before the first one (embeddings, stem), the last one behind all (projection)."""
    trunk = getattr(model.visual, "trunk", None) if tower == "image" else None
    if trunk is not None and hasattr(trunk, "group_matcher"):
        return _timm_depths(trunk, names)
    found: dict[str, tuple[int, int] | None] = {}
    for name in names:
        block = BLOCK.search(name)
        found[name] = (int(block[1]), int(block[2] or 0)) if block else None
    order = {block: place for place, block in enumerate(sorted({b for b in found.values() if b}), start=1)}
    behind = len(order) + 1
    return {
        name: order[block] if block else behind if OUTPUT.search(name) else 0 for name, block in found.items()
    }


def _timm_depths(trunk: Any, names: list[str]) -> dict[str, int]:
    """As timm itself groups the layers of its model; open_clip's own head lies behind them."""
    from timm.models import group_parameters

    of: dict[str, int] = group_parameters(
        trunk, trunk.group_matcher(coarse=False), return_values=False, reverse=True
    )
    behind = max(of.values()) + 1
    return {name: of.get(name.removeprefix("visual.trunk."), behind) for name in names}
