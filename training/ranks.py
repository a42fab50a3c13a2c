"""One training over several processes, as torchrun starts them. With one process nothing here does anything.

The first one, the leader, has the photos, writes the files, and tells the others what to do. Every process computes the
features of its part of the batch, gathers those of the others, and computes the loss of the whole batch. Its gradient
with respect to its own features is the whole one, so the gradients of the weights, summed over the processes, are those
that one process would have (tests/training/test_distributed.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError

if TYPE_CHECKING:
    import torch

LEADER = 0


def world() -> int:
    """How many processes train together."""
    from torch import distributed

    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this one is."""
    from torch import distributed

    return distributed.get_rank() if world() > 1 else LEADER


def share(parts: int) -> range:
    """The parts of a batch that this process computes; `parts` is a multiple of world()."""
    each = parts // world()
    return range(rank() * each, (rank() + 1) * each)


def scattered(whole: torch.Tensor | None, rows: list[int], shape: tuple[int, ...]) -> torch.Tensor:
    """(b, *shape) uint8: the rows of this process. whole: all rows, given by the leader alone; rows: how many each
    process gets, in order of rank."""
    import torch
    from torch import distributed

    if whole is not None and world() == 1:
        return whole
    most = max(rows)
    own = torch.empty((most, *shape), dtype=torch.uint8)
    parts = None
    if whole is not None:
        parts = [torch.zeros_like(own) for _ in rows]
        for part, given in zip(parts, whole.split(rows), strict=True):
            part[: len(given)] = given
    distributed.scatter(own, parts, LEADER)
    return own[: rows[rank()]]


def gathered(own: torch.Tensor, rows: list[int]) -> torch.Tensor:
    """(b, D) of this process, without a graph -> (B, D) of all, in order of rank. rows: how many each process has."""
    import torch
    from torch import distributed

    if world() == 1:
        return own
    most = max(rows)
    padded = torch.zeros((most, own.shape[1]), dtype=own.dtype, device=own.device)
    padded[: len(own)] = own
    found = [torch.empty_like(padded) for _ in rows]
    distributed.all_gather(found, padded)
    return torch.cat([part[:count] for part, count in zip(found, rows, strict=True)])


def sum_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Add up the gradients of all processes, in place."""
    import torch
    from torch import distributed

    given = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if world() == 1 or not given:
        return
    flat = torch.cat([gradient.reshape(-1) for gradient in given])
    distributed.all_reduce(flat)
    for gradient, summed in zip(given, flat.split([gradient.numel() for gradient in given]), strict=True):
        gradient.copy_(summed.view_as(gradient))


def average_statistics(model: torch.nn.Module) -> None:
    """Give every process the mean of all running statistics (batch norm), which each took from its own photos."""
    from torch import distributed
    from torch.nn.modules.batchnorm import _BatchNorm

    if world() == 1:
        return
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            for statistic in (module.running_mean, module.running_var):
                if statistic is not None:
                    distributed.all_reduce(statistic)
                    statistic /= world()


def take_weights(model: torch.nn.Module) -> None:
    """Give every process the leader's weights."""
    from torch import distributed

    if world() == 1:
        return
    for value in model.state_dict().values():
        ready = value.contiguous()
        distributed.broadcast(ready, LEADER)
        value.copy_(ready)


def require_same(number: int, what: str) -> None:
    """Raises GenbaError when the processes disagree on a number."""
    import torch
    from torch import distributed

    if world() == 1:
        return
    ends = torch.tensor([number, -number])
    distributed.all_reduce(ends, distributed.ReduceOp.MAX)
    if ends[0] != -ends[1]:
        raise GenbaError(
            f"The processes of this training do not see the same: {what}.",
            next="start them all on one machine",
        )


def tell(message: dict[str, Any] | None = None) -> dict[str, Any]:
    """From the leader to all: it gives the message, the others none and wait for it. JSON; nothing is unpickled."""
    import torch
    from torch import distributed

    text = json.dumps(message, ensure_ascii=False).encode() if rank() == LEADER else b""
    length = torch.tensor([len(text)])
    distributed.broadcast(length, LEADER)
    data = torch.zeros(int(length), dtype=torch.uint8)
    if rank() == LEADER:
        data = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    distributed.broadcast(data, LEADER)
    found: dict[str, Any] = json.loads(bytes(data.tolist()))
    return found
