"""Photos on their way to an encoder: decoded as bytes, no larger than it needs them, while the device computes.

    for batch, vectors in encoded_batches(encoder, photos):       # (B, D) for batch.photos, in the order of `photos`
        …

What costs time on a photo from a phone (12 megapixels) is its JPEG. So it is decoded at 1/2, 1/4 or 1/8 of its size
(`open_photo(shortest_side=…)`), and the encoder's own resizing does the rest. Mean and standard deviation are applied
to a whole batch at once, on the encoder's device; on a CPU the numbers are those of the encoder's own transform, to the
last bit.

On a CPU each core takes a batch, decodes and encodes it: cores never wait for each other, where threads that share a
batch meet after every layer. Beside a GPU many threads decode ahead into pinned memory; copies and computing overlap.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.photos import DECODERS, PhotoError, open_photo
from scoring.for_photos import for_photos

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    import torch
    from numpy.typing import NDArray

    from scoring.encoders import Encoder

# On a CPU, memory past 32 MB is fetched from the system anew for every layer, which costs a third more.
PHOTO_BATCH = {"cpu": 8, "mps": 64, "cuda": 256}
BATCHES_AHEAD = 4  # decoded, or being decoded, beside what the device has
WAITING = 2  # batches that are handed over before a core is free
HANDED = 8  # photos that a thread takes at a time
MAX_AT_WORK = 16

Encoded = tuple["Batch", "NDArray[np.float32]"]


@dataclass(frozen=True)
class Photo:
    """A photo of the site and its file."""

    image_id: str
    uri: str
    path: Path


@dataclass(frozen=True)
class Batch:
    """Photos that could be read, with their pixels, and those that could not.

    The memory of `pixels` is written again some batches later: use it before the next but one is asked for.
    """

    photos: list[Photo]
    pixels: torch.Tensor | None  # (B, 3, S, S) bytes, or what a transform gives that is none of open_clip's
    unreadable: list[Photo]

    def __len__(self) -> int:
        return len(self.photos) + len(self.unreadable)


@dataclass(frozen=True)
class ByteSteps:
    """An open_clip transform taken apart: what gives bytes, and the mean and standard deviation of each channel."""

    resize: Callable[[PIL.Image.Image], PIL.Image.Image]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, encoder: Encoder) -> ByteSteps | None:
        """None where the transform does not end in bytes to [0, 1], then mean and standard deviation."""
        steps = getattr(encoder.transform, "transforms", [])
        if [type(step).__name__ for step in steps[-2:]] not in (
            ["ToTensor", "Normalize"], ["MaybeToTensor", "Normalize"],
        ):  # fmt: skip
            return None
        composed: Any = type(encoder.transform)
        return cls(composed(steps[:-2]), tuple(steps[-1].mean), tuple(steps[-1].std))

    def applied(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) bytes -> float32, on the same device. By rows of a photo: four times faster than by pixels."""
        import torch

        count, channels, height, width = pixels.shape
        rows = pixels.permute(0, 2, 3, 1).reshape(count, height, width * channels)
        mean, std = (torch.tensor(one, device=pixels.device).repeat(width) for one in (self.mean, self.std))
        ready = torch.div(rows, 255).sub_(mean).div_(std)
        return ready.reshape(count, height, width, channels).permute(0, 3, 1, 2)


def encoded_batches(encoder: Encoder, photos: Iterable[Photo]) -> Generator[Encoded]:
    """Batches with their vectors, (B, D) unit length. The device computes the next ones while the caller has one."""
    decoder, quick = Decoder(encoder), for_photos(encoder)
    encode = partial(_encode, quick, decoder.steps)
    on_cpu = encoder.device == "cpu"
    ahead = batches_at_work(encoder.device) + (WAITING if on_cpu else 0)
    at_work: deque[Future[Encoded]] = deque()
    was_training = quick.model.training
    quick.model.eval()  # once for all: two threads that switch it would meet
    groups = _read_ahead(_groups(photos, decoder.size)) if on_cpu else decoded_batches(encoder, photos)
    try:
        with closing(groups), encoding_threads(encoder.device) as pool:
            for group in groups:
                at_work.append(
                    pool.submit(encode, group) if isinstance(group, Batch)
                    else pool.submit(lambda one: encode(decoder.batch(one)), group)
                )  # fmt: skip
                if len(at_work) > ahead:
                    yield at_work.popleft().result()
            while at_work:
                yield at_work.popleft().result()
    finally:
        quick.model.train(was_training)


def _encode(quick: Encoder, steps: ByteSteps | None, batch: Batch) -> Encoded:
    import numpy as np
    import torch

    if batch.pixels is None:
        return batch, np.zeros((0, quick.dim), dtype=np.float32)
    pixels = batch.pixels.to(quick.device, non_blocking=batch.pixels.is_pinned())
    ready = steps.applied(pixels) if steps else pixels
    missing = PHOTO_BATCH[quick.device] - len(ready)
    if quick.compiled and missing:  # compiled for one size
        ready = torch.cat([ready, ready.new_zeros(missing, *ready.shape[1:])])
    return batch, quick.encode_images(ready)[: len(batch.photos)]


