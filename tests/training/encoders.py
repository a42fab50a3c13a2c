"""Small open_clip encoders of several kinds, with random weights, and lessons for them."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scoring.encoders import Encoder, load_encoder
from tests.scoring.conftest import WORDS, write_tokenizer
from tests.training.conftest import draw_facts, draw_photo
from training.step import Batch, Work
from training.texts import Texts

Lesson = tuple[np.ndarray, list[list[str]]]
SIDE = 32
VISION: dict[str, dict[str, Any]] = {
    "vit": {"image_size": SIDE, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
    "vit-dropout": {"image_size": SIDE, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16,
                    "patch_dropout": 0.5},
    "resnet": {"image_size": SIDE, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32},
    "mobile": {"image_size": SIDE, "timm_model_name": "test_efficientnet", "timm_model_pretrained": False,
               "timm_pool": "avg", "timm_proj": "linear"},
}  # fmt: skip
SIGLIP = {"init_logit_scale": 2.3, "init_logit_bias": -10.0}


def random_encoder(
    folder: Path, vision: str = "vit", text: str = "causal", seed: int = 0, **top: Any
) -> Encoder:
    """An encoder written to `folder` and loaded from it. text: causal, or bert (a Hugging Face tower)."""
    from scoring.torchvision_ops import ensure_torchvision

    ensure_torchvision()
    import open_clip
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    text_cfg: dict[str, Any] = {"context_length": 12, "vocab_size": len(WORDS), "hf_tokenizer_name": "here"}
    if text == "bert":
        tower = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
                 "intermediate_size": 64, "vocab_size": len(WORDS), "max_position_embeddings": 12,
                 "pad_token_id": WORDS.index("[PAD]"), "hidden_dropout_prob": 0.1}  # fmt: skip
        (folder / "bert").mkdir()
        (folder / "bert/config.json").write_text(json.dumps(tower))
        text_cfg |= {"hf_model_name": str(folder / "bert"), "hf_model_pretrained": False, "hf_proj_type": "linear",
                     "hf_pooler_type": "mean_pooler"}  # fmt: skip
    else:
        text_cfg |= {"width": 32, "heads": 2, "layers": 2, "pool_type": "eos", "eos_id": WORDS.index("</s>")}
    config = {"embed_dim": 16, "vision_cfg": VISION[vision], "text_cfg": text_cfg, "custom_text": True, **top}
    how = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": how}))
    write_tokenizer(folder)
    _end_captions(folder)
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    return load_encoder(f"local-dir:{folder}", device="cpu")


def _end_captions(folder: Path) -> None:
    """A caption ends with the token </s>, where a causal tower reads its answer."""
    from tokenizers import Tokenizer, processors

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    end = ("</s>", WORDS.index("</s>"))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[end])
    tokenizer.save(str(folder / "tokenizer.json"))


def again(encoder: Encoder) -> Encoder:
    """The same encoder with the weights that it was written with."""
    return load_encoder(encoder.id, device="cpu")


def lesson(photos: int = 48, seed: int = 0) -> Lesson:
    """Photos of parts and two captions of each, one in each language."""
    rng = np.random.default_rng(seed)
    facts = [draw_facts(rng) for _ in range(photos)]
    pixels = np.stack([np.asarray(draw_photo(one, rng, SIDE)).transpose(2, 0, 1) for one in facts])
    return pixels, [[one.caption("en"), one.caption("ja")] for one in facts]


@contextmanager
def files_end_at(count: int) -> Iterator[Callable[[], None]]:
    """Gives a function after whose call no file of this process grows beyond so many bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)  # Python ignores the signal, so the write fails
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def weights(encoder: Encoder) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in encoder.model.state_dict().items()}


def first_batch(encoder: Encoder, given: Lesson, photos: int, plan: Any) -> tuple[Work, Batch]:
    """The work of a training and one batch of it."""
    work = Work(encoder, given[0], Texts.of(encoder, given[1]))
    places = np.random.default_rng(5).permutation(len(given[0]))[:photos]
    return work, Batch.of(work, places, plan, step=0)


def gradients(encoder: Encoder) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in encoder.model.named_parameters() if p.grad is not None}
