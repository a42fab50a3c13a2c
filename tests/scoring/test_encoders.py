"""Loading by every kind of id, what an encoder answers, and every refusal with its words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from data.errors import GenbaError
from scoring.catalogue import DEFAULT_ENCODER, ENCODERS, readers_of, real_encoders
from scoring.encoders import (
    canonical_id,
    load_encoder,
    load_for_site,
    pick_device,
    require_usable,
    resolve_encoder,
    slug,
    source_for_site,
    write_encoder,
)
from tests.scoring.conftest import write_tiny_encoder


def photos(n: int) -> torch.Tensor:
    rng = np.random.default_rng(n)
    return torch.from_numpy(rng.normal(size=(n, 3, 32, 32)).astype(np.float32))


def test_every_known_encoder_exists_in_open_clip():
    from scoring.torchvision_ops import ensure_torchvision

    ensure_torchvision()
    import open_clip

    published = {f"{model}/{tag}" for model, tag in open_clip.list_pretrained()}
    for known in ENCODERS.values():
        if known.id == "demo":
            continue
        assert known.id in published
        model, tag = known.id.split("/")
        assert open_clip.get_pretrained_cfg(model, tag)["hf_hub"].strip("/") == known.repository
        size = open_clip.get_model_config(model)["vision_cfg"]["image_size"]
        assert size == known.image_size


def test_the_default_reads_japanese_and_may_be_used_commercially():
    known = ENCODERS[DEFAULT_ENCODER]
    assert known.languages == ("*",) and known.any_site
    assert "demo" not in real_encoders() and "demo" in ENCODERS


def test_vectors_have_unit_length_and_do_not_depend_on_the_batch(tiny_encoder):
    encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    assert (encoder.dim, encoder.image_size, encoder.context_length) == (16, 32, 12)
    batch = photos(5)
    together = encoder.encode_images(batch)
    assert together.shape == (5, 16) and together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    assert np.allclose(encoder.encode_images(batch[2:3]), together[2:3], atol=1e-5)
    texts = ["a brass bolt", "a steel nut on the tray"]
    assert np.allclose(encoder.encode_texts(texts)[1:], encoder.encode_texts(texts[1:]), atol=1e-5)
    assert encoder.encode_texts([]).shape == (0, 16)


def test_preprocess_takes_any_photo(tiny_encoder):
    encoder = load_encoder(f"local-dir:{tiny_encoder}")
    for mode, size in (("RGB", (7, 90)), ("L", (300, 20)), ("RGBA", (32, 32))):
        assert encoder.preprocess(PIL.Image.new(mode, size)).shape == (3, 32, 32)


def test_truncated_counts_captions_past_the_context(tiny_encoder):
    encoder = load_encoder(f"local-dir:{tiny_encoder}")
    assert encoder.is_truncated(["a bolt", " ".join(["bolt"] * 13), " ".join(["bolt"] * 12)]) == [
        False,
        True,
        False,
    ]
    assert encoder.truncated([" ".join(["bolt"] * 13)]) == 1 and encoder.truncated([]) == 0


def test_encoding_keeps_the_training_mode(tiny_encoder):
    encoder = load_encoder(f"local-dir:{tiny_encoder}")
    encoder.model.train()
    encoder.encode_images(photos(1))
    assert encoder.model.training
    encoder.model.eval()
    encoder.encode_texts(["a"])
    assert not encoder.model.training


def test_bf16_is_close_to_fp32(tiny_encoder):
    exact = load_encoder(f"local-dir:{tiny_encoder}", device="cpu").encode_images(photos(3))
    rough = load_encoder(f"local-dir:{tiny_encoder}", device="cpu", precision="bf16").encode_images(photos(3))
    assert not np.array_equal(exact, rough) and (exact * rough).sum(axis=1).min() > 0.99


def test_a_changed_checkpoint_is_another_encoder(tiny_encoder, tmp_path):
    copy = shutil.copytree(tiny_encoder, tmp_path / "copy")
    first = resolve_encoder(f"local-dir:{tiny_encoder}").fingerprint
    assert resolve_encoder(f"local-dir:{copy}").fingerprint == first
    weights = copy / "open_clip_model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    assert resolve_encoder(f"local-dir:{copy}").fingerprint != first


def test_written_encoder_gives_the_same_vectors_and_inherits(tiny_encoder, tmp_path):
    base = load_encoder(f"local-dir:{tiny_encoder}")
    write_encoder(base, tmp_path / "retrained", {"run_id": "r1"})
    again = load_encoder(f"local-dir:{tmp_path / 'retrained'}")
    assert np.allclose(again.encode_images(photos(2)), base.encode_images(photos(2)), atol=1e-6)
    assert np.allclose(again.encode_texts(["a bolt"]), base.encode_texts(["a bolt"]), atol=1e-6)
    assert again.languages == ("en", "ja")
    mark = json.loads((tmp_path / "retrained" / "genba.json").read_text())
    assert mark["run_id"] == "r1" and mark["base_fingerprint"] == base.fingerprint


@pytest.mark.parametrize("form", ["demo-folder", "retrained"])
def test_the_demo_encoder_is_refused_by_name_for_other_sites(form, tmp_path):
    folder = write_tiny_encoder(tmp_path / "demo-folder", {"genba_demo": True, "languages": ["ja", "en"]})
    if form == "retrained":
        folder = tmp_path / "retrained"
        write_encoder(load_encoder(f"local-dir:{tmp_path / 'demo-folder'}", demo_site=True), folder)
    with pytest.raises(GenbaError, match="demo encoder") as error:
        load_encoder(f"local-dir:{folder}")
    assert str(folder) in str(error.value)
    assert error.value.choices == real_encoders() and error.value.next == "genba encoders"
    assert load_encoder(f"local-dir:{folder}", demo_site=True).source.is_demo


def test_the_id_demo_is_refused_too(tmp_path, monkeypatch):
    folder = write_tiny_encoder(tmp_path / "demo", {"languages": ["ja", "en"]})
    monkeypatch.setattr("scoring.encoder_files.DEMO_FOLDER", folder)
    with pytest.raises(GenbaError, match="'demo' is the demo encoder"):
        load_encoder("demo")
    assert load_encoder("demo", demo_site=True).languages == ("ja", "en")


@pytest.mark.parametrize(
    ("encoder_id", "words"),
    [
        ("ViT-B-32/laion2b_s34b_b79k", ["not on this machine", "hf download laion/CLIP-ViT-B-32-laion2B-s34B-b79K"]),
        (DEFAULT_ENCODER, ["--local-dir ViT-B-16-SigLIP2-256", "local-dir:/path/of/ViT-B-16-SigLIP2-256"]),
        ("xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k", ["hf download xlm-roberta-base config", "HF_HOME=carrier"]),
        ("hf-hub:nobody/nothing", ["hf download nobody/nothing"]),
        ("hf-hub:not a name/x", ["not the name of a hub repository"]),
        ("transformers:nobody/nothing", ["hf download nobody/nothing", "use transformers:FOLDER"]),
        ("ViT-B-33/laion2b", ["No encoder 'ViT-B-33/laion2b'", "Did you mean 'ViT-B-32'", DEFAULT_ENCODER]),
        ("ViT-B-32/nonsense", ["ViT-B-32 has no weights 'nonsense'", "laion2b_s34b_b79k"]),
        ("ViT-B-32", ["No encoder 'ViT-B-32'", "MODEL/PRETRAINED"]),
        ("ViT-B-32/weights.pt", ["pickle", "can run code"]),
        ("", ["No encoder ''"]),
    ],
)  # fmt: skip
def test_refusals_say_what_to_do(encoder_id, words, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(GenbaError) as error:
        load_encoder(encoder_id)
    for word in words:
        assert word in str(error.value)


def test_absent_weights_fail_at_once_and_load_nothing_else(tmp_path, monkeypatch):
    import time

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(GenbaError):
        load_encoder(DEFAULT_ENCODER)
    assert time.monotonic() - start < 10  # the hub client alone tries for three quarters of a minute


def break_folder(folder: Path, how: str) -> None:
    weights = folder / "open_clip_model.safetensors"
    if how == "pickle only":
        weights.rename(folder / "open_clip_pytorch_model.bin")
    elif how == "no config":
        (folder / "open_clip_config.json").unlink()
    elif how == "broken config":
        (folder / "open_clip_config.json").write_text("{")
    elif how == "truncated weights":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif how == "other weights":
        text = (folder / "open_clip_config.json").read_text().replace('"embed_dim": 16', '"embed_dim": 24')
        (folder / "open_clip_config.json").write_text(text)
    elif how == "no tokenizer":
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").unlink()
    elif how == "no words":
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").write_text(
            '{"tokenizer_class": "BertTokenizer"}'
        )  # BERT's comes up empty
    elif how == "broken mark":
        (folder / "genba.json").write_text("{")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("pickle only", "a pickle: that is never opened"),
        ("no config", "has no .*open_clip_config.json"),
        ("broken config", "cannot be read"),
        ("truncated weights", "cannot be loaded"),
        ("other weights", "cannot be loaded"),
        ("no tokenizer", "cannot be loaded"),
        ("no words", "has no words: its vocabulary file"),
        ("broken mark", "genba.json cannot be read"),
    ],
)
def test_broken_folders_are_refused(how, words, tiny_encoder, tmp_path):
    folder = shutil.copytree(tiny_encoder, tmp_path / "broken")
    break_folder(folder, how)
    with pytest.raises(GenbaError, match=words):
        load_encoder(f"local-dir:{folder}")


def test_a_pickle_beside_safetensors_is_not_opened(tiny_encoder, tmp_path):
    folder = shutil.copytree(tiny_encoder, tmp_path / "both")
    (folder / "open_clip_pytorch_model.bin").write_bytes(b"no pickle at all")
    assert load_encoder(f"local-dir:{folder}").source.weights.suffix == ".safetensors"
    with pytest.raises(GenbaError, match="never opened"):
        load_encoder(f"local-dir:{folder / 'open_clip_pytorch_model.bin'}")


def test_devices(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    assert pick_device("auto") == "cpu" and pick_device("cpu") == "cpu"
    with pytest.raises(GenbaError, match="no usable 'cuda'") as error:
        pick_device("cuda")
    assert "auto" in (error.value.choices or [])
    with pytest.raises(GenbaError, match="No device 'gpu'"):
        pick_device("gpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert pick_device("auto") == "cuda"


def test_an_unknown_precision_is_refused(tiny_encoder):
    with pytest.raises(GenbaError, match="No precision 'fp16'"):
        load_encoder(f"local-dir:{tiny_encoder}", precision="fp16")


def test_slugs_are_folder_names_and_differ():
    assert slug("ViT-B-32/laion2b_s34b_b79k").startswith("ViT-B-32-laion2b_s34b_b79k-")
    ids = ["a/b", "a-b", "local-dir:/x/models/m1", "local-dir:/y/models/m1", "hf-hub:a/b", "../..", "日本/語"]
    slugs = [slug(one) for one in ids]
    assert len(set(slugs)) == len(ids)
    assert all(
        not (set(one) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"))
        for one in slugs
    )
    assert all(not one.startswith(".") for one in slugs)


def test_canonical_id_makes_a_folder_absolute(tiny_encoder, monkeypatch):
    monkeypatch.chdir(tiny_encoder.parent)
    assert canonical_id("local-dir:tiny") == f"local-dir:{tiny_encoder.resolve()}"
    assert canonical_id(DEFAULT_ENCODER) == DEFAULT_ENCODER


def test_a_photo_of_another_size_is_refused(tiny_encoder):
    encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    with pytest.raises(GenbaError, match="takes photos of 3 x 32 x 32, not of 3 x 32 x 48"):
        encoder.encode_images(torch.zeros(2, 3, 32, 48))


def test_the_temperature_of_damaged_weights_is_an_error_in_words(tiny_encoder, tmp_path):
    folder = shutil.copytree(tiny_encoder, tmp_path / "cut")
    weights = folder / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(GenbaError, match="is damaged or cut short"):
        _ = resolve_encoder(f"local-dir:{folder}").temperature


@pytest.mark.parametrize(("value", "word"), [(np.nan, "not a number"), (0.0, "zero")])
def test_a_vector_that_is_none_is_named(value, word):
    vectors = np.eye(3, dtype=np.float32)
    require_usable(vectors, "x", "photo", ["a", "b", "c"])
    vectors[1] = value
    with pytest.raises(
        GenbaError, match=f"encoder 'x' gave no usable vector for the photo 'b': it is {word}"
    ):
        require_usable(vectors, "x", "photo", ["a", "b", "c"])


def test_who_reads_a_language_for_any_site():
    assert readers_of("ja")[0].id == readers_of("en")[0].id == DEFAULT_ENCODER
    japanese = {known.id for known in readers_of("ja")}
    assert "ViT-B-32/laion2b_s34b_b79k" not in japanese and "demo" not in japanese
    assert "MobileCLIP2-S0/dfndr2b" not in {known.id for known in readers_of("en")}, "research licence"


def test_the_small_real_encoder_tells_its_photos_apart(small_encoder, shared):
    encoder = load_encoder(f"local-dir:{small_encoder}", device="cpu")
    assert encoder.languages == ("en",) and 0.03 < encoder.source.temperature < 0.05
    import csv

    with (shared / "data" / "flickr8k" / "captions.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "dev"][::5][:24]
    folder = shared / "data" / "flickr8k" / "images"
    batch = torch.stack([encoder.preprocess(PIL.Image.open(folder / row["image"])) for row in rows])
    cosine = encoder.encode_images(batch) @ encoder.encode_texts([row["caption"] for row in rows]).T
    assert (cosine.argmax(axis=1) == np.arange(len(rows))).mean() > 0.6
    channels_first = encoder.model.to(memory_format=torch.contiguous_format)
    features = torch.nn.functional.normalize(channels_first.encode_image(batch[:4]).detach(), dim=-1).numpy()
    assert np.allclose(
        features, encoder.encode_images(batch[:4]), atol=1e-4
    )  # channels_last changes speed only


def test_a_site_s_own_encoder_by_its_id_in_the_tables(tmp_path, tiny_encoder):
    """The base encoder by its absolute folder, a promoted model relative to the site, whatever the current folder."""
    from tests.scoring.conftest import make_site

    site = make_site(tmp_path, tiny_encoder, photos=2)
    assert source_for_site(site).id == f"local-dir:{tiny_encoder}"
    promoted = write_tiny_encoder(site.root / "models" / "m1", seed=3)
    source = source_for_site(site, "local-dir:models/m1")
    assert source.id == "local-dir:models/m1" and source.folder == promoted
    encoder = load_for_site(site, "local-dir:models/m1", device="cpu")
    assert encoder.id == "local-dir:models/m1" and encoder.encode_texts(["a bolt"]).shape == (1, 16)
    with pytest.raises(GenbaError, match=r"has no .*models/gone"):
        source_for_site(site, "local-dir:models/gone")


def test_a_real_site_is_refused_the_demo_encoder_and_what_came_of_it(tmp_path, tiny_encoder):
    from tests.scoring.conftest import make_site

    site = make_site(tmp_path, tiny_encoder, photos=2)
    write_tiny_encoder(site.root / "models" / "m1", {"genba_demo": True})
    for encoder_id in ("demo", "local-dir:models/m1"):
        with pytest.raises(GenbaError, match="only seen rendered"):
            load_for_site(site, encoder_id)


def test_the_precision_is_part_of_the_fingerprint(tiny_encoder):
    """Vectors and scores of one precision never pass for those of another."""
    exact = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    rough = load_encoder(f"local-dir:{tiny_encoder}", device="cpu", precision="bf16")
    assert (
        (exact.precision, rough.precision)
        == ("fp32", "bf16")
        == (exact.source.precision, rough.source.precision)
    )
    assert rough.fingerprint == f"{exact.fingerprint}-bf16"
    assert exact.source.files_fingerprint == rough.source.files_fingerprint == exact.fingerprint


def test_a_site_sets_the_precision(tmp_path, tiny_encoder):
    from data.settings import set_value
    from data.site import Site
    from tests.scoring.conftest import make_site

    site = make_site(tmp_path, tiny_encoder)
    assert load_for_site(site, device="cpu").precision == "fp32"
    set_value(site.settings_path, "site", "precision", "bf16")
    site = Site.open(site.root)
    assert load_for_site(site, device="cpu").precision == "bf16"
    assert load_for_site(site, device="cpu", precision="fp32").precision == "fp32"
