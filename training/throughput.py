"""How many photos a second a fine-tuning takes, beside what the forward and backward passes alone would allow.

    python -m training.throughput --model ViT-B-16 --device cuda --batch 256 --accumulate 1 --accumulate 4

Measures the trainer itself (training/trainer.py) on real photos and captions of ../shared, which is no part of the
project: reading batches, augmentation, loss, optimizer and all. The bound is the same network on one batch that lies on
the device already, forward and backward, in as many parts. With --model the weights are random, which changes no speed.
Writes docs/benchmarks/training.json and training.md; what was measured on another machine or with another plan stays.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from data.errors import GenbaError
from scoring.benchmark_sets import ENCODER, flickr8k, random_encoder, shared_folder
from scoring.decode import Photo, decoded_batches
from scoring.encoders import Encoder, load_encoder
from scoring.rates import OUT, where
from training.loss import contrastive_loss
from training.optimiser import locked
from training.pixels import normalised
from training.plan import Plan
from training.step import Batch, Work, autocast
from training.texts import Texts, encoded
from training.trainer import fine_tune

WARM_UP = 5  # steps that do not count: kernels are chosen, memory is taken
Row = dict[str, Any]
Lesson = tuple[np.ndarray, list[list[str]]]


def lesson(encoder: Encoder, most: int) -> Lesson:
    """(n, 3, S, S) uint8 and their captions: the first photos of Flickr8k dev. Raises GenbaError without ../shared."""
    one = flickr8k(shared_folder())
    captions: dict[str, list[str]] = {}
    for image, caption in one.pairs:
        captions.setdefault(image, []).append(caption)
    photos = [Photo(image, image, one.folder / image) for image in list(captions)[:most]]
    pixels = [
        batch.pixels.numpy().copy() for batch in decoded_batches(encoder, photos) if batch.pixels is not None
    ]
    return np.concatenate(pixels), [captions[photo.image_id] for photo in photos]


def measure(encoder: Encoder, taught: Lesson, batch: int, accumulate: int, steps: int, repeats: int) -> Row:
    """Photos a second of the trainer and of the bound, medians of interleaved repeats; on a GPU the memory, too.

    The encoder's weights are trained in place.
    """
    plan = Plan(WARM_UP + steps, batch, 1e-6, seed=0, accumulate=accumulate)
    rounds = [(trained(encoder, taught, plan), bound(encoder, taught, plan)) for _ in range(repeats)]
    return {
        "images_per_second": round(median(one for one, _ in rounds), 1),
        "bound": round(median(one for _, one in rounds), 1),
        "share_of_bound": round(median(one / most for one, most in rounds), 3),
        "gpu_gigabytes": _gpu_gigabytes(encoder),
    }


def trained(encoder: Encoder, taught: Lesson, plan: Plan) -> float:
    """Photos a second of the trainer's steps after the first WARM_UP."""
    ended: list[float] = []
    fine_tune(encoder, *taught, plan, progress=lambda step, loss: ended.append(time.monotonic()))
    return _batch(taught, plan) * (plan.steps - WARM_UP) / (ended[-1] - ended[WARM_UP - 1])


def bound(encoder: Encoder, taught: Lesson, plan: Plan) -> float:
    """Photos a second of forward and backward alone, of parts that lie on the device, with as many different captions
    as the trainer reads; the loss of each part is its own."""
    import torch

    work = Work(encoder, taught[0], Texts.of(encoder, taught[1]))
    drawn = Batch.of(work, np.arange(_batch(taught, plan)), plan, 0)
    assert drawn.pixels is not None, "one process alone is its leader"
    parts = []
    for rows in np.array_split(np.arange(len(drawn.photos)), plan.parts(len(drawn.photos))):
        places, back = np.unique(np.asarray(drawn.chosen)[rows], return_inverse=True)
        photos = normalised(drawn.pixels[rows], encoder)
        parts.append((photos, work.texts.tokens[places], torch.tensor(back, device=encoder.device)))
    with locked(encoder.model, plan.lock, plan.batch_norm) as set_training:
        set_training()
        for step in range(plan.steps):
            if step == WARM_UP:
                _wait(encoder)
                started = time.monotonic()
            encoder.model.zero_grad(set_to_none=True)
            for photos, tokens, back in parts:
                _forward_backward(encoder, photos, tokens, back)
        _wait(encoder)
    encoder.model.zero_grad(set_to_none=True)
    return len(drawn.photos) * (plan.steps - WARM_UP) / (time.monotonic() - started)


