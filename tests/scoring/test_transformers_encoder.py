"""Every family that `transformers:` loads, as tiny random checkpoints: vectors are the model's own; what is refused."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from data.errors import GenbaError
from scoring.encoders import load_encoder, load_tokenizer, resolve_encoder
from scoring.tokens import is_truncated
from tests.scoring.checkpoints import FAMILIES, LOGIT_SCALE, SIZE, change, write_checkpoint

CONTEXT = {
    "clip": 10,
    "siglip": 12,
    "siglip2": 12,
    "naflex": 12,
    "altclip": 12,
    "chinese_clip": 52,
    "japanese": 16,
}
MARKS = {"clip": 2, "siglip": 1, "siglip2": 1, "naflex": 1, "altclip": 2, "chinese_clip": 2, "japanese": 2}
BERTS = ("chinese_clip", "japanese")
TEXTS = ("a bolt", "the brass nut on the tray with a scratch", "真鍮 の ボルト", "bolt")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {family: write_checkpoint(family, root / family) for family in FAMILIES}


@pytest.fixture
def folder(folders, family) -> Path:
    return folders[family]


def copied(folder: Path, target: Path) -> Path:
    return shutil.copytree(folder, target / folder.name)


def photos(count: int = 3) -> list[PIL.Image.Image]:
    rng = np.random.default_rng(5)
    sizes = ((48, 40), (90, 30), (20, 64))
    return [
        PIL.Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))
        for width, height in sizes[:count]
    ]


def unit(features: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(features.detach(), dim=-1).numpy()


def own_vectors(folder: Path, family: str) -> tuple[np.ndarray, np.ndarray]:
    """What transformers' own model and processor give, fed as its documentation says."""
    from transformers import AutoModel, AutoProcessor, PreTrainedTokenizerFast

    model = AutoModel.from_pretrained(folder)
    length = {"max_length": CONTEXT[family], "truncation": True, "return_tensors": "pt"}
    length["padding"] = "max_length" if family in ("siglip", "siglip2", "naflex") else True
    if family == "siglip":  # its own class needs sentencepiece
        from transformers import AutoImageProcessor

        texts = PreTrainedTokenizerFast.from_pretrained(folder)(list(TEXTS), **length)
        pixels = AutoImageProcessor.from_pretrained(folder)(images=photos(), return_tensors="pt")
    else:
        processor = AutoProcessor.from_pretrained(folder)
        texts = processor.tokenizer(list(TEXTS), **length)
        pixels = processor.image_processor(images=photos(), return_tensors="pt")
    if length["padding"] == "max_length":
        texts.pop("attention_mask", None)  # the SigLIPs were trained without
    image, text = model.get_image_features(**pixels), model.get_text_features(**texts)
    return unit(image.pooler_output), unit(text.pooler_output)


def test_vectors_are_the_model_s_own(folder, family):
    encoder = load_encoder(f"transformers:{folder}", device="cpu")
    batch = torch.stack([encoder.preprocess(photo) for photo in photos()])
    own_images, own_texts = own_vectors(folder, family)
    images, texts = encoder.encode_images(batch), encoder.encode_texts(TEXTS)
    assert images.dtype == np.float32 and images.shape == own_images.shape == (3, encoder.dim)
    assert np.allclose(images, own_images, atol=1e-5)
    assert np.allclose(texts, own_texts, atol=1e-5)
    assert (images @ images.T)[~np.eye(3, dtype=bool)].max() < 0.99999, "photos are told apart"
    assert (texts @ texts.T)[0, 1] < 0.99999, "captions are told apart"


def test_one_at_a_time_gives_the_same_as_all_together(folder):
    encoder = load_encoder(f"transformers:{folder}", device="cpu")
    batch = torch.stack([encoder.preprocess(photo) for photo in photos()])
    together = encoder.encode_images(batch)
    alone = np.concatenate([encoder.encode_images(batch[row : row + 1]) for row in range(3)])
    assert np.allclose(together, alone, atol=1e-5)
    texts = encoder.encode_texts(TEXTS)
    assert np.allclose(texts, np.concatenate([encoder.encode_texts([one]) for one in TEXTS]), atol=1e-5)
    assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-6)


def test_context_temperature_and_size_come_from_the_checkpoint(folder, family):
    encoder = load_encoder(f"transformers:{folder}", device="cpu")
    assert encoder.context_length == CONTEXT[family] and encoder.image_size == SIZE
    assert encoder.source.temperature == pytest.approx(math.exp(-LOGIT_SCALE))
    assert all(parameter.dtype == torch.float32 for parameter in encoder.model.parameters())


