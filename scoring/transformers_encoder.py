"""Image-text models in transformers' own format, behind the two methods and the tokenizer that open_clip's have.

    model, tokenizer, transform, image_size, context_length = load_parts(folder)

Only architectures that transformers itself holds are loaded; code from a repository is never run. Weights that a
checkpoint lacks are an error: transformers would fill them with random numbers and go on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from data.errors import GenbaError
from scoring.tokens import require_words

if TYPE_CHECKING:
    import PIL.Image
    import torch

Transform = Callable[["PIL.Image.Image"], "torch.Tensor"]
OFFSET_POSITIONS = (
    "roberta",
    "xlm-roberta",
    "camembert",
    "altclip_text_model",
)  # count from the padding id on
PROBE = (40, 50, 3)  # a photo that no model wants as it is
SHAPE_COLUMNS = 2  # NaFlex: rows and columns of patches, carried behind the pixels


@dataclass(frozen=True)
class Family:
    """How the models of one `model_type` were trained to be fed; what is not stated here stands in their configs."""

    name: str
    context: int | None = None  # tokens of a caption in training, where the model has positions for more
    fixed_length: bool = False  # every caption padded to the context: the last token is what is read
    masked: bool = False  # the text tower looks both ways, so padding must be hidden from it
    ends_with_eos: bool = False  # the vector is read at this token, so each caption has to have it
    languages: tuple[str, ...] = ()  # where the size of the vocabulary says nothing about them


# Contexts: cn_clip.clip.tokenize (52), FlagAI's AltCLIP (77), big_vision's SigLIP and SigLIP 2 (64 = their positions).
FAMILIES = {
    "clip": Family("CLIP", ends_with_eos=True),
    "siglip": Family("SigLIP and SigLIP 2", fixed_length=True),
    "siglip2": Family("SigLIP 2 NaFlex", fixed_length=True),
    "altclip": Family("AltCLIP", context=77, masked=True, languages=("en", "zh")),
    "chinese_clip": Family("Chinese-CLIP", context=52, masked=True, languages=("zh",)),
    "vision-text-dual-encoder": Family("vision-text dual encoder", masked=True),
}


class CaptionTokenizer:
    """Captions to token ids as the model was trained on them. `tokenizer` is transformers', `clean_fn` comes first."""

    def __init__(
        self, tokenizer: Any, context_length: int, fixed_length: bool, clean_fn: Callable[[str], str]
    ) -> None:
        self.tokenizer = tokenizer
        self.context_length = context_length
        self.fixed_length = fixed_length
        self.clean_fn = clean_fn

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """N captions -> (N, L) int64, padded at the end; L = context_length, or the longest caption where that does."""
        encoded = self.tokenizer(
            [self.clean_fn(text) for text in texts],
            padding="max_length" if self.fixed_length else "longest",
            truncation=True,
            max_length=self.context_length,
            return_tensors="pt",
        )
        ids: torch.Tensor = encoded["input_ids"]
        return ids


def load_parts(folder: Path) -> tuple[torch.nn.Module, CaptionTokenizer, Transform, int, int]:
    """Model (fp32), tokenizer, transform, image size in pixels and context length of a transformers folder.

    Raises GenbaError: weights are missing, tokenizer or image processor do not fit the model; OSError, ValueError,
    ImportError from transformers for files that are absent or damaged.
    """
    import torch
    from transformers import AutoModel

    config, tokenizer = _config(folder), load_tokenizer(folder)
    model, found = AutoModel.from_pretrained(
        str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=torch.float32,
        output_loading_info=True,
    )  # fmt: skip  # checkpoints stored in fp16 would be loaded so, and run so on a CPU
    absent = sorted(found["missing_keys"])
    if absent:
        raise GenbaError(
            f"{folder} has no weights for {len(absent)} parts of the model, {absent[0]} first: its config.json belongs "
            "to another checkpoint.",
            next="download the whole repository anew",
        )
    transform, image_size = _transform(folder, config)
    return two_methods(model, config, tokenizer), tokenizer, transform, image_size, tokenizer.context_length


