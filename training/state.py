"""Where a training stands, on disk: a process killed at any moment goes on from it bit for bit.

    State(run.work / "corrected-0.state", key).save(step, loss, model, optimizer, mean)
    step, loss = State(path, key).resume(model, optimizer, mean)

One safetensors file: weights, optimizer, the running mean of the weights, and the step. Whatever is drawn at random is
drawn from the seed and the step, so the step is also the state of the random generators. It is written beside the old
one, brought to the disk, and then takes its place: there is a whole one at every moment.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError

if TYPE_CHECKING:
    import torch


class DiskFull(GenbaError):
    """Something of a training cannot be written; what was written before stays, and the training can go on from it."""


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL_WORDS = ("No space left", "StorageFull", "Disk quota exceeded", "File too large")


def is_full_disk(error: BaseException) -> bool:
    """Whether an error of the system, or of a library that writes by itself, says that nothing more can be written."""
    is_known = isinstance(error, OSError) and error.errno in FULL
    return is_known or any(words in str(error) for words in FULL_WORDS)


Mean = dict[str, "torch.Tensor"]  # exponential moving average of the weights, by name; {} when none is kept


@dataclass(frozen=True)
class State:
    """A state file and the training that it belongs to (`key`: a hash of its settings and captions)."""

    path: Path
    key: str

    def save(
        self, step: int, loss: float, model: torch.nn.Module, optimizer: torch.optim.Optimizer, mean: Mean
    ) -> None:
        """step: how many are done. Raises DiskFull when it cannot be written; the one before stays."""
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
        tensors |= {f"mean.{name}": value for name, value in mean.items()}
        for number, values in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in values.items()}
        whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        about = {"key": self.key, "step": str(step), "loss": loss.hex()}
        folder = self.path.with_name(self.path.name + ".tmp")  # the library writes a file of its own beside
        try:
            shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed while it wrote
            folder.mkdir(parents=True)
            save_file(whole, str(folder / "state"), about)
            _bring_to_disk(folder / "state")
            os.replace(folder / "state", self.path)
            folder.rmdir()
        except (OSError, SafetensorError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            kept = f" The state after step {self.step()} is kept." if self.path.exists() else ""
            raise DiskFull(
                f"The training cannot save its state after step {step} to {self.path}: {error}.{kept}",
                next="free space on that disk, then start the same again: it goes on",
            ) from None

    def step(self) -> int:
        """How many steps are done in the saved state. Raises GenbaError."""
        with self._opened() as tensors:
            return int(tensors.metadata()["step"])

    def resume(
        self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, mean: Mean
    ) -> tuple[int, float]:
        """(steps done, last loss), everything put back in place; (0, NaN) when nothing was saved.

        Raises GenbaError when the file is damaged or belongs to another training.
        """
        if not self.path.exists():
            return 0, math.nan
        with self._opened() as tensors:
            about = tensors.metadata() or {}
            if about.get("key") != self.key:
                raise GenbaError(
                    f"{self.path} was saved by a training with other settings or captions.",
                    next=f"delete {self.path}",
                )
            parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "mean": {}, "optimizer": {}}
            for name in tensors.keys():  # noqa: SIM118 - the library's handle is no mapping
                part, _, rest = name.partition(".")
                parts[part][rest] = tensors.get_tensor(name)
        model.load_state_dict(parts["model"])
        for name, value in parts["mean"].items():
            mean[name].copy_(value)
        _load_optimizer(optimizer, parts["optimizer"])
        return int(about["step"]), float.fromhex(about["loss"])

    def _opened(self) -> Any:
        from safetensors import SafetensorError, safe_open

        try:
            return safe_open(str(self.path), framework="pt")
        except (SafetensorError, OSError) as error:
            raise GenbaError(
                f"{self.path} is damaged: {error}.", next=f"delete {self.path}: that training starts anew"
            ) from None


def _load_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, torch.Tensor]) -> None:
    """Each parameter's values, laid out in memory as the parameter is."""
    import torch

    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in saved.items():
        number, _, key = name.partition(".")
        like = parameters[int(number)]
        ready = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
        state.setdefault(int(number), {})[key] = ready
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _bring_to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def mean_of(model: torch.nn.Module) -> Mean:
    """The start of a running mean of the weights and batch statistics: the weights themselves."""
    return {
        name: value.detach().clone()
        for name, value in model.state_dict().items()
        if value.is_floating_point()
    }


def add_to_mean(mean: Mean, model: torch.nn.Module, decay: float, step: int) -> None:
    """mean = d * mean + (1 - d) * weights, with d growing to `decay`: (1 + step) / (10 + step) at first, since the
    first weights, the base's, would outweigh all others in a short training."""
    kept = min(decay, (1 + step) / (10 + step))
    now = model.state_dict()
    for name, value in mean.items():
        value.lerp_(now[name], 1 - kept)