def test_captions_past_the_context_are_counted_and_cut(folder, family):
    source = resolve_encoder(f"transformers:{folder}")
    tokenizer, context = load_tokenizer(source)
    longer = [
        " ".join([word] * count) for count in range(1, 60) for word in ["真鍮" if family in BERTS else "bolt"]
    ]
    plain = [len(ids) for ids in tokenizer.tokenizer(longer, add_special_tokens=False).input_ids]
    fits = max(row for row, length in enumerate(plain) if length + MARKS[family] <= CONTEXT[family])
    texts = [longer[fits], longer[fits + 1], "a"]
    assert is_truncated(tokenizer, context, texts) == [False, True, False]
    encoder = load_encoder(f"transformers:{folder}", device="cpu")
    assert encoder.truncated(texts) == 1 and encoder.truncated([]) == 0
    assert tokenizer(texts).shape == (3, context) and tokenizer(texts[2:]).shape[1] in (3, context)
    assert encoder.encode_texts(texts).shape == (3, encoder.dim)


@pytest.mark.parametrize(
    ("family_name", "languages"),
    [("clip", ("en",)), ("altclip", ("en", "zh")), ("chinese_clip", ("zh",)), ("japanese", ("ja",))],
)
def test_languages_by_mark_family_or_vocabulary(folders, family_name, languages):
    assert resolve_encoder(f"transformers:{folders[family_name]}").languages == languages


def test_languages_by_catalogue_and_by_a_large_vocabulary(folders, tmp_path, monkeypatch):
    named = shutil.copytree(folders["altclip"], tmp_path / "AltCLIP-m9")
    assert "ja" in resolve_encoder(f"transformers:{named}").languages
    monkeypatch.setattr("scoring.encoder_files.MULTILINGUAL_VOCABULARY", 20)
    assert resolve_encoder(f"transformers:{folders['siglip2']}").languages == ("*",)


def test_siglip_2_reads_in_lower_case_and_siglip_without_punctuation(folders):
    for family_name in ("siglip2", "naflex"):
        encoder = load_encoder(f"transformers:{folders[family_name]}", device="cpu")
        assert np.allclose(encoder.encode_texts(["A Bolt"]), encoder.encode_texts(["a bolt"]), atol=1e-6)
        assert not np.allclose(encoder.encode_texts(["a bolt."]), encoder.encode_texts(["a bolt"]), atol=1e-3)
    encoder = load_encoder(f"transformers:{folders['siglip']}", device="cpu")
    assert np.allclose(
        encoder.encode_texts(["A  brass, bolt!"]), encoder.encode_texts(["a brass bolt"]), atol=1e-6
    )


def test_naflex_takes_square_photos_of_the_plain_form_too(folders):
    encoder = load_encoder(f"transformers:{folders['naflex']}", device="cpu")
    pixels = np.random.default_rng(1).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
    packed = encoder.preprocess(PIL.Image.fromarray(pixels))[None]
    plain = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    assert packed.shape == (1, 16, 3 * 8 * 8 + 2)
    assert np.allclose(encoder.encode_images(packed), encoder.encode_images(plain), atol=1e-4)


