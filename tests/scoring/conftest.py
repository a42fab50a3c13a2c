"""Small encoders that need no download: the real one from the shared folder, and tiny random ones made here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

PLAIN_WORDS = [
    "a",
    "the",
    "brass",
    "steel",
    "bolt",
    "nut",
    "on",
    "tray",
    "with",
    "scratch",
    "真鍮",
    "の",
    "ボルト",
    "傷",
]
WORDS = [*PLAIN_WORDS, "[UNK]", "[PAD]", "<s>", "</s>"]
TINY = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
        "text_cfg": {
            "context_length": 12, "vocab_size": len(WORDS), "hf_tokenizer_name": "here", "width": 32, "heads": 2,
            "layers": 1, "no_causal_mask": True, "pool_type": "last",
        },
        "custom_text": True,
    },
    "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    """Two cores are shared with others, and one thread gives the same sums every time."""
    import torch

    torch.set_num_threads(1)


def write_tokenizer(folder: Path) -> None:
    """A word-level tokenizer over WORDS in the format that transformers reads."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)


def write_tiny_encoder(folder: Path, mark: dict | None = None, seed: int = 0) -> Path:
    """A random open_clip encoder in local-dir format: 16 dimensions, 32 pixels, loads in a moment."""
    from scoring.torchvision_ops import ensure_torchvision

    ensure_torchvision()
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(json.dumps(TINY))
    write_tokenizer(folder)
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
    save_file(model.state_dict(), str(folder / "open_clip_model.safetensors"))
    if mark is not None:
        (folder / "genba.json").write_text(json.dumps(mark))
    return folder


@pytest.fixture(scope="session")
def small_encoder(shared: Path) -> Path:
    """The real small encoder beside the checkout."""
    folder = shared / "models" / "mobilenet-minilm"
    if not folder.is_dir():
        pytest.skip(f"needs the small real encoder: no {folder}")
    return folder


CAPTIONS = (
    "two steel bolts on the tray with a slight scratch at the left",
    "a brass nut on the workbench, no defect",
    "真鍮製のボルト2個。左側に軽度の傷。トレイの上",
    "photo",
    "two steel bolts on the tray",
    "鋼のナット",
)


def make_site(folder: Path, encoder: Path, photos: int = 12, template: str = "parts"):
    """A real site on `photos` small photos, with captions in both languages; the last photo has none."""
    from data.ingest import ingest
    from data.site import init_site
    from tests.data.makers import photo

    source = folder / "source"
    rows = []
    for number in range(photos):
        photo(source / f"{number:03d}.png", seed=number + 1)
        caption = "" if number == photos - 1 else CAPTIONS[number % len(CAPTIONS)]
        rows.append(json.dumps({"image": f"{number:03d}.png", "caption": caption}))
    (source / "captions.jsonl").write_text("\n".join(rows), encoding="utf-8")
    site = init_site(folder / "site", [source], template, f"local-dir:{encoder}")
    ingest(site, source / "captions.jsonl")
    return site


def scores_of(site) -> dict[str, dict]:
    """pair_id -> its row of `scores`, without the time."""
    with site.connect() as db:
        rows = db.rows("SELECT * EXCLUDE (scored_at) FROM scores ORDER BY pair_id")
    return {row["pair_id"]: row for row in rows}


@pytest.fixture
def site(tmp_path: Path, tiny_encoder: Path):
    return make_site(tmp_path, tiny_encoder)


def add_pair(site, image_id: str, caption: str, origin: str = "correction") -> str:
    """Another caption of a photo; its id."""
    from data.records import caption_id, language_of, pair_id
    from data.store import now

    key = pair_id(image_id, caption)
    with site.connect() as db:
        db.insert("pairs", [{
            "pair_id": key, "image_id": image_id, "caption": caption, "caption_id": caption_id(caption),
            "language": language_of(caption), "origin": origin, "state": "captioned", "slots": {}, "extra": {},
            "added_at": now(),
        }])  # fmt: skip
    return key


def first_image(site) -> str:
    with site.connect() as db:
        return db.value("SELECT min(image_id) FROM images")
