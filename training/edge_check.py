"""Whether an exported model answers as the model it was made of, and what it costs: vectors, answers, time, size.

    found = compare(encoder, exported, bench)         # the figures
    require_equal(found, "int8")                      # raises GenbaError for an export that is not good enough

Both get the same prepared photos of the test split and the same texts. Times are medians on this machine, with the same
number of threads for both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from scoring.encoders import Encoder
from scoring.onnx_encoder import IMAGE, TEXT
from training.bench import Bench
from training.caption_bench import prompt_vectors
from training.caption_tasks import slots
from training.pixels import normalised
from training.vectors import TaskSkipped, image_vectors

if TYPE_CHECKING:
    import numpy as np

MOST_PHOTOS = 300
BATCH = 16
REPEATS, REPEATS_OF_BATCH = 15, 5
ACCURACY = "accuracy"


@dataclass(frozen=True)
class Limit:
    """What an export may differ by: the mean cosine of its vectors to torch's, the lowest one, the share of equal
    answers to the template's questions, and by how much the slot accuracy may be lower."""

    mean_cosine: float
    lowest_cosine: float
    equal_answers: float
    accuracy_loss: float


LIMITS = {
    "fp32": Limit(0.9999, 0.999, 0.99, 0.005),
    "fp16": Limit(0.999, 0.99, 0.98, 0.01),
    "int8": Limit(0.95, 0.8, 0.85, 0.03),
}


@dataclass(frozen=True)
class Speed:
    """Median milliseconds: of one photo, of one photo in a batch of BATCH, of one text."""

    photo_ms: float
    batched_photo_ms: float
    text_ms: float


@dataclass(frozen=True)
class Comparison:
    """The export against torch. Cosines are between the two vectors of the same photo or text. accuracy: mean over the
    slots with enough checked test photos (None: there are none); equal_answers: share of (photo, question) pairs."""

    photos: int
    texts: int
    photo_cosine_mean: float
    photo_cosine_lowest: float
    text_cosine_mean: float
    text_cosine_lowest: float
    equal_answers: float | None
    accuracy_torch: float | None
    accuracy_export: float | None
    accuracy_photos: int
    speed_torch: Speed
    speed_export: Speed
    threads: int
    megabytes_torch: float
    megabytes_image: float
    megabytes_text: float

    def fields(self) -> dict[str, Any]:
        """As it is stored."""
        return asdict(self)

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Comparison:
        """What `fields` gave."""
        speeds = {name: Speed(**fields[name]) for name in ("speed_torch", "speed_export")}
        return cls(**{**fields, **speeds})


def compare(encoder: Encoder, exported: Encoder, bench: Bench) -> Comparison:
    """bench: with its caption part (training/caption_bench.py). Raises GenbaError when there is no photo to compare."""
    import torch

    image_ids = sorted(bench.photos.place)[:MOST_PHOTOS]
    if not image_ids:
        raise GenbaError("An export is checked on held-out photos with checked captions, and there are none.",
                         next="genba audit SITE draw 100")  # fmt: skip
    both = [image_vectors(one, bench.photos, image_ids) for one in (encoder, exported)]
    asked = [prompt for question in _questions(bench) for texts in question.prompts for prompt in texts]
    texts = list(dict.fromkeys([*asked, *(item["caption"] for item in bench.items)]))[:MOST_PHOTOS]
    of_photos = (both[0] * both[1]).sum(1)
    of_texts = (encoder.encode_texts(texts) * exported.encode_texts(texts)).sum(1)
    accuracy, n = zip(*(_accuracy(one, bench) for one in (encoder, exported)), strict=True)
    ready = normalised(torch.from_numpy(bench.photos.of(image_ids[:BATCH])), encoder)
    folder = exported.source.weights.parent
    return Comparison(
        len(image_ids), len(texts), float(of_photos.mean()), float(of_photos.min()), float(of_texts.mean()),
        float(of_texts.min()), _equal_answers(encoder, exported, bench, both), accuracy[0], accuracy[1], n[0],
        _speed(encoder, ready, texts[0]), _speed(exported, ready, texts[0]), torch.get_num_threads(),
        _megabytes(encoder.source.weights), _megabytes(folder / IMAGE), _megabytes(folder / TEXT),
    )  # fmt: skip


def _questions(bench: Bench) -> list[Any]:
    return bench.captions.questions if bench.captions else []


def _accuracy(encoder: Encoder, bench: Bench) -> tuple[float | None, int]:
    """Zero-shot accuracy over the slots, as training/caption_tasks.py measures it, and of how many photos."""
    try:
        found = slots(encoder, replace(bench, memo={}))
    except TaskSkipped:
        return None, 0
    whole = next(one for one in found if one.metric == ACCURACY)
    return whole.value, whole.n


def _equal_answers(
    encoder: Encoder, exported: Encoder, bench: Bench, vectors: Sequence[np.ndarray]
) -> float | None:
    """Needs no checked answers: each model is asked each question of the template of each photo."""
    import numpy as np

    equal = []
    for question in _questions(bench):
        answers = [
            (array @ prompt_vectors(one, question).T).argmax(1)
            for one, array in zip((encoder, exported), vectors, strict=True)
        ]
        equal.append(answers[0] == answers[1])
    return float(np.concatenate(equal).mean()) if equal else None


def _speed(encoder: Encoder, ready: Any, text: str) -> Speed:
    return Speed(
        _median_ms(lambda: encoder.encode_images(ready[:1]), REPEATS),
        _median_ms(lambda: encoder.encode_images(ready), REPEATS_OF_BATCH) / len(ready),
        _median_ms(lambda: encoder.encode_texts([text]), REPEATS),
    )


def _median_ms(work: Callable[[], object], repeats: int) -> float:
    import statistics

    work()  # the first call allocates
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def _megabytes(path: Path) -> float:
    return path.stat().st_size / 1e6


def require_equal(found: Comparison, precision: str) -> None:
    """Raises GenbaError with every figure that misses its limit, one that is no number too."""
    limit = LIMITS[precision]
    wrong = [
        f"{name} is {value:.4f}, and {bound:.4f} is asked for"
        for name, value, bound in (
            ("the mean cosine of photos to torch", found.photo_cosine_mean, limit.mean_cosine),
            ("the mean cosine of texts to torch", found.text_cosine_mean, limit.mean_cosine),
            ("the lowest cosine of photos to torch", found.photo_cosine_lowest, limit.lowest_cosine),
            ("the lowest cosine of texts to torch", found.text_cosine_lowest, limit.lowest_cosine),
            ("the share of equal answers", found.equal_answers, limit.equal_answers),
            (
                "the slot accuracy",
                found.accuracy_export,
                None if found.accuracy_torch is None else found.accuracy_torch - limit.accuracy_loss,
            ),
        )
        if value is not None and bound is not None and not value >= bound
    ]
    if wrong:
        raise GenbaError(f"The {precision} export is not good enough: {'; '.join(wrong)}. Nothing was written.",
                         next="--precision fp32, or fp16")  # fmt: skip