def _forward_backward(encoder: Encoder, photos: Any, tokens: Any, back: Any) -> None:
    model: Any = encoder.model
    with autocast(encoder):
        images, texts = model.encode_image(photos), encoded(encoder, tokens)
    bias = getattr(model, "logit_bias", None)
    contrastive_loss(images.float(), texts.float()[back], back, model.logit_scale.exp(), bias).backward()


def _batch(taught: Lesson, plan: Plan) -> int:
    return min(plan.batch, len(taught[0]))


def _wait(encoder: Encoder) -> None:
    if encoder.device == "cuda":
        import torch

        torch.cuda.synchronize()


def _gpu_gigabytes(encoder: Encoder) -> float | None:
    """The most that was held so far, with the bound's batch."""
    if encoder.device != "cuda":
        return None
    import torch

    return round(torch.cuda.max_memory_allocated() / 1e9, 1)


def run(given: argparse.Namespace) -> Row:
    """Measure each accumulation that was asked for. Raises GenbaError without ../shared, or for a model unknown."""
    with tempfile.TemporaryDirectory() as folder:
        encoder_id = given.encoder or f"local-dir:{(shared_folder() / ENCODER).resolve()}"
        if given.model:
            encoder_id = random_encoder(given.model, Path(folder) / "encoder")
        encoder = load_encoder(encoder_id, device=given.device)
        name = given.model or Path(encoder_id).name
        taught = lesson(encoder, given.photos)
        found: Row = {}
        for accumulate in given.accumulate or [1]:
            print(f"{name}: batch {given.batch} in {accumulate}", file=sys.stderr)
            figures = measure(encoder, taught, given.batch, accumulate, given.steps, given.repeats)
            key = f"{name}, {encoder.device}, {given.batch} in {accumulate}"
            found[key] = {"model": name, "device": encoder.device, "batch": _batch(taught, Plan(1, given.batch, 0, 0)),
                          "parts": accumulate, "precision": "bf16" if encoder.device == "cuda" else "fp32",
                          "steps": given.steps, "pixels": encoder.image_size, **where(encoder.device),
                          **figures}  # fmt: skip
    return record(given.out, found)


def record(out: Path, found: Row) -> Row:
    """Merge into training.json and write the table anew."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "training.json"
    known: Row = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known |= found
    path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    (out / "training.md").write_text(markdown(known), encoding="utf-8")
    return known


def markdown(known: Row) -> str:
    """All that was measured, as a table."""
    lines = [
        "# Speed of fine-tuning", "",
        "`python -m training.throughput`. Photos a second, medians of interleaved repeats. Bound: forward and backward "
        "of both towers on a batch that lies on the device, in the same parts, without optimizer, augmentation and "
        "reading. More than one part: gradients are cached, which takes a second forward pass.", "",
        "| model | pixels | machine | precision | batch | parts | photos/s | bound | share | GPU memory | date |",
        "|---|---:|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]  # fmt: skip
    for one in known.values():
        memory = "" if one["gpu_gigabytes"] is None else f"{one['gpu_gigabytes']} GB"
        lines.append(
            f"| {one['model']} | {one['pixels']} | {one['machine']} | {one['precision']} | {one['batch']:,} | "
            f"{one['parts']} | {one['images_per_second']:,} | {one['bound']:,} | {one['share_of_bound']:.2f} | "
            f"{memory} | {one['date']} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Exit code 0: done, 1: what is missing stands on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m training.throughput", description=(__doc__ or "").split("\n")[0]
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--encoder", default="", help="default: the small one in ../shared")
    chosen.add_argument("--model", default="", help="an open_clip model by name, with random weights")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument(
        "--accumulate", type=int, action="append", help="parts of a batch; repeatable (default: 1)"
    )
    parser.add_argument("--photos", type=int, default=1000, help="that are read into memory")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    try:
        run(given)
    except GenbaError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print((given.out / "training.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
