"""Makes the demo's embedded encoder from nothing: renders scenes, trains a tokenizer, then two small towers.

    python -m training.demo_encoder            # the documented command is `genba demo --rebuild-encoder`

The scenes are other ones than the site's, without the materials and defects that only the site has, so that retraining
on the site has something to learn. Both towers start from random weights; every figure in the encoder's README can be
made again from a seed. Images: timm mobilenetv4_conv_small at 96 pixels. Text: a byte-level BPE with a two-layer causal
transformer, which reads any language, but has learned the demo's Japanese and English only.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.demo.build import build_photos, thumbnails
from data.demo.captions import legacy_caption, plain_caption
from data.demo.scenes import DEFECTS, MATERIALS, Scene, sample_scene, slots
from training.demo_figures import Figures, measure, write_card

if TYPE_CHECKING:
    import torch

SIDE = 96
CONTEXT = 40  # tokens; the longest caption of the site has fewer
VOCABULARY = 1600
WIDTH = 192
FOLDER = Path(__file__).resolve().parent.parent / "data" / "demo" / "encoder"
PHRASINGS = 6  # free-style captions for each scene and language, beside the plain one
Progress = Callable[[int, int, str], None]

MODEL_CONFIG: dict[str, Any] = {
    "embed_dim": WIDTH,
    "vision_cfg": {
        "image_size": SIDE, "timm_model_name": "mobilenetv4_conv_small", "timm_model_pretrained": False,
        "timm_pool": "avg", "timm_proj": "",
    },
    "text_cfg": {
        "context_length": CONTEXT, "vocab_size": VOCABULARY, "hf_tokenizer_name": "genba-demo", "width": WIDTH,
        "heads": 6, "layers": 2, "pool_type": "eos", "pad_id": 0, "eos_id": 2,
    },
    "custom_text": True,
}  # fmt: skip
PREPROCESS: dict[str, Any] = {
    "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bicubic", "resize_mode": "squash"
}  # fmt: skip


@dataclass(frozen=True)
class Lesson:
    """Training data. images: uint8 (n, 96, 96, 3). tokens: int64 (n, 2 languages, phrasings, CONTEXT). facts: int64
    (n,), equal where two scenes share every right caption."""

    images: torch.Tensor
    tokens: torch.Tensor
    facts: torch.Tensor


def rebuild(
    folder: Path = FOLDER,
    seed: int = 0,
    scenes: int = 9000,
    steps: int = 700,
    batch: int = 256,
    workers: int = 2,
    progress: Progress | None = None,
    site_photos: int = 1200,
) -> Figures:
    """Train the encoder and write it to `folder` in open_clip's local-dir format, weights in fp16, with its README.

    Then `site_photos` photos of the demo's site are made in a temporary folder, and the figures on them returned and
    written to the README. progress(done, total, what) is called during every long part.
    """
    started = time.monotonic()
    rng = np.random.default_rng([seed, 77])
    drawn = [sample_scene(rng, MATERIALS, DEFECTS) for _ in range(scenes)]
    captions = [_phrasings(scene, rng) for scene in drawn]
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder, [text for both in captions for texts in both for text in texts])
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": MODEL_CONFIG, "preprocess_cfg": PREPROCESS}, indent=1), encoding="utf-8"
    )
    images = thumbnails(drawn, SIDE, workers, _named(progress, "render scenes"))
    model = train(_lesson(folder, drawn, images, captions), seed, steps, batch, progress)
    save(folder, model)
    minutes = (time.monotonic() - started) / 60
    figures = _figures(folder, site_photos, workers, progress)
    settings = f"{scenes:,} scenes, {steps} steps of {batch}, seed {seed}"
    write_card(folder, figures, f"{settings}, {minutes:.0f} minutes on {_cores()} CPU cores")
    return figures


def _figures(folder: Path, photos: int, workers: int, progress: Progress | None) -> Figures:
    from scoring.encoders import load_encoder

    with tempfile.TemporaryDirectory() as site:
        build_photos(Path(site), photos, workers=workers, progress=_named(progress, "render the site"))
        return measure(load_encoder(f"local-dir:{folder}", device="cpu", demo_site=True), Path(site))


def _named(progress: Progress | None, what: str) -> Callable[[int, int], None] | None:
    return None if progress is None else (lambda done, total: progress(done, total, what))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _phrasings(scene: Scene, rng: np.random.Generator) -> list[list[str]]:
    """Captions in Japanese and in English, the plain one first: half of what a retrained model meets is plain."""
    return [
        [plain_caption(slots(scene), language)]
        + [legacy_caption(scene, language, rng) for _ in range(PHRASINGS)]
        for language in ("ja", "en")
    ]


def write_tokenizer(
    folder: Path, texts: Sequence[str], vocabulary: int = VOCABULARY, context: int = CONTEXT
) -> None:
    """Train a byte-level BPE of so many tokens and write tokenizer.json and tokenizer_config.json.

    Every byte has a token, so words it never saw (rubber, ゴム) can still be spelled. Ids: 0 pad, 1 start, 2 end.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    special = ["<pad>", "<s>", "</s>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=special, max_token_length=14,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>",
        "model_max_length": context, "padding_side": "right", "truncation_side": "right",
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def _lesson(
    folder: Path, scenes: Sequence[Scene], images: NDArray[np.uint8], captions: list[list[list[str]]]
) -> Lesson:
    import torch

    open_clip = _open_clip()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    flat = [text for both in captions for texts in both for text in texts]
    tokens = tokenizer(flat).reshape(len(scenes), 2, PHRASINGS + 1, CONTEXT)
    known: dict[tuple[object, ...], int] = {}
    facts = [known.setdefault(scene.facts, len(known)) for scene in scenes]
    return Lesson(torch.from_numpy(images), tokens, torch.tensor(facts))


def _open_clip() -> Any:
    from scoring.torchvision_ops import ensure_torchvision

    ensure_torchvision()
    import open_clip

    return open_clip


def train(
    lesson: Lesson, seed: int, steps: int, batch: int, progress: Progress | None = None
) -> torch.nn.Module:
    """Contrastive training of both towers from random weights. Each step shows `batch` images, each with one Japanese
    and one English caption; captions that are right for several images of the batch share their target."""
    import torch

    torch.manual_seed(seed)
    model = _open_clip().CustomTextCLIP(**{k: v for k, v in MODEL_CONFIG.items() if k != "custom_text"})
    model = model.to(memory_format=torch.channels_last)
    causal = model.text.attn_mask
    longest = int(
        (lesson.tokens != 0).sum(-1).max()
    )  # the padding behind it is never looked at: leave it out
    model.text.attn_mask = causal[:longest, :longest]
    lesson = Lesson(lesson.images, lesson.tokens[..., :longest], lesson.facts)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.05, betas=(0.9, 0.98))
    order = torch.empty(0, dtype=torch.int64)
    for step in range(steps):
        if len(order) < batch:
            order = torch.randperm(len(lesson.images), generator=generator)
        chosen, order = order[:batch], order[batch:]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        loss = _loss(model, lesson, chosen, generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        if progress is not None:
            progress(step + 1, steps, f"train, loss {loss.item():.2f}")
    model.text.attn_mask = causal
    return model.eval()


PEAK_RATE = 2e-3


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up over a twentieth of the steps, then a half cosine down to 0."""
    warm = max(1, steps // 20)
    if step < warm:
        return PEAK_RATE * (step + 1) / warm
    return PEAK_RATE * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _loss(model: Any, lesson: Lesson, chosen: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    import torch

    images = model.encode_image(augmented(lesson.images[chosen], generator), normalize=True)
    tokens, each = lesson.tokens[chosen], torch.arange(len(chosen))
    phrasing = torch.randint(-2, PHRASINGS + 1, (2, len(chosen)), generator=generator).clamp(min=0)
    both = torch.cat([tokens[each, language, phrasing[language]] for language in (0, 1)])
    texts = model.encode_text(both, normalize=True)
    facts = lesson.facts[chosen]
    same = (facts[:, None] == facts[None]).float()
    target = same / same.sum(1, keepdim=True)
    total = torch.zeros(())
    for part in texts.split(len(chosen)):
        logits = model.logit_scale.exp() * images @ part.T  # (images, captions of one language)
        for rows in (logits, logits.T):
            total = total + torch.nn.functional.cross_entropy(rows, target)
    return total / 4


def augmented(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """uint8 (n, s, s, 3) to normalised float (n, 3, s, s): shifted by up to 5 pixels, other light, other colours.

    Nothing is mirrored or turned: left and top are facts.
    """
    import torch

    n, side = len(images), images.shape[1]
    pixels = images.permute(0, 3, 1, 2).float() / 255
    padded = torch.nn.functional.pad(pixels, (5, 5, 5, 5), mode="replicate")
    dx, dy = (int(torch.randint(11, (1,), generator=generator)) for _ in range(2))
    pixels = padded[:, :, dy : dy + side, dx : dx + side]
    light = 1 + 0.12 * torch.randn(n, 1, 1, 1, generator=generator)
    colour = 1 + 0.04 * torch.randn(n, 3, 1, 1, generator=generator)
    pixels = (pixels * light * colour + 0.03 * torch.randn(n, 1, 1, 1, generator=generator)).clamp(0, 1)
    return normalised(pixels)


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels 0 to 1 as PREPROCESS wants them."""
    import torch

    return ((pixels - PREPROCESS["mean"][0]) / PREPROCESS["std"][0]).contiguous(
        memory_format=torch.channels_last
    )


def save(folder: Path, model: Any) -> None:
    """Weights in fp16 (open_clip loads them as fp32) and the mark by which Genba knows the demo's encoder."""
    import torch
    from safetensors.torch import save_file

    halved = {
        name: (value.half() if value.dtype == torch.float32 else value).contiguous()
        for name, value in model.state_dict().items()
    }
    save_file(halved, str(folder / "open_clip_model.safetensors"), {"format": "pt"})
    mark = {"genba_demo": True, "languages": ["ja", "en"]}
    (folder / "genba.json").write_text(json.dumps(mark), encoding="utf-8")


def main() -> None:
    """Rebuild with the defaults and say what came out."""
    import sys

    start = time.monotonic()

    def show(done: int, total: int, what: str) -> None:
        if done % 50 == 0 or done == total:
            print(
                f"\r{time.monotonic() - start:5.0f} s  {what}  {done}/{total}   ",
                end="",
                file=sys.stderr,
                flush=True,
            )

    print(json.dumps(rebuild(progress=show), indent=1))


if __name__ == "__main__":
    main()