def load_tokenizer(folder: Path) -> CaptionTokenizer:
    """The tokenizer alone, with the context length of its model. Raises GenbaError when it does not fit the model."""
    config = _config(folder)
    family, text = FAMILIES[config.model_type], config.text_config
    tokenizer = _tokenizer(folder)
    if tokenizer.pad_token_id is None:
        raise GenbaError(
            f"The tokenizer in {folder} has no padding token.", next="take the model's own tokenizer"
        )
    tokenizer.padding_side = "right"  # of every family in training; Gemma's class alone says left
    offset = int(text.pad_token_id) + 1 if text.model_type in OFFSET_POSITIONS else 0
    limits = [int(text.max_position_embeddings) - offset, tokenizer.model_max_length, family.context]
    context = int(min(one for one in limits if one is not None))
    found = CaptionTokenizer(tokenizer, context, family.fixed_length, _cleaning(folder, config.model_type))
    _require_fit(folder, found, config)
    return found


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except ImportError:  # SigLIP names a class that needs sentencepiece; tokenizer.json says the same without
        if not (folder / "tokenizer.json").is_file():
            raise
        return PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True)
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise remote_code(str(folder), "tokenizer") from None


def remote_code(where: str, what: str) -> GenbaError:
    """The refusal of a checkpoint that only runs with code from its own repository."""
    return GenbaError(
        f"The {what} of {where} needs Python code from its repository (trust_remote_code), which Genba never runs. "
        "Checkpoints of these kinds need none:",
        choices=[family.name for family in FAMILIES.values()],
        next="convert it to a vision-text dual encoder, or take an encoder from: genba encoders",
    )


def _cleaning(folder: Path, model_type: str) -> Callable[[str], str]:
    """What a caption goes through before the tokenizer. SigLIP: lower case, no punctuation. SigLIP 2: lower case.

    Both as in their training (big_vision); the published tokenizer of SigLIP 2 (Gemma's) does not do it by itself.
    """
    if model_type not in ("siglip", "siglip2"):
        return str
    path = folder / "tokenizer_config.json"
    named = json.loads(path.read_text(encoding="utf-8")).get("tokenizer_class", "") if path.is_file() else ""
    if model_type == "siglip2" or str(named).startswith(("Gemma", "Siglip2")):
        from tokenizers.normalizers import Lowercase

        lower: Callable[[str], str] = Lowercase().normalize_str
        return lower
    from open_clip.tokenizer import canonicalize_text

    canonical: Callable[[str], str] = canonicalize_text
    return canonical


def _require_fit(folder: Path, tokenizer: CaptionTokenizer, config: Any) -> None:
    """Raises GenbaError when the tokenizer gives ids that the model has not, or no end where the model reads one."""
    text, inner = config.text_config, tokenizer.tokenizer
    require_words(tokenizer, str(folder))
    if len(inner) > text.vocab_size:
        raise GenbaError(
            f"The tokenizer in {folder} has {len(inner):,} tokens, the model only {text.vocab_size:,}: it belongs to "
            "another checkpoint.",
            next="download the whole repository anew",
        )
    ends = getattr(text, "eos_token_id", None)
    old_config = ends == 2  # written before transformers 4.31; such models read at the highest id instead
    if (
        FAMILIES[config.model_type].ends_with_eos
        and not old_config
        and ends not in tokenizer(["a"])[0].tolist()
    ):
        raise GenbaError(
            f"The tokenizer in {folder} does not end captions with the token {ends}, where the model reads them: all "
            "captions would get about the same vector.",
            next="take the model's own tokenizer",
        )


