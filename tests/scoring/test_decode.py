"""Photos come decoded in order, with the numbers of the encoder's own transform, whatever becomes of some of them."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import numpy as np
import PIL.Image
import pytest
import torch

from data.large_photos import open_plainly, write_large_copy
from data.photos import open_photo
from scoring import decode
from scoring.decode import ByteSteps, Photo, decoded_batches, encoded_batches
from scoring.encoders import load_encoder
from tests.data.makers import photo


@pytest.fixture
def encoder(tiny_encoder, monkeypatch):
    monkeypatch.setitem(decode.PHOTO_BATCH, "cpu", 4)
    return load_encoder(f"local-dir:{tiny_encoder}", device="cpu")


def photos(folder: Path, count: int) -> list[Photo]:
    return [Photo(str(n), f"{n}.png", photo(folder / f"{n}.png", seed=n + 1)) for n in range(count)]


@pytest.mark.parametrize("count", [0, 1, 4, 43])
def test_batches_come_in_order_with_the_transforms_own_numbers(encoder, tmp_path, count):
    """43 photos: the memory of the first batches is written several times over."""
    given = photos(tmp_path, count)
    seen, steps = [], ByteSteps.of(encoder)
    for batch in decoded_batches(encoder, iter(given)):
        assert batch.pixels.dtype == torch.uint8 and not batch.unreadable
        own = torch.stack([encoder.preprocess(open_photo(one.path)) for one in batch.photos])
        assert torch.equal(steps.applied(batch.pixels), own), "to the last bit"
        seen += batch.photos
    assert seen == given


def test_vectors_are_those_of_the_encoder(encoder, tmp_path):
    given = photos(tmp_path, 30)
    found = np.concatenate([vectors for _, vectors in encoded_batches(encoder, given)])
    own = encoder.encode_images(torch.stack([encoder.preprocess(open_photo(one.path)) for one in given]))
    assert np.allclose(found, own, atol=1e-6)


def test_unreadable_photos_are_told_and_the_others_stay_in_place(encoder, tmp_path):
    given = photos(tmp_path, 13)
    for number in (1, 5, 6, 12):
        given[number].path.write_bytes(b"no photo")
    for number in (8, 9, 10, 11):
        given[number].path.unlink()
    batches = list(encoded_batches(encoder, given))
    assert [one.image_id for batch, _ in batches for one in batch.photos] == ["0", "2", "3", "4", "7"]
    assert [one.image_id for batch, _ in batches for one in batch.unreadable] == [
        "1", "5", "6", "8", "9", "10", "11", "12",
    ]  # fmt: skip
    assert [len(batch) for batch, _ in batches] == [4, 4, 4, 1]
    whole = [given[number] for number in (0, 2, 3, 4, 7)]
    own = encoder.encode_images(torch.stack([encoder.preprocess(open_photo(one.path)) for one in whole]))
    assert np.allclose(np.concatenate([vectors for _, vectors in batches]), own, atol=1e-6)


def test_a_transform_of_another_kind_is_used_as_it_is(encoder, tmp_path):
    own = encoder.transform
    encoder.transform = lambda picture: own(picture) * 2
    assert ByteSteps.of(encoder) is None
    given = photos(tmp_path, 6)
    first = next(iter(decoded_batches(encoder, given)))
    assert torch.equal(first.pixels[2], own(open_photo(given[2].path)) * 2)
    found = np.concatenate([vectors for _, vectors in encoded_batches(encoder, given)])
    batch = torch.stack([encoder.preprocess(open_photo(one.path)) for one in given])
    assert np.allclose(found, encoder.encode_images(batch), atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_cores_share_the_batches_out(encoder, tmp_path, threads):
    """In order and with the same numbers, however many there are; the number of threads is put back."""
    torch.set_num_threads(threads)
    given = photos(tmp_path, 43)
    given[20].path.unlink()
    found = list(encoded_batches(encoder, given))
    assert [one.image_id for batch, _ in found for one in batch.photos] == [
        str(n) for n in range(43) if n != 20
    ]
    torch.set_num_threads(1)
    own = torch.stack([encoder.preprocess(open_photo(one.path)) for one in given if one is not given[20]])
    assert np.allclose(
        np.concatenate([vectors for _, vectors in found]), encoder.encode_images(own), atol=1e-6
    )


def test_the_number_of_threads_is_put_back(encoder, tmp_path):
    torch.set_num_threads(2)
    list(encoded_batches(encoder, photos(tmp_path, 9)))
    seen: list[int] = []
    other = Thread(target=lambda: seen.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert torch.get_num_threads() == 2 and seen == [2], "in threads made later too"


def test_an_encoder_in_training_is_put_back(encoder, tmp_path):
    encoder.model.train()
    modes = [encoder.model.training for _ in encoded_batches(encoder, photos(tmp_path, 9))]
    assert modes == [False, False, False] and encoder.model.training


def test_an_error_in_the_encoder_ends_the_run(encoder, tmp_path, monkeypatch):
    def broken(batch: torch.Tensor) -> np.ndarray:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(encoder, "encode_images", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(encoded_batches(encoder, photos(tmp_path, 9)))


@pytest.mark.parametrize(("side", "decoded"), [(192, (500, 375)), (376, (1000, 750)), (224, (500, 375))])
def test_a_large_photo_is_decoded_at_the_smallest_scale_that_is_enough(shared, tmp_path, side, decoded):
    source = shared / "data" / "inspection" / "images"
    path = tmp_path / "large.jpg"
    write_large_copy(sorted(source.iterdir())[0], path, seed=0)
    assert open_plainly(path).size == (4000, 3000) and 2e6 < path.stat().st_size < 6e6
    small = open_photo(path, shortest_side=side)
    assert small.size == decoded
    bicubic = PIL.Image.Resampling.BICUBIC
    full = np.asarray(open_plainly(path).resize((side, side), bicubic), dtype=float)
    scaled = np.asarray(small.resize((side, side), bicubic), dtype=float)
    assert abs(full - scaled).mean() < 2, "of 255: the same photo for all that an encoder sees"