def test_weights_stored_in_half_precision_run_in_fp32(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = copied(folders["clip"], tmp_path)
    tensors = {name: value.bfloat16() for name, value in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    change(folder / "config.json", dtype="bfloat16")
    encoder = load_encoder(f"transformers:{folder}", device="cpu")
    assert all(parameter.dtype == torch.float32 for parameter in encoder.model.parameters())
    assert encoder.source.temperature == pytest.approx(math.exp(-LOGIT_SCALE))
    whole = load_encoder(f"transformers:{folders['clip']}", device="cpu")
    assert (encoder.encode_texts(TEXTS) * whole.encode_texts(TEXTS)).sum(axis=1).min() > 0.999


def spoil(folder: Path, how: str) -> None:
    weights = folder / "model.safetensors"
    if how == "cut weights":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif how == "no weights":
        weights.write_bytes(b"")
    elif how == "pickle only":
        weights.rename(folder / "pytorch_model.bin")
    elif how == "several files":
        weights.rename(folder / "model-00001-of-00002.safetensors")
        (folder / "model.safetensors.index.json").write_text("{}")
    elif how == "one tower":
        from safetensors.torch import load_file, save_file

        kept = {name: value for name, value in load_file(weights).items() if name.startswith("vision_model")}
        save_file(kept, weights, metadata={"format": "pt"})
    elif how == "missing layer":
        from safetensors.torch import load_file, save_file

        kept = {name: value for name, value in load_file(weights).items() if "visual_projection" not in name}
        save_file(kept, weights, metadata={"format": "pt"})
    elif how == "no tokenizer":
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").unlink()
    elif how == "no words":
        (folder / "tokenizer.json").unlink()
    elif how == "larger tokenizer":
        text = json.loads((folder / "tokenizer.json").read_text())
        text["model"]["vocab"].update({f"extra{number}": 1000 + number for number in range(9)})
        (folder / "tokenizer.json").write_text(json.dumps(text))
    elif how == "no padding":
        change(folder / "tokenizer_config.json", pad_token=None)
    elif how == "no end":
        config = json.loads((folder / "config.json").read_text())
        config["text_config"]["eos_token_id"] = 7
        (folder / "config.json").write_text(json.dumps(config))
    elif how == "other size":
        change(folder / "preprocessor_config.json", crop_size={"height": 64, "width": 64})
    elif how == "no image processor":
        (folder / "preprocessor_config.json").unlink()
    elif how == "broken config":
        (folder / "config.json").write_text("{")
    elif how == "no config":
        (folder / "config.json").unlink()
    elif how == "text model":
        (folder / "config.json").write_text('{"model_type": "bert", "hidden_size": 8}')
    elif how == "remote code":
        change(folder / "config.json", model_type="clyp", auto_map={"AutoModel": "modeling_clyp.CLYPModel"})
    elif how == "rinna":
        config = json.loads((folder / "config.json").read_text())
        config["text_config"]["model_type"] = "roberta"
        (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("cut weights", ["is damaged or cut short"]),
        ("no weights", ["is damaged or cut short"]),
        ("pickle only", ["a pickle: that is never opened"]),
        ("several files", ["lie in several files", "max_shard_size"]),
        ("one tower", ["holds no text tower"]),
        ("missing layer", ["no weights for 1 parts of the model, visual_projection.weight"]),
        ("no tokenizer", ["The tokenizer of", "has no words"]),
        ("no words", ["The tokenizer of", "has no words"]),
        ("larger tokenizer", ["the model only", "another checkpoint"]),
        ("no padding", ["no padding token"]),
        ("no end", ["does not end captions with the token 7"]),
        ("other size", ["gives photos of 3 x 64 x 64, the model takes 3 x 32 x 32"]),
        ("no image processor", ["cannot be loaded"]),
        ("broken config", ["config.json cannot be read"]),
        ("no config", ["has no", "config.json"]),
        ("text model", ["is not an image-text encoder", "'bert'", "siglip2"]),
        ("remote code", ["model (clyp)", "which Genba never runs", "genba encoders"]),
        ("rinna", ["calls itself CLIP", "'roberta'", "vision-text dual encoder"]),
    ],
)
def test_what_is_refused_and_what_it_says(how, words, folders, tmp_path):
    folder = copied(folders["clip"], tmp_path)
    spoil(folder, how)
    with pytest.raises(GenbaError) as error:
        load_encoder(f"transformers:{folder}")
    for word in (str(folder), *words):
        assert word in str(error.value)


def test_a_tokenizer_of_the_repository_s_own_code_is_refused(folders, tmp_path):
    folder = copied(folders["japanese"], tmp_path)
    change(
        folder / "tokenizer_config.json",
        tokenizer_class="OwnTokenizer",
        auto_map={"AutoTokenizer": ["tokenization_own.OwnTokenizer", None]},
    )
    (folder / "tokenization_own.py").write_text("raise SystemExit('code of a checkpoint was run')")
    with pytest.raises(GenbaError, match=r"tokenizer of .* needs Python code from its repository"):
        load_encoder(f"transformers:{folder}")


def test_a_dual_encoder_has_to_say_its_languages(folders, tmp_path):
    folder = copied(folders["japanese"], tmp_path)
    (folder / "genba.json").unlink()
    with pytest.raises(GenbaError, match=r"Nothing in .* says which languages") as error:
        resolve_encoder(f"transformers:{folder}")
    assert str(folder / "genba.json") in str(error.value)


def test_photos_of_another_size_are_refused(folders):
    encoder = load_encoder(f"transformers:{folders['clip']}", device="cpu")
    with pytest.raises(GenbaError, match="takes photos of 3 x 32 x 32, not of 3 x 64 x 64"):
        encoder.encode_images(torch.zeros(1, 3, 64, 64))
