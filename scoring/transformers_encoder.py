"""CLIP and SigLIP models in transformers' own format, behind the same two methods that open_clip's models have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import PIL.Image
    import torch


def load_parts(
    folder: Path,
) -> tuple[torch.nn.Module, Any, Callable[[PIL.Image.Image], torch.Tensor], int, int]:
    """Model, tokenizer, transform, image size in pixels and context length of a transformers folder."""
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(str(folder), local_files_only=True, use_safetensors=True)
    processor = AutoImageProcessor.from_pretrained(str(folder), local_files_only=True)
    context_length = int(model.config.text_config.max_position_embeddings)
    tokenizer = PaddedTokenizer(
        AutoTokenizer.from_pretrained(str(folder), local_files_only=True), context_length
    )

    def transform(photo: PIL.Image.Image) -> torch.Tensor:
        return processor(images=photo, return_tensors="pt")["pixel_values"][0]

    return (
        two_methods(model),
        tokenizer,
        transform,
        int(model.config.vision_config.image_size),
        context_length,
    )


class PaddedTokenizer:
    """Captions to token ids of one fixed length; SigLIP was trained that way, and CLIP does not mind."""

    def __init__(self, tokenizer: Any, context_length: int) -> None:
        self.tokenizer = tokenizer
        self.context_length = context_length

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """N captions -> (N, context_length) int64."""
        encoded = self.tokenizer(
            list(texts),
            padding="max_length",
            truncation=True,
            max_length=self.context_length,
            return_tensors="pt",
        )
        return encoded["input_ids"]


def two_methods(model: torch.nn.Module) -> torch.nn.Module:
    """A module around a transformers model with open_clip's `encode_image` and `encode_text`."""
    import torch

    class TwoMethods(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def encode_image(self, batch: torch.Tensor) -> torch.Tensor:
            return _features(self.inner.get_image_features(pixel_values=batch))  # type: ignore[operator]

        def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
            return _features(self.inner.get_text_features(input_ids=tokens))  # type: ignore[operator]

    return TwoMethods(model)


def _features(output: Any) -> torch.Tensor:
    # transformers 5 wraps the projected features in an output record
    return output if hasattr(output, "shape") else output.pooler_output
