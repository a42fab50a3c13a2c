"""A folded or compiled image tower gives the same vectors, and leaves the encoder as it was."""

from __future__ import annotations

import shutil
from collections import OrderedDict

import numpy as np
import pytest
import torch

from scoring.decode import PHOTO_BATCH, Photo, encoded_batches
from scoring.encoders import load_encoder
from scoring.for_photos import for_photos


def photos(encoder, count: int) -> torch.Tensor:
    size = (count, 3, encoder.image_size, encoder.image_size)
    return torch.rand(size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def norms(model: torch.nn.Module) -> int:
    return sum(isinstance(one, torch.nn.BatchNorm2d) for one in model.modules())


def test_the_vectors_are_the_same_and_the_encoder_is_left_alone(small_encoder):
    encoder = load_encoder(f"local-dir:{small_encoder}", device="cpu")
    encoder.model.train()
    before = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    quick = for_photos(encoder)
    assert norms(encoder.model) == 52 and norms(quick.model) == 0
    assert np.allclose(
        quick.encode_images(photos(encoder, 4)), encoder.encode_images(photos(encoder, 4)), atol=2e-6
    )
    assert encoder.model.training and encoder.model.text.training
    assert all(torch.equal(value, before[name]) for name, value in encoder.model.state_dict().items())


def test_a_transformer_has_nothing_to_fold(tiny_encoder):
    encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    assert for_photos(encoder) is encoder


class Crossed(torch.nn.Module):
    """Its norm stands after a convolution, and is applied before it."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(
            OrderedDict(conv=torch.nn.Conv2d(3, 3, 1), bn=torch.nn.BatchNorm2d(3))
        )
        self.head = torch.nn.Linear(3 * side * side, 16)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.head(self.body.conv(self.body.bn(batch)).flatten(1))


def test_a_tower_that_would_give_other_vectors_is_not_folded(tiny_encoder, caplog):
    encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    torch.manual_seed(0)
    encoder.model.visual = Crossed(encoder.image_size)
    encoder.model.visual.body.bn.running_mean.fill_(0.7)
    assert for_photos(encoder) is encoder and "is not folded" in caplog.text


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler on a CPU")
def test_compiled_for_one_size_of_batch(tiny_encoder, tmp_path):
    from tests.data.makers import photo

    given = [
        Photo(str(n), f"{n}.png", photo(tmp_path / f"{n}.png", seed=n + 1))
        for n in range(PHOTO_BATCH["cpu"] + 3)
    ]
    plain = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    compiled = load_encoder(f"local-dir:{tiny_encoder}", device="cpu", compiled=True)
    found = [
        np.concatenate([vectors for _, vectors in encoded_batches(one, given)]) for one in (plain, compiled)
    ]
    assert found[1].shape == (len(given), 16) and np.allclose(*found, atol=1e-5)
    assert for_photos(compiled).model.visual is not compiled.model.visual