def _transform(folder: Path, config: Any) -> tuple[Transform, int]:
    """(photo -> what the model takes, side in pixels). Raises GenbaError when the processor gives another size."""
    import numpy as np
    import torch
    from transformers import AutoImageProcessor

    loader = cast(Any, AutoImageProcessor)  # untyped in transformers
    processor = loader.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)

    def transform(photo: PIL.Image.Image) -> torch.Tensor:
        pixels: torch.Tensor = processor(images=photo, return_tensors="pt")["pixel_values"][0]
        return pixels

    def patches(photo: PIL.Image.Image) -> torch.Tensor:
        """NaFlex keeps the photo's shape: (patches, pixels of a patch + 2), rows and columns of patches at the end."""
        found = processor(images=photo, return_tensors="pt", max_num_patches=config.vision_config.num_patches)
        pixels, shape = found["pixel_values"][0], found["spatial_shapes"][0]
        return torch.cat([pixels, shape.to(pixels).expand(len(pixels), -1)], dim=1)

    if config.model_type == "siglip2":
        vision = config.vision_config
        return patches, math.isqrt(vision.num_patches) * int(vision.patch_size)
    given = tuple(transform(np.zeros(PROBE, dtype=np.uint8)).shape)  # type: ignore[arg-type]
    wanted = getattr(config.vision_config, "image_size", None) or given[-1]
    side = int(wanted[0] if isinstance(wanted, (list, tuple)) else wanted)
    if given != (3, side, side):
        raise GenbaError(
            f"The image processor in {folder} gives photos of {' x '.join(map(str, given))}, the model takes "
            f"3 x {side} x {side}: preprocessor_config.json and config.json do not belong together.",
            next="download the whole repository anew",
        )
    return transform, side


def two_methods(model: torch.nn.Module, config: Any, tokenizer: CaptionTokenizer) -> torch.nn.Module:
    """A module around a transformers model with open_clip's `encode_image` and `encode_text`."""
    import torch

    masked, padding = FAMILIES[config.model_type].masked, int(tokenizer.tokenizer.pad_token_id)
    patch = int(config.vision_config.patch_size) if config.model_type == "siglip2" else 0

    class TwoMethods(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def encode_image(self, batch: torch.Tensor) -> torch.Tensor:
            """(B, 3, S, S), or NaFlex's (B, patches, pixels + 2) -> (B, D)."""
            given = _naflex(batch, patch) if patch else {"pixel_values": batch}
            return _features(self.inner.get_image_features(**given))  # type: ignore[operator]

        def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
            """(B, L) token ids, padded at the end -> (B, D)."""
            mask = {"attention_mask": _filled(tokens, padding)} if masked else {}
            return _features(self.inner.get_text_features(input_ids=tokens, **mask))  # type: ignore[operator]

    return TwoMethods(model)


def _filled(tokens: torch.Tensor, padding: int) -> torch.Tensor:
    """(B, L) int64: 1 up to the last token that is no padding. A caption that spells the padding token keeps it."""
    import torch

    places = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)
    last = torch.where(tokens != padding, places, 0).amax(dim=1, keepdim=True)
    return (places <= last).long()


def _naflex(batch: torch.Tensor, patch: int) -> dict[str, torch.Tensor]:
    """What Siglip2Model takes, from packed photos (B, N, pixels + 2) or from square ones (B, 3, S, S)."""
    import torch

    if batch.ndim == 4:
        side = batch.shape[-1] // patch
        cells = batch.unfold(2, patch, patch).unfold(3, patch, patch)  # (B, 3, n, n, patch, patch)
        pixels = cells.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)
        shapes = torch.full((len(batch), SHAPE_COLUMNS), side, device=batch.device)
    else:
        pixels, shapes = batch[:, :, :-SHAPE_COLUMNS], batch[:, 0, -SHAPE_COLUMNS:].long()
    places = torch.arange(pixels.shape[1], device=batch.device)
    mask = (places < shapes.prod(dim=1, keepdim=True)).long()
    return {"pixel_values": pixels, "pixel_attention_mask": mask, "spatial_shapes": shapes}


def _features(output: Any) -> torch.Tensor:
    # transformers 5 wraps the projected features in an output record
    features: torch.Tensor = output if hasattr(output, "shape") else output.pooler_output
    return features
