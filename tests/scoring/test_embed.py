"""Embedding a real small site: everything once, also after a stop, and a clear word about what cannot be done."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from data.errors import GenbaError
from data.records import caption_id, normalise_caption
from scoring import decode, embed
from scoring.embed import caption_vectors, captions_of, embed_site, embed_wanted, image_vectors, wanted
from scoring.encoders import load_for_site, source_for_site
from scoring.vectors import VectorStore
from tests.scoring.conftest import CAPTIONS


def refuse() -> None:
    raise AssertionError("the model was loaded although nothing is new")


def test_everything_is_embedded_once(site):
    encoder = load_for_site(site, device="cpu")
    seen: list[tuple[int, int | None, str]] = []
    counts = embed_site(site, encoder, lambda *told: seen.append(told))
    assert (counts.images, counts.captions, counts.unreadable) == (12, len(CAPTIONS), 0)
    assert (counts.images_known, counts.captions_known) == (0, 0)
    assert seen[-1][:2] == (12 + len(CAPTIONS),) * 2 and {what for *_, what in seen} == {"photos", "captions"}
    again = embed_site(site, encoder)
    assert (again.images, again.captions) == (0, 0)
    assert (again.images_known, again.captions_known) == (12, len(CAPTIONS))


def test_the_vectors_are_those_of_the_encoder(site):
    """By ids, in the order asked for; a photo goes through the encoder's own transform."""
    encoder = load_for_site(site, device="cpu")
    photos = wanted(site, encoder.source).photos
    with open_image(photos[3].path) as picture:
        own = encoder.encode_images(torch.stack([encoder.preprocess(picture)]))[0]
    found = image_vectors(site, encoder, [photos[3].image_id, photos[0].image_id, photos[3].image_id])
    assert (
        found.shape == (3, 16)
        and np.allclose(found[0], own, atol=1e-5)
        and np.array_equal(found[0], found[2])
    )
    texts = caption_vectors(site, encoder, [caption_id(CAPTIONS[1])])
    assert np.allclose(texts, encoder.encode_texts([normalise_caption(CAPTIONS[1])]), atol=1e-6)


def open_image(path):
    import PIL.Image

    return PIL.Image.open(path)


def test_vectors_by_id_are_stored_and_used_again(site, monkeypatch):
    encoder = load_for_site(site, device="cpu")
    ids = [photo.image_id for photo in wanted(site, encoder.source).photos]
    first = image_vectors(site, encoder, ids[:5])
    monkeypatch.setattr(encoder, "encode_images", lambda batch: pytest.fail("computed twice"))
    assert np.array_equal(image_vectors(site, encoder, ids[:5][::-1]), first[::-1])
    assert image_vectors(site, encoder, []).shape == (0, 16)
    with pytest.raises(GenbaError, match="no vector for 'nobody'"):
        image_vectors(site, encoder, ["nobody"])
    with pytest.raises(GenbaError, match="no vector for 'nothing'"):
        caption_vectors(site, encoder, ["nothing"])


def test_nothing_new_loads_no_model(site):
    source = source_for_site(site)
    embed_site(site, load_for_site(site, device="cpu"))
    found = embed_wanted(VectorStore.of(site, source), refuse, wanted(site, source))
    assert len(found.images) == 12 and found.counts.images == 0


def test_a_changed_checkpoint_discards_the_vectors(site):
    encoder = load_for_site(site, device="cpu")
    embed_site(site, encoder)
    encoder.source = replace(encoder.source, config_text=encoder.source.config_text + " ")
    counts = embed_site(site, encoder)
    assert counts.discarded == 12 + len(CAPTIONS) and (counts.images, counts.images_known) == (12, 0)


def test_a_damaged_shard_is_made_again(site):
    encoder = load_for_site(site, device="cpu")
    embed_site(site, encoder)
    store = VectorStore.of(site, encoder.source)
    before = store.load("images")
    store.shards("images")[0].write_bytes(b"PAR1 nothing PAR1")
    counts = embed_site(site, encoder)
    assert (counts.damaged, counts.images, counts.captions) == (1, 12, 0)
    assert np.array_equal(store.load("images").take(before.ids), before.array)


