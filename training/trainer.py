"""Contrastive fine-tuning of any open_clip model, low and slow, the same for every arm.

    loss = fine_tune(encoder, pixels.of(ids), captions, Plan(steps=80, batch=256, learning_rate=1e-5, seed=0))

Everything that is drawn at random (photos of a batch, which of a photo's captions, augmentation, dropout) is drawn from
the seed and the step alone: two arms with the same seed see the same photos in the same order in the same light, and a
run that was killed goes on bit for bit as if it had not been.

Loss: CLIP's (Radford et al. 2021), or SigLIP's where the model has a logit bias (Zhai et al. 2023). Captions that are
the same stand for the same target and are never each other's negatives: field captions repeat themselves.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from scoring.encoders import Encoder
from training.pixels import normalised

if TYPE_CHECKING:
    import numpy as np
    import torch

LARGEST_SCALE = math.log(100)  # CLIP's own limit of the logit scale; a base that lies above it keeps its own


@dataclass(frozen=True)
class Plan:
    """How to train. learning_rate: the peak, reached after `warmup` of the steps, then half a cosine down to 0."""

    steps: int
    batch: int
    learning_rate: float
    seed: int
    warmup: float = 0.1
    weight_decay: float = 0.02  # of matrices only
    largest_gradient: float = 1.0
    shift: float = 0.05  # augmentation: up to so much of the side
    light: float = 0.12
    colour: float = 0.04
    save_every: int = 50

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        warm = max(1, round(self.warmup * self.steps))
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, self.steps - warm)))


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


def fine_tune(
    encoder: Encoder,
    pixels: np.ndarray,
    captions: Sequence[Sequence[str]],
    plan: Plan,
    state_file: Path | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> float:
    """Train encoder.model in place and return the loss of the last step.

    pixels: (n, 3, S, S) uint8; captions: n lists of one or more. state_file: where to save every plan.save_every steps,
    and to go on from. progress(step, loss) after each. Raises GenbaError when the loss is no number, or when
    state_file belongs to another training.
    """
    import torch

    texts = _Texts.of(encoder, captions)
    order = photo_order(len(captions), plan)
    optimizer = _optimizer(encoder.model, plan)
    key = _key(plan, captions)
    scale: torch.Tensor = encoder.model.logit_scale  # type: ignore[assignment]
    limit = max(LARGEST_SCALE, float(scale.detach()))
    start, loss = _resume(state_file, key, encoder.model, optimizer)
    devices = [torch.cuda.current_device()] if encoder.device == "cuda" else []
    encoder.model.train()
    with torch.random.fork_rng(devices=devices), _short_texts(encoder.model, texts.tokens.shape[1]):
        for step in range(start, plan.steps):
            loss = _step(encoder, optimizer, pixels, texts, order[step], plan, step)
            with torch.no_grad():
                scale.clamp_(0, limit)
            if state_file and (step + 1) % plan.save_every == 0 and step + 1 < plan.steps:
                _save(state_file, key, step + 1, loss, encoder.model, optimizer)
            if progress:
                progress(step + 1, loss)
    encoder.model.eval()
    return loss


@dataclass(frozen=True)
class _Texts:
    """All captions, each tokenised once. ids[photo]: the places of its captions in `tokens` (m, L)."""

    tokens: torch.Tensor
    ids: list[list[int]]

    @classmethod
    def of(cls, encoder: Encoder, captions: Sequence[Sequence[str]]) -> _Texts:
        place: dict[str, int] = {}
        ids = [[place.setdefault(text, len(place)) for text in texts] for texts in captions]
        tokens = encoder.tokenizer(list(place))
        return cls(tokens[:, : _read_length(encoder.model, tokens)], ids)


def _read_length(model: Any, tokens: torch.Tensor) -> int:
    """How many of the columns of `tokens` (m, L) the text tower has to see.

    A causal tower that reads its answer at the end token never looks at the padding behind it: left out, short captions
    take half the time or less. Every other tower sees all.
    """
    text: Any = getattr(model, "text", None)
    ends = {"argmax": lambda: tokens.argmax(1), "eos": lambda: (tokens == text.eos_id).int().argmax(1)}
    is_causal = getattr(text, "attn_mask", None) is not None and getattr(text, "cls_emb", None) is None
    if not is_causal or getattr(text, "pool_type", None) not in ends or getattr(text, "use_pad_mask", False):
        return tokens.shape[1]
    return int(ends[text.pool_type]().max()) + 1


@contextmanager
def _short_texts(model: Any, length: int) -> Iterator[None]:
    """Cut the causal mask of the text tower to the length that it is given meanwhile."""
    mask = getattr(getattr(model, "text", None), "attn_mask", None)
    if mask is None or length == mask.shape[0]:
        yield
        return
    model.text.attn_mask = mask[:length, :length]
    try:
        yield
    finally:
        model.text.attn_mask = mask


def _step(
    encoder: Encoder,
    optimizer: torch.optim.Optimizer,
    pixels: np.ndarray,
    texts: _Texts,
    photos: np.ndarray,
    plan: Plan,
    step: int,
) -> float:
    """One step; the loss before it."""
    import numpy as np
    import torch

    rng = np.random.default_rng([plan.seed, 2, step])
    torch.manual_seed(int(rng.integers(2**62)))  # dropout and the like
    draws = rng.random(len(photos))  # the same draw takes the same share of a photo's captions in every arm
    chosen = [
        texts.ids[photo][int(draw * len(texts.ids[photo]))] for photo, draw in zip(photos, draws, strict=True)
    ]
    images = normalised(augmented(torch.from_numpy(pixels[photos]), rng, plan), encoder)
    tokens = texts.tokens[chosen].to(encoder.device)
    for group in optimizer.param_groups:
        group["lr"] = plan.rate(step)
    with _autocast(encoder):
        image, text = encoder.model.encode_image(images), encoder.model.encode_text(tokens)  # type: ignore[operator]
    loss = contrastive_loss(
        image.float(),
        text.float(),
        torch.tensor(chosen),
        encoder.model.logit_scale.exp(),  # type: ignore[operator]
        getattr(encoder.model, "logit_bias", None),
    )
    value = float(loss.detach())
    if not math.isfinite(value):
        raise GenbaError(
            f"The loss is {value} at step {step + 1} of {plan.steps} (seed {plan.seed}, learning rate "
            f"{plan.learning_rate:g}): training has run away.",
            next="set a lower retrain.learning_rate in genba.toml",
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(encoder.model.parameters(), plan.largest_gradient)
    optimizer.step()
    return value


def contrastive_loss(
    images: torch.Tensor,
    texts: torch.Tensor,
    same: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """Scalar loss of B pairs. images, texts: (B, D), any length; same: (B,) numbers, equal where captions are equal.

    scale: the factor of the cosines. With a bias SigLIP's sigmoid loss, else CLIP's softmax loss both ways, the target
    shared by equal captions.
    """
    from torch.nn import functional

    images, texts = functional.normalize(images, dim=-1), functional.normalize(texts, dim=-1)
    logits = scale * images @ texts.T  # (B photos, B captions)
    equal = (same[:, None] == same[None]).to(logits)
    if bias is not None:
        return -functional.logsigmoid((2 * equal - 1) * (logits + bias)).sum() / len(logits)
    target = equal / equal.sum(1, keepdim=True)
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


def augmented(batch: torch.Tensor, rng: np.random.Generator, plan: Plan) -> torch.Tensor:
    """(B, 3, S, S) uint8 -> float in 0 to 255: each photo shifted a little, in other light and colour.

    Nothing is mirrored or turned: left, right, top and bottom are what captions speak of.
    """
    import torch

    n, side = len(batch), batch.shape[-1]
    reach = round(plan.shift * side)
    padded = (
        torch.nn.functional.pad(batch.float(), (reach,) * 4, mode="replicate") if reach else batch.float()
    )
    offsets = rng.integers(0, 2 * reach + 1, (n, 2)).tolist()
    moved = torch.stack([padded[i, :, y : y + side, x : x + side] for i, (y, x) in enumerate(offsets)])
    factors = (1 + plan.light * rng.standard_normal((n, 1))) * (1 + plan.colour * rng.standard_normal((n, 3)))
    light = torch.from_numpy(factors).float().reshape(n, 3, 1, 1)
    level = torch.from_numpy(255 * 0.25 * plan.light * rng.standard_normal((n, 1, 1, 1))).float()
    return (moved * light + level).clamp(0, 255)


def _optimizer(model: torch.nn.Module, plan: Plan) -> torch.optim.Optimizer:
    import torch

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": plan.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=plan.learning_rate, betas=(0.9, 0.98), eps=1e-6)


def _autocast(encoder: Encoder) -> AbstractContextManager[Any]:
    import torch

    is_mixed = encoder.device == "cuda"
    return torch.autocast("cuda", dtype=torch.bfloat16) if is_mixed else nullcontext()


def _key(plan: Plan, captions: Sequence[Sequence[str]]) -> str:
    """What a saved state belongs to."""
    return hashlib.sha256(repr((asdict(plan), [list(texts) for texts in captions])).encode()).hexdigest()


def _save(
    path: Path, key: str, step: int, loss: float, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    state = {
        "key": key,
        "step": step,
        "loss": loss,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    torch.save(state, temporary)
    os.replace(temporary, path)


def _resume(
    path: Path | None, key: str, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[int, float]:
    """(steps done, last loss); (0, NaN) when nothing was saved."""
    import torch

    if path is None or not path.exists():
        return 0, math.nan
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["key"] != key:
        raise GenbaError(
            f"{path} was saved by a training with other settings or captions.", next=f"delete {path}"
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"]), float(state["loss"])
