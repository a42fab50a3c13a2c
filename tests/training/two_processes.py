"""Computes gradients and trains over the processes that torchrun starts; run by test_distributed.py.

torchrun --nproc-per-node 2 -m tests.training.two_processes FOLDER CASE ...     writes FOLDER/CASE.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from scoring.encoders import Encoder, load_encoder
from tests.training.encoders import first_batch, gradients, lesson
from training import ranks
from training.distributed import follow, leave, start
from training.plan import Plan
from training.trainer import fine_tune

PHOTOS, BATCH = 24, 15  # an odd batch: the parts are not of one size
PLAN = Plan(steps=4, batch=BATCH, learning_rate=1e-3, seed=0, ema=0.5, save_every=2)


def results(encoder: Encoder, parts: int, state: Path, plan: Plan) -> dict[str, torch.Tensor]:
    """gradient.NAME: of a batch in training mode; weight.NAME: after a training by the leader."""
    work, batch = first_batch(encoder, lesson(PHOTOS), BATCH, plan)
    encoder.model.train()
    before = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    loss = work.gradients(batch, parts)
    found = {f"gradient.{name}": value for name, value in gradients(encoder).items()}
    found["loss"] = loss
    encoder.model.load_state_dict(before)
    if ranks.rank() != ranks.LEADER:
        with torch.no_grad():
            encoder.model.logit_scale.fill_(0.1)  # type: ignore[operator, union-attr]
        follow(encoder)
        return found
    fine_tune(encoder, *lesson(PHOTOS), plan, state)
    if ranks.world() > 1:
        ranks.tell({"done": True})
    return found | {f"weight.{name}": value for name, value in encoder.model.state_dict().items()}


def main(folder: Path, cases: list[str]) -> None:
    torch.set_num_threads(1)
    start("cpu")
    for case in cases:
        encoder = load_encoder(f"local-dir:{folder / case}", device="cpu")
        found = results(encoder, ranks.world(), folder / f"{case}.state", PLAN)
        if ranks.rank() == ranks.LEADER:
            whole = {name: value.contiguous().clone() for name, value in found.items()}
            save_file(whole, str(folder / f"{case}.safetensors"))
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