@pytest.mark.parametrize("harm", ["gone", "cut short"])
def test_a_photo_that_cannot_be_read_any_more_is_counted(site, harm, caplog):
    encoder = load_for_site(site, device="cpu")
    photo = wanted(site, encoder.source).photos[4]
    content = photo.path.read_bytes()
    photo.path.unlink() if harm == "gone" else photo.path.write_bytes(content[: len(content) // 2])
    counts = embed_site(site, encoder)
    assert (counts.images, counts.unreadable) == (11, 1) and str(photo.path) in caplog.text
    with pytest.raises(GenbaError, match=r"cannot be read any more.*genba relink"):
        image_vectors(site, encoder, [photo.image_id])
    photo.path.write_bytes(content)
    assert embed_site(site, encoder).images == 1, "it is back"


def test_no_model_is_loaded_for_photos_that_are_all_gone(site):
    source = source_for_site(site)
    embed_site(site, load_for_site(site, device="cpu"))
    photos = wanted(site, source).photos
    store = VectorStore.of(site, source)
    for shard in store.shards("images"):
        shard.unlink()
    shutil.rmtree(photos[0].path.parent)
    found = embed_wanted(store, refuse, wanted(site, source))
    assert found.counts.unreadable == 12 and len(found.images) == 0


@pytest.mark.parametrize(("value", "word"), [(float("nan"), "not a number"), (0.0, "zero")])
def test_useless_vectors_are_an_error_that_names_the_photo(site, value, word, monkeypatch):
    encoder = load_for_site(site, device="cpu")
    encode = encoder.encode_images

    def broken(batch):
        found = encode(batch)
        found[2] = value
        return found

    monkeypatch.setattr(encoder, "encode_images", broken)
    third = wanted(site, encoder.source).photos[2]
    with pytest.raises(GenbaError, match=rf"no usable vector for the photo '{third.uri}': it is {word}"):
        embed_site(site, encoder)
    assert VectorStore.of(site, encoder.source).manifest() is None


def test_useless_vectors_are_an_error_that_names_the_caption(site, monkeypatch):
    encoder = load_for_site(site, device="cpu")
    monkeypatch.setattr(encoder, "encode_texts", lambda texts: np.full((len(texts), 16), np.nan, np.float32))
    _, first = next(captions_of(site, wanted(site, encoder.source).captions))
    with pytest.raises(GenbaError, match=f"caption '{first}'"):
        embed_site(site, encoder)


def test_shards_are_written_while_it_runs_and_a_stopped_run_goes_on(site, monkeypatch):
    monkeypatch.setitem(decode.PHOTO_BATCH, "cpu", 4)
    monkeypatch.setattr(embed, "SHARD_SECONDS", 0.0)
    encoder = load_for_site(site, device="cpu")
    whole = embed_wanted(
        VectorStore.of(site, encoder.source), lambda: encoder, wanted(site, encoder.source)
    ).images
    shutil.rmtree(VectorStore.of(site, encoder.source).folder)

    class Stopped(Exception):
        pass

    def stop_after_two_batches(done: int, total: int | None, what: str) -> None:
        if done >= 8:
            raise Stopped

    with pytest.raises(Stopped):
        embed_site(site, encoder, stop_after_two_batches)
    counts = embed_site(site, encoder)
    assert (counts.images_known, counts.images) == (8, 4)
    assert np.array_equal(VectorStore.of(site, encoder.source).load("images").take(whole.ids), whole.array)


def test_captions_in_other_languages_are_left_out(site):
    english = replace(source_for_site(site), languages=("en",))
    found = wanted(site, english)
    assert len(found.captions) == 4 and len(found.photos) == 12
    assert len(wanted(site, source_for_site(site)).captions) == 6


def test_another_precision_embeds_anew(site):
    embed_site(site, load_for_site(site, device="cpu"))
    counts = embed_site(site, load_for_site(site, device="cpu", precision="bf16"))
    assert counts.discarded == 12 + len(CAPTIONS) and (counts.images, counts.images_known) == (12, 0)
