"""Other people's loops over the same photos with the same weights, to measure beside ours (scoring/rates.py).

Nothing else in the product uses them. They get batches of the same size. Each returns how many photos, or pairs, it has
gone through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.large_photos import open_plainly
from scoring.decode import PHOTO_BATCH

if TYPE_CHECKING:
    import torch

    from scoring.encoders import Encoder


@dataclass(frozen=True)
class Files:
    """A data set as open_clip's own evaluation has it: decode in full, then the model's transform."""

    paths: Sequence[Path]
    transform: Callable[[Any], torch.Tensor]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        return self.transform(open_plainly(self.paths[row]))


class OpenClipLoop:
    """`for batch in DataLoader(…): model.encode_image(batch)`, with as many workers as there are cores."""

    name = "open_clip's loop"

    def __init__(self, encoder: Encoder, workers: int) -> None:
        import torch

        self.device, self.workers, self.transform = encoder.device, workers, encoder.transform
        self.precision = encoder.precision
        # as open_clip creates it: ours may lie in another memory format
        self.model = deepcopy(encoder.model).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def decode(self, paths: Sequence[Path]) -> int:
        """Decode and resize alone, in threads: the plain recipe."""
        from concurrent.futures import ThreadPoolExecutor

        files = Files(paths, self.transform)
        with ThreadPoolExecutor(self.workers) as pool:
            return sum(1 for _ in pool.map(files.__getitem__, range(len(files))))

    def start(self, paths: Sequence[Path]) -> Callable[[], int]:
        """The loop with its workers already started."""
        import torch
        from torch.utils.data import DataLoader

        loader: DataLoader[torch.Tensor] = DataLoader(
            Files(paths, self.transform), batch_size=PHOTO_BATCH[self.device], num_workers=self.workers,  # type: ignore[arg-type]
            pin_memory=self.device == "cuda", persistent_workers=True,
        )  # fmt: skip
        iter(loader)  # starts the workers

        def run() -> int:
            count = 0
            with torch.no_grad(), _autocast(self.device, self.precision):
                for batch in loader:
                    features = self.model.encode_image(batch.to(self.device, non_blocking=True))
                    count += len(torch.nn.functional.normalize(features.float(), dim=-1).cpu())
            return count

        return run


class TorchmetricsLoop:
    """torchmetrics' CLIPScore over the same weights, in batches: read, decode, `update(photos, captions)`."""

    name = "torchmetrics' CLIPScore"

    def __init__(self, encoder: Encoder) -> None:
        """Raises ImportError without torchmetrics."""
        from torchmetrics.multimodal import CLIPScore

        self.device, self.precision = encoder.device, encoder.precision
        pair: Any = lambda: (_as_transformers(encoder), _Processor(encoder))  # noqa: E731  quacks like transformers'
        self.metric = CLIPScore(pair).to(encoder.device)

    def __call__(self, pairs: Sequence[tuple[Path, str]]) -> int:
        import numpy as np
        import torch

        size = PHOTO_BATCH[self.device]
        for start in range(0, len(pairs), size):
            batch = pairs[start : start + size]
            photos = [
                torch.from_numpy(np.array(open_plainly(path))).permute(2, 0, 1).to(self.device)
                for path, _ in batch
            ]
            with torch.no_grad(), _autocast(self.device, self.precision):
                self.metric.update(photos, [caption for _, caption in batch])
        self.metric.compute()
        return len(pairs)


class _Processor:
    """What transformers' CLIPProcessor does, with the encoder's size, mean and tokenizer."""

    def __init__(self, encoder: Encoder) -> None:
        from transformers import CLIPImageProcessor

        how: dict[str, Any] = encoder.model.visual.preprocess_cfg  # type: ignore[union-attr, assignment]
        side, squash = encoder.image_size, how["resize_mode"] == "squash"
        self.tokenizer = encoder.tokenizer
        self.images = CLIPImageProcessor(
            size={"height": side, "width": side} if squash else {"shortest_edge": side}, do_center_crop=not squash,
            crop_size={"height": side, "width": side}, image_mean=list(how["mean"]), image_std=list(how["std"]),
        )  # fmt: skip

    def __call__(self, images: Any = None, text: Any = None, **given: Any) -> dict[str, torch.Tensor]:
        import torch

        if images is not None:
            return dict(self.images(images=images, return_tensors="pt"))
        tokens = self.tokenizer(text)
        return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}


def _as_transformers(encoder: Encoder) -> torch.nn.Module:
    import torch

    class Model(torch.nn.Module):
        """The two methods that CLIPScore calls."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = deepcopy(encoder.model).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
            self.config: dict[str, Any] = {}

        def get_image_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
            return self.inner.encode_image(pixel_values)

        def get_text_features(self, input_ids: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
            return self.inner.encode_text(input_ids)

    return Model().eval()


def _autocast(device: str, precision: str) -> AbstractContextManager[Any]:
    """As open_clip's own evaluation has it; the same precision as ours."""
    import torch

    return torch.autocast(device, torch.bfloat16) if precision == "bf16" else nullcontext()
