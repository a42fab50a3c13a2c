"""Tiny random checkpoints in transformers' format, one for each family: config, weights, tokenizer, image processor.

    folder = write_checkpoint("altclip", tmp_path / "altclip")

Everything is made here; nothing is downloaded. Each tokenizer is of the family's own kind, with a vocabulary of a few
words, so that what it does with marks, padding and unknown letters is the real thing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.scoring.conftest import PLAIN_WORDS as WORDS

SIZE = 32  # pixels, and so is every context longer than the models have positions for
TOWER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {**TOWER, "image_size": SIZE, "patch_size": 16}
DIM = 8
LOGIT_SCALE = 3.0
PHOTO = {"size": {"height": SIZE, "width": SIZE}}


def write_checkpoint(family: str, folder: Path) -> Path:
    """The checkpoint of a family in FAMILIES of this file, with random weights that are always the same."""
    import torch

    from scoring.torchvision_ops import ensure_torchvision

    ensure_torchvision()
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    model, tokenizer, photos = FAMILIES[family]()
    with torch.no_grad():
        for parameter in model.parameters():  # at their own scale, tiny towers give about one vector for all
            parameter.normal_(0, 0.3)
        model.logit_scale.fill_(LOGIT_SCALE)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    photos.save_pretrained(folder)
    if family in DECLARED:
        change(folder / "tokenizer_config.json", tokenizer_class=DECLARED[family])
    if family == "japanese":
        (folder / "genba.json").write_text('{"languages": ["ja"]}')
    return folder


def change(path: Path, **values: Any) -> None:
    """Overwrite keys of a JSON file."""
    path.write_text(
        json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}, ensure_ascii=False)
    )


def _clip() -> tuple[Any, Any, Any]:
    from open_clip.tokenizer import bytes_to_unicode
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

    letters = list(bytes_to_unicode().values())
    merges = [("b", "o"), ("bo", "l"), ("bol", "t</w>"), ("t", "h"), ("th", "e</w>")]
    pieces = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges)]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    text = {**TOWER, "vocab_size": len(vocabulary), "max_position_embeddings": 10}
    text |= {"bos_token_id": len(vocabulary) - 2, "eos_token_id": len(vocabulary) - 1}
    config = CLIPConfig(text_config=text, vision_config=VISION, projection_dim=DIM)
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=10)
    photos = CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size=PHOTO["size"])
    return CLIPModel(config), tokenizer, photos


def _siglip(tokenizer: Any, positions: int = 12) -> tuple[Any, Any, Any]:
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    text = {
        **TOWER,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": positions,
        "projection_size": 16,
    }
    config = SiglipConfig(text_config=text, vision_config=VISION)
    photos = SiglipImageProcessor(**PHOTO, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    return SiglipModel(config), tokenizer, photos


def _siglip1() -> tuple[Any, Any, Any]:
    """SigLIP's tokenizer has a class that needs sentencepiece, and tokenizer.json, which says the same without."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = ["<pad>", "</s>", "<unk>", *("▁" + word for word in WORDS)]
    inner = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=2))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    marks = {"eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    return _siglip(PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=12, **marks))


def _gemma_parts() -> dict[str, Any]:
    """Byte fallback for every letter but those of a few words, and these words merged."""
    spelled = "abcdefghlnorstuwiy▁"
    pieces = [
        "<pad>",
        "<eos>",
        "<bos>",
        "<unk>",
        "<mask>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *spelled,
    ]
    merges = [("b", "o"), ("bo", "l"), ("bol", "t"), ("n", "u"), ("nu", "t")]
    pieces += ["".join(pair) for pair in merges]
    return {"vocab": {piece: place for place, piece in enumerate(pieces)}, "merges": merges}


def _with_eos(tokenizer: Any) -> Any:
    from tokenizers import processors

    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", 1)]
    )
    return tokenizer


def _siglip2() -> tuple[Any, Any, Any]:
    """The usual checkpoints of SigLIP 2 are SigLIP models with Gemma's tokenizer, which keeps capitals."""
    from transformers import GemmaTokenizer

    return _siglip(_with_eos(GemmaTokenizer(**_gemma_parts(), padding_side="right", model_max_length=12)), 12)


def _naflex() -> tuple[Any, Any, Any]:
    from transformers import Siglip2Config, Siglip2ImageProcessor, Siglip2Model, Siglip2Tokenizer

    tokenizer = _with_eos(Siglip2Tokenizer(**_gemma_parts(), padding_side="right"))
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": 12, "projection_size": 16}
    vision = {**TOWER, "patch_size": 8, "num_patches": 16}
    photos = Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    return Siglip2Model(Siglip2Config(text_config=text, vision_config=vision)), tokenizer, photos


def _altclip() -> tuple[Any, Any, Any]:
    from transformers import AltCLIPConfig, AltCLIPModel, CLIPImageProcessor, XLMRobertaTokenizer

    pieces = ["<s>", "<pad>", "</s>", "<unk>", *("▁" + word for word in WORDS), "<mask>"]
    tokenizer = XLMRobertaTokenizer(vocab=[(piece, -1.0) for piece in pieces])
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": 14, "project_dim": 12}
    config = AltCLIPConfig(text_config=text, vision_config=VISION, projection_dim=DIM)
    photos = CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size=PHOTO["size"])
    return AltCLIPModel(config), tokenizer, photos


def _bert_tokenizer() -> Any:
    from transformers import BertTokenizer

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "真", "鍮", "傷"]
    return BertTokenizer(vocab={piece: place for place, piece in enumerate(dict.fromkeys(pieces))})


def _chinese_clip() -> tuple[Any, Any, Any]:
    from transformers import ChineseCLIPConfig, ChineseCLIPImageProcessor, ChineseCLIPModel

    tokenizer = _bert_tokenizer()
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": 100}
    config = ChineseCLIPConfig(text_config=text, vision_config=VISION, projection_dim=DIM)
    return ChineseCLIPModel(config), tokenizer, ChineseCLIPImageProcessor(**PHOTO, do_center_crop=False)


def _japanese() -> tuple[Any, Any, Any]:
    """As Japanese CLIPs are published for transformers alone: a BERT and a ViT with two projections."""
    from transformers import (
        BertConfig,
        VisionTextDualEncoderConfig,
        VisionTextDualEncoderModel,
        ViTConfig,
        ViTImageProcessor,
    )

    tokenizer = _bert_tokenizer()
    text = BertConfig(**TOWER, vocab_size=len(tokenizer), max_position_embeddings=16)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        ViTConfig(**VISION), text, projection_dim=DIM
    )
    return VisionTextDualEncoderModel(config), tokenizer, ViTImageProcessor(**PHOTO)


DECLARED = {
    "siglip": "SiglipTokenizer",
    "siglip2": "GemmaTokenizer",
    "naflex": "GemmaTokenizer",
}  # as on the hub
FAMILIES: dict[str, Callable[[], tuple[Any, Any, Any]]] = {
    "clip": _clip,
    "siglip": _siglip1,
    "siglip2": _siglip2,
    "naflex": _naflex,
    "altclip": _altclip,
    "chinese_clip": _chinese_clip,
    "japanese": _japanese,
}
