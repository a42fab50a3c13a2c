"""The drafter `model` on tiny random checkpoints in transformers' own format: a captioner (BLIP) and one that chats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from annotate import draft_model, drafts
from annotate.draft_model import Speaker
from data.errors import GenbaError
from data.photos import open_photo
from data.site import Site
from tests.annotate.sites import rows
from tests.scoring.conftest import make_site

WORDS = ["a", "steel", "brass", "bolt", "nut", "on", "the", "tray", "two", "with", "scratch", "no", "defect"]


def write_blip(folder: Path) -> Path:
    """A BLIP captioner of random weights that are always the same."""
    import torch
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    torch.manual_seed(0)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = BertTokenizer(vocab={piece: place for place, piece in enumerate(pieces)})
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BlipConfig(
        text_config={**tower, "vocab_size": len(pieces), "max_position_embeddings": 128, "encoder_hidden_size": 16,
                     "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0, "projection_dim": 8},
        vision_config={**tower, "image_size": 32, "patch_size": 16, "projection_dim": 8},
        projection_dim=8, image_text_hidden_size=16,
    )  # fmt: skip
    model = BlipForConditionalGeneration(config)
    photos = BlipImageProcessor(size={"height": 32, "width": 32})
    model.save_pretrained(folder)
    BlipProcessor(photos, tokenizer).save_pretrained(folder)
    return folder


CHAT = (
    "{% for turn in messages %}{% for part in turn['content'] %}{% if part['type'] == 'image' %}<image> "
    "{% else %}{{ part['text'] }} {% endif %}{% endfor %}{% endfor %}{% if add_generation_prompt %}a {% endif %}"
)


def write_llava(folder: Path) -> Path:
    """A model that answers a question about a photo, as Qwen-VL does: random weights, always the same."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    torch.manual_seed(0)
    pieces = ["<unk>", "<pad>", "<s>", "</s>", "<image>", *WORDS]
    words = Tokenizer(
        models.WordLevel({piece: place for place, piece in enumerate(pieces)}, unk_token="<unk>")
    )
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        additional_special_tokens=["<image>"],
    )  # fmt: skip
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlavaConfig(
        vision_config={**tower, "model_type": "clip_vision_model", "image_size": 32, "patch_size": 16},
        text_config={**tower, "model_type": "llama", "vocab_size": len(pieces), "num_key_value_heads": 2,
                     "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 1},
        image_token_id=4,
    )  # fmt: skip
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    photos = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    LlavaProcessor(
        photos, tokenizer, patch_size=16, vision_feature_select_strategy="default", chat_template=CHAT,
        image_token="<image>", num_additional_image_tokens=1,
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from scoring.torchvision_ops import ensure_torchvision

    ensure_torchvision()
    return write_blip(tmp_path_factory.mktemp("blip") / "tiny-blip")


@pytest.fixture
def site(tmp_path: Path, tiny_encoder: Path) -> Site:
    """Really embedded and scored."""
    from scoring.score import score

    made: Site = make_site(tmp_path, tiny_encoder)
    score(made, device="cpu")
    return Site.open(made.root)


def photo_of(site: Site) -> Any:
    first = rows(site, "SELECT root, uri FROM images ORDER BY image_id LIMIT 1")[0]
    return open_photo(site.photo_path(first["root"], first["uri"]))


def test_it_says_the_same_of_the_same_photo_alone_and_in_a_batch(blip: Path, site: Site) -> None:
    speaker = Speaker.load(str(blip), "cpu")
    photo = photo_of(site)
    alone, *both = [*speaker.say([photo], ""), *speaker.say([photo, photo], "")]
    assert alone.text == both[0].text == both[1].text
    assert set(alone.text.split()) <= set(WORDS) and 0 < alone.probability <= 1
    assert both[0].probability == pytest.approx(alone.probability, abs=1e-4)
    assert speaker.say([], "") == []


def test_a_model_that_chats_is_asked_for_the_items_of_the_template(tmp_path: Path, site: Site) -> None:
    from annotate.draft_view import View
    from scoring.encoders import load_for_site

    speaker = Speaker.load(str(write_llava(tmp_path / "tiny-llava")), "cpu")
    question = speaker.question(View.of(site, site.template(), load_for_site(site), []))
    assert "Material (steel, brass" in question and question.endswith("Say nothing that it does not show.")
    photo = photo_of(site)
    alone, *both = [*speaker.say([photo], question), *speaker.say([photo, photo], question)]
    assert alone.text == both[0].text == both[1].text and "Describe" not in alone.text  # the answer alone
    assert 0 < alone.probability <= 1


def test_its_text_becomes_slots_and_a_draft_with_version(
    blip: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a trained model would say, through the real model call: only the decoded words are ours."""
    said = "two steel bolts with a scratch on the tray"
    monkeypatch.setattr(
        Speaker, "say", lambda self, photos, prompt: [draft_model.Said(said, 0.5)] * len(photos)
    )
    made = drafts.make(site, ["model"], options={"model": str(blip), "device": "cpu"})
    assert made.drafters["model"].drafted == made.pairs > 0
    found = rows(site, "SELECT * FROM drafts WHERE drafter = 'model'")
    assert {row["version"].rsplit("-", 2)[0] for row in found} == {"1-tiny-blip"}
    assert found[0]["slots"]["part"] == "bolt" and found[0]["slots"]["count"] == 2
    assert found[0]["confidence"]["part"] == 0.5 and not found[0]["calibrated"]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_random_weights_run_from_end_to_end(blip: Path, site: Site, device: str) -> None:
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device: bf16 is used there alone")
    made = drafts.make(site, ["model"], options={"model": str(blip), "device": device, "batch": 5})
    assert made.pairs > 5


def test_what_cannot_be_loaded(blip: Path, tmp_path: Path, site: Site) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    with pytest.raises(GenbaError, match="No image-to-text model is named"):
        drafts.make(site, ["model"])
    with pytest.raises(GenbaError, match=r"not on this machine.*hf download some/absent-model"):
        Speaker.load("some/absent-model", "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(GenbaError, match="no usable 'cuda'"):
            Speaker.load(str(blip), "cuda")
    import shutil

    halved = tmp_path / "halved"
    shutil.copytree(blip, halved)
    weights = load_file(halved / "model.safetensors")
    first = next(name for name in sorted(weights) if "crossattention" in name)
    save_file({name: one for name, one in weights.items() if name != first}, halved / "model.safetensors")
    with pytest.raises(GenbaError, match="no weights for 1 parts"):
        Speaker.load(str(halved), "cpu")
    (halved / "model.safetensors").rename(halved / "pytorch_model.bin")
    with pytest.raises(GenbaError, match="cannot be loaded"):
        Speaker.load(str(halved), "cpu")
