"""Contrastive fine-tuning of any open_clip model, low and slow, the same for every arm.

    loss = fine_tune(encoder, pixels.array, captions, Plan(steps=80, batch=256, learning_rate=1e-5, seed=0))

Everything that is drawn at random (photos of a batch, which of a photo's captions, augmentation, dropout) is drawn from
the seed and the step alone: two arms with the same seed see the same photos in the same order in the same light, and a
run that was killed goes on bit for bit as if it had not been.

Under torchrun the leader calls this and the others join in (training/distributed.py): it alone has the photos, reports
and writes.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from scoring.encoders import Encoder
from training import ranks
from training.optimiser import adamw, locked
from training.plan import Plan, photo_order
from training.state import Mean, State, add_to_mean, mean_of
from training.step import Batch, Work, fixed_texts
from training.texts import Captions, Texts, Weights

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["Plan", "fine_tune"]

LARGEST_SCALE = math.log(100)  # CLIP's own limit of the logit scale; a base that lies above it keeps its own


def fine_tune(
    encoder: Encoder,
    pixels: np.ndarray,
    captions: Captions,
    plan: Plan,
    state_file: Path | None = None,
    progress: Callable[[int, float], None] | None = None,
    weights: Weights | None = None,
    names: Sequence[str] | None = None,
) -> float:
    """Train encoder.model in place and return the loss of the last step.

    pixels: (n, 3, S, S) uint8; captions: n lists of one or more; weights: the chance of each caption of a photo; names:
    of the n photos, for messages. state_file: where to save every plan.save_every steps, and to go on from.
    progress(step, loss) after each; what it raises ends the training. Raises GenbaError: nothing can be learned from
    these captions; the loss is no number (names step and photos, the saved state stays); the state cannot be saved, or
    belongs to another training.
    """
    import torch

    texts = Texts.of(encoder, captions, weights)
    if len(pixels) != len(captions):
        raise ValueError(f"{len(pixels)} photos, but captions of {len(captions)}")
    if ranks.world() > 1 and ranks.rank() == ranks.LEADER:
        ranks.tell({"train": asdict(plan), "captions": captions, "weights": weights, "photos": len(pixels),
                    "shape": pixels.shape[1:], "state_file": state_file and str(state_file)})  # fmt: skip
    state = State(state_file, _key(plan, captions, weights)) if state_file else None
    devices = [torch.cuda.current_device()] if encoder.device == "cuda" else []
    with (
        torch.random.fork_rng(devices=devices),
        locked(encoder.model, plan.lock, plan.batch_norm) as set_training,
    ):
        work = Work(encoder, pixels, texts, names)
        ranks.take_weights(encoder.model)
        if plan.lock == "text":
            work = replace(work, fixed_texts=fixed_texts(encoder, texts))
        set_training()
        return _train(work, plan, state, progress)


def _train(
    work: Work, plan: Plan, state: State | None, progress: Callable[[int, float], None] | None
) -> float:
    """All steps that are left."""
    import torch

    model: Any = work.encoder.model
    optimizer = adamw(model, plan)
    mean: Mean = mean_of(model) if plan.ema else {}
    limit = max(LARGEST_SCALE, float(model.logit_scale.detach()))
    order = photo_order(len(work.pixels), plan)
    start, loss = state.resume(model, optimizer, mean) if state else (0, math.nan)
    ranks.require_same(start, "the saved state")
    for step, batch in _batches(work, order, plan, start):
        loss = _step(work, optimizer, batch, plan, step, state)
        with torch.no_grad():
            model.logit_scale.clamp_(0, limit)
        if mean:
            add_to_mean(mean, model, plan.ema, step)
        is_due = (step + 1) % plan.save_every == 0 and step + 1 < plan.steps
        if state and is_due and ranks.rank() == ranks.LEADER:
            state.save(step + 1, loss, model, optimizer, mean)
        if progress:
            progress(step + 1, loss)
    if mean:
        model.load_state_dict({**model.state_dict(), **mean})
    return loss


def _batches(work: Work, order: np.ndarray, plan: Plan, start: int) -> Iterator[tuple[int, Batch]]:
    """(step, batch) of the steps that are left; the photos of the next one are read while this one is computed."""
    with ThreadPoolExecutor(1) as reader:
        ahead: deque[Future[Batch]] = deque()
        for step in range(start, plan.steps + 1):
            if step < plan.steps:
                ahead.append(reader.submit(Batch.of, work, order[step], plan, step))
            if step > start:
                yield step - 1, ahead.popleft().result()


def _step(
    work: Work,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    plan: Plan,
    step: int,
    state: State | None,
) -> float:
    """One step; the loss before it. No weight is touched when the loss or its gradient is no number."""
    import torch

    parts = plan.parts(len(batch.photos), ranks.world())
    for group in optimizer.param_groups:
        group["lr"] = plan.rate(step) * group["factor"]
    optimizer.zero_grad(set_to_none=True)
    found = work.gradients(batch, parts)
    norm = torch.nn.utils.clip_grad_norm_(work.encoder.model.parameters(), plan.largest_gradient)
    loss, size = torch.stack([found, norm]).tolist()  # the one wait for the device in a step
    if not (math.isfinite(loss) and math.isfinite(size)):
        trouble = f"The gradient is {size} (the loss {loss:.3g})"
        if not math.isfinite(loss):
            trouble = f"The loss is {loss}{work.cause(batch, parts)}"
        raise _run_away(trouble, work.named(batch.photos), plan, step, state)
    optimizer.step()
    ranks.average_statistics(work.encoder.model)
    return float(loss)


def _run_away(trouble: str, photos: str, plan: Plan, step: int, state: State | None) -> GenbaError:
    cause = ":" if "because" in trouble else ": training has run away."
    kept = (
        f" The state after step {state.step()} is kept in {state.path}."
        if state and state.path.exists()
        else ""
    )
    return GenbaError(
        f"{trouble}, at step {step + 1} of {plan.steps} (seed {plan.seed}, learning rate {plan.learning_rate:g})"
        f"{cause} Photos of the batch: {photos}.{kept}",
        next="look at these photos, or set a lower retrain.learning_rate in genba.toml",
    )


def _key(plan: Plan, captions: Captions, weights: Weights | None) -> str:
    """What a saved state belongs to."""
    shares = None if weights is None else [list(map(float, one)) for one in weights]
    return hashlib.sha256(
        repr((asdict(plan), [list(texts) for texts in captions], shares)).encode()
    ).hexdigest()