def batches_at_work(device: str) -> int:
    """How many batches are computed at a time. Of two on a GPU one waits in its queue, so that it never idles."""
    import torch

    return {"cuda": 2, "mps": 1}.get(device) or min(torch.get_num_threads(), MAX_AT_WORK)


@contextmanager
def encoding_threads(device: str) -> Iterator[ThreadPoolExecutor]:
    """As many threads as batches are at work. On a CPU they share its cores out."""
    import torch

    threads, count = torch.get_num_threads(), batches_at_work(device)
    share = partial(torch.set_num_threads, max(threads // count, 1)) if device == "cpu" else None
    pool = ThreadPoolExecutor(count, "encode", share)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # threads that are made later take over the last number set


def decoded_batches(encoder: Encoder, photos: Iterable[Photo]) -> Generator[Batch]:
    """Batches in the order of `photos`, decoded by threads some batches ahead of the caller."""
    decoder = Decoder(encoder)
    memory: deque[torch.Tensor | None] = deque()
    waiting: deque[Callable[[], Batch]] = deque()
    pool = ThreadPoolExecutor(DECODERS, "decode")
    held = (
        BATCHES_AHEAD + batches_at_work(encoder.device) + 2
    )  # two: the one that comes, the one that was just given
    try:
        for group in _groups(photos, decoder.size):
            memory.append(decoder.memory(decoder.size) if len(memory) < held else memory.popleft())
            # Some photos at a time: threads that hand over each photo by itself wait for one another
            both = list(zip(group, decoder.places(memory[-1]), strict=False))
            handed = [both[start : start + HANDED] for start in range(0, len(both), HANDED)]
            decoded = chain.from_iterable(pool.map(decoder.decoded_together, handed))
            waiting.append(partial(decoder.together, group, decoded, memory[-1]))
            if len(waiting) > BATCHES_AHEAD:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()
    finally:
        pool.shutdown(cancel_futures=True)


class Decoder:
    """Decodes photos as one encoder needs them. Its methods are safe to call from threads."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.steps = ByteSteps.of(encoder)
        self.size = PHOTO_BATCH[encoder.device]
        self.pinned = encoder.device == "cuda"  # copies to the GPU without waiting

    def memory(self, count: int) -> torch.Tensor | None:
        """(count, S, S, 3) uint8 for the bytes of a batch; None where the transform gives none."""
        import torch

        side = self.encoder.image_size
        return (
            torch.empty((count, side, side, 3), dtype=torch.uint8, pin_memory=self.pinned)
            if self.steps
            else None
        )

    def places(self, memory: torch.Tensor | None) -> Iterable[torch.Tensor | None]:
        """Where each photo of a batch goes."""
        return repeat(None) if memory is None else memory

    def decoded(self, photo: Photo, place: torch.Tensor | None) -> torch.Tensor | None:
        """The photo's pixels, in its place. None: it was whole when it was ingested, and cannot be read any more."""
        import numpy as np

        try:
            opened = open_photo(photo.path, shortest_side=self.encoder.image_size)
        except PhotoError:
            return None
        if self.steps is None or place is None:
            return self.encoder.preprocess(opened)
        place.numpy()[:] = np.asarray(self.steps.resize(opened))
        return place

    def decoded_together(
        self, given: Iterable[tuple[Photo, torch.Tensor | None]]
    ) -> list[torch.Tensor | None]:
        """The pixels of some photos, each in its place."""
        return [self.decoded(photo, place) for photo, place in given]

    def together(
        self, photos: Sequence[Photo], decoded: Iterable[torch.Tensor | None], memory: torch.Tensor | None
    ) -> Batch:
        """The batch of these photos; waits for those that are still being decoded."""
        import torch

        both = list(zip(photos, decoded, strict=True))
        whole = [photo for photo, pixels in both if pixels is not None]
        lost = [photo for photo, pixels in both if pixels is None]
        if not whole:
            return Batch([], None, lost)
        if memory is not None and not lost:
            return Batch(whole, memory[: len(whole)].permute(0, 3, 1, 2), lost)
        stacked = torch.stack([pixels for _, pixels in both if pixels is not None])
        stacked = stacked.pin_memory() if self.pinned else stacked
        return Batch(whole, stacked if memory is None else stacked.permute(0, 3, 1, 2), lost)

    def batch(self, photos: Sequence[Photo]) -> Batch:
        """These photos, decoded here and now."""
        memory = self.memory(len(photos))
        return self.together(photos, map(self.decoded, photos, self.places(memory)), memory)


def _groups(photos: Iterable[Photo], size: int) -> Generator[list[Photo]]:
    left = iter(photos)
    while group := list(islice(left, size)):
        yield group


def _read_ahead(groups: Iterable[list[Photo]]) -> Generator[list[Photo]]:
    """The groups, each after the system was asked to read its files: cores that compute need not wait for a disk."""
    for group in groups:
        for photo in group:
            _ask_for(photo.path)
        yield group


def _ask_for(path: Path) -> None:
    if hasattr(os, "posix_fadvise"):
        try:
            file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return  # whoever decodes it says so
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_WILLNEED)
        os.close(file)
