"""A retraining over several processes, on the GPUs (or cores) of one machine.

    torchrun --nproc-per-node 4 -m training.distributed SITE [--arms original,corrected] [--seeds 3]

The same as `genba retrain SITE`, which its first process carries out: it alone opens the store, decodes, measures and
writes. The others wait until it trains and then compute their part of every batch (training/ranks.py); what a batch is
(retrain.batch) and every gradient stay the same, but for the order in which numbers are added. Batch norm takes its
statistics from each process's photos, as it does from each part of retrain.accumulate.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import click

from data.command_line import DEVICE, SITE, progress_bar
from data.errors import GenbaError
from data.site import Site
from scoring.encoders import Encoder, load_for_site, pick_device
from training import ranks
from training.plan import Plan
from training.trainer import fine_tune

WAIT = timedelta(days=7)  # others wait while the first decodes and measures; torchrun ends them when it dies


@dataclass(frozen=True)
class Elsewhere:
    """Photos that the leader has: only their number and shape are known here."""

    photos: int
    shape_of_one: tuple[int, ...]

    def __len__(self) -> int:
        return self.photos

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.photos, *self.shape_of_one)


def follow(encoder: Encoder) -> None:
    """Join every training of the leader until it says that there is none left.

    A training that the leader stops, because the loss is no number, stops here too and is told there.
    """
    while "train" in (told := ranks.tell()):
        pixels = Elsewhere(told["photos"], tuple(told["shape"]))
        path = Path(told["state_file"]) if told["state_file"] else None
        plan = Plan(**told["train"])
        try:
            fine_tune(encoder, pixels, told["captions"], plan, path, weights=told["weights"])  # type: ignore[arg-type]
        except GenbaError as error:
            print(f"process {ranks.rank()}: {error}", file=sys.stderr)


def start(device: str) -> None:
    """Meet the other processes. device: as --device; on "cpu" no GPU is looked for. Raises GenbaError when torchrun has
    not started this one, or a GPU is missing."""
    import torch
    from torch import distributed

    if "LOCAL_RANK" not in os.environ:
        raise GenbaError(
            "This is started by torchrun, which says how many processes there are.",
            next="torchrun --nproc-per-node 2 -m training.distributed SITE",
        )
    has_gpu = pick_device(device) == "cuda"
    if has_gpu:
        local, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= there:
            raise GenbaError(
                f"Each process takes a GPU of its own; this machine has {there}, and process {local + 1} was started.",
                next=f"torchrun --nproc-per-node {there}, or --device cpu",
            )
        torch.cuda.set_device(local)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if has_gpu else "gloo", timeout=WAIT)


def leave() -> None:
    """End this process, with everything written. Never returns.

    Not through the interpreter's own end: gloo's threads can outlive their process group and then ask for a lock that
    is gone, which aborts the process now and then (https://github.com/pytorch/pytorch/pull/179291).
    """
    from torch import distributed

    distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


@click.command()
@SITE
@DEVICE
@click.option("--arms", default=None, help="Comma-separated; default: retrain.arms in genba.toml.")
@click.option("--seeds", default=None, type=click.IntRange(min=1), help="Default: retrain.seeds.")
def main(site: str, device: str, arms: str | None, seeds: int | None) -> None:
    """genba retrain SITE, over the processes that torchrun starts."""
    from training.retrain import retrain

    try:
        start(device)
        opened = Site.open(site)
        if ranks.rank() != ranks.LEADER:
            follow(load_for_site(opened, opened.settings.site.encoder, device))
        else:
            with progress_bar("retrain") as progress:
                run_id = retrain(opened, arms.split(",") if arms else None, seeds, device, progress)
            ranks.tell({"done": run_id})
            click.echo(run_id)
    except GenbaError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    leave()


if __name__ == "__main__":
    main()
