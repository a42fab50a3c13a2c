"""Trains in processes that are really killed, and compares what comes out; run by test_trainer_state.py.

    python -m tests.training.killed_training FOLDER SEED     prints one JSON object

Each life is a fork of this process, which has imported everything and has one thread.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from scoring.encoders import load_encoder
from tests.training.encoders import lesson, random_encoder
from training.plan import Plan
from training.trainer import fine_tune

PLAN = Plan(
    steps=15, batch=16, learning_rate=3e-3, seed=1, save_every=2, ema=0.8, accumulate=2, layer_decay=0.8
)


def die(*_given: Any, **_more: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_half_way(tensors: dict[str, torch.Tensor], path: str, about: dict[str, str]) -> None:
    """Half of the state's file is written."""
    whole = safetensors.torch.save(tensors, about)
    Path(path).write_bytes(whole[: len(whole) // 2])
    die()


def life(
    folder: Path, name: str, before: Callable[[], None] = lambda: None, kill_after: int = 0
) -> dict[str, Any]:
    """One process that trains; how it ended and at which steps it was. kill_after: steps until it is killed, and a
    random moment more."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        before()
        encoder = load_encoder(f"local-dir:{folder / 'encoder'}", device="cpu")
        fine_tune(encoder, *lesson(), PLAN, folder / f"{name}.state",
                  lambda step, loss: os.write(writer, bytes([step])) and None)  # fmt: skip
        values = {key: value.contiguous() for key, value in encoder.model.state_dict().items()}
        safetensors.torch.save_file(values, str(folder / f"{name}.safetensors"))
        os._exit(0)
    os.close(writer)
    steps: list[int] = []
    while byte := os.read(reader, 1):
        steps.append(byte[0])
        if kill_after and len(steps) == kill_after:
            time.sleep(random.random() * 0.03)
            os.kill(pid, signal.SIGKILL)
            break
    _, status = os.waitpid(pid, 0)
    os.close(reader)
    return {"steps": steps, "killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
            "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None}  # fmt: skip


def saves_until(count: int, real: Callable[..., Any], then: Callable[..., Any]) -> Callable[..., Any]:
    """The real function so many times, then the other."""
    done = [0]

    def call(*given: Any, **more: Any) -> Any:
        done[0] += 1
        return (real if done[0] <= count else then)(*given, **more)

    return call


def at_rename() -> None:
    """Killed between the writing of a state and the moment in which it takes its place."""
    os.replace = saves_until(1, os.replace, die)


def at_write() -> None:
    """Killed while the second state is written."""
    safetensors.torch.save_file = saves_until(1, safetensors.torch.save_file, die_half_way)


def main(folder: Path, seed: int) -> None:
    random.seed(seed)
    torch.set_num_threads(1)
    random_encoder(folder / "encoder", "vit-dropout", "bert")
    whole = life(folder, "whole")
    lives = [
        life(folder, "killed", kill_after=random.randint(1, 4)),
        life(folder, "killed", at_rename),
        life(folder, "killed", kill_after=random.randint(1, 3)),
        life(folder, "killed", at_write),
        life(folder, "killed", kill_after=1),
        life(folder, "killed"),
    ]
    same = (folder / "whole.safetensors").read_bytes() == (folder / "killed.safetensors").read_bytes()
    shutil.rmtree(folder)
    print(json.dumps({"whole": whole, "lives": lives, "same": same}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
