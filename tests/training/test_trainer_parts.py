"""The parts of the trainer by hand: order of photos, learning rate, losses, augmentation, settings."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from data.errors import GenbaError
from data.settings_retrain import RetrainSection
from training.augment import Draws, augmented
from training.loss import contrastive_loss
from training.plan import Plan, photo_order


def test_the_order_shows_every_photo_equally_often() -> None:
    order = photo_order(20, Plan(steps=10, batch=8, learning_rate=1, seed=0))
    assert order.shape == (10, 8)
    assert all(len(set(batch)) == 8 for batch in order.tolist())
    for first in range(0, 10, 2):  # two batches of 8 fit into 20 photos
        assert len(set(order[first : first + 2].flatten().tolist())) == 16
    assert photo_order(5, Plan(steps=3, batch=8, learning_rate=1, seed=0)).shape == (3, 5)


def test_the_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    plan = Plan(steps=100, batch=1, learning_rate=2.0, seed=0)
    rates = [plan.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == 2.0 == rates[10]
    assert rates[11:] == sorted(rates[11:], reverse=True)
    assert rates[99] < 0.001


def test_a_plan_is_what_the_settings_say() -> None:
    settings = RetrainSection(steps=7, batch=9, learning_rate=1e-4, warmup=0.2, weight_decay=0.3, layer_decay=0.7,
                              lock="text", ema=0.9, accumulate=3)  # fmt: skip
    assert Plan.of(settings, 4) == Plan(
        7, 9, 1e-4, 4, warmup=0.2, weight_decay=0.3, layer_decay=0.7, lock="text", ema=0.9, accumulate=3
    )
    plain = RetrainSection()
    assert Plan.of(plain, 0) == Plan(plain.steps, plain.batch, plain.learning_rate, 0)
    with pytest.raises(GenbaError, match=r"No lock 'both'\. Known: none, image, text"):
        Plan(1, 2, 1e-4, 0, lock="both")


def test_no_part_is_smaller_than_two_photos() -> None:
    plan = Plan(1, 128, 1e-4, 0, accumulate=5)
    assert (plan.parts(128), plan.parts(128, 2), plan.parts(7), plan.parts(2)) == (5, 10, 3, 1)
    with pytest.raises(
        GenbaError, match=r"A batch of 5 photos cannot be shared by 3 processes.*nproc-per-node"
    ):
        plan.parts(5, 3)


def test_equal_captions_are_no_negatives() -> None:
    """Two photos with the same caption: each caption column has both as its target, worked out by hand."""
    images = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    same = torch.tensor([4, 4, 7])
    one = torch.tensor(1.0)
    # rows: logits (1, 1, 0), target (1/2, 1/2, 0) twice; (0, 0, 1), target (0, 0, 1); columns are alike
    expected = (2 * math.log(2 * math.e + 1) - 2 + math.log(2 + math.e) - 1) / 3
    assert contrastive_loss(images, images, same, one).item() == pytest.approx(expected, rel=1e-6)
    different = contrastive_loss(images, images, torch.tensor([0, 1, 2]), one).item()
    assert different == pytest.approx(
        expected, rel=1e-6
    )  # at a tie sharing changes the target, not the value
    apart = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    assert contrastive_loss(apart, apart, same, 10 * one) != contrastive_loss(
        apart, apart, same[[0, 2, 1]], 10 * one
    )


def test_sigmoid_loss_by_hand() -> None:
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    loss = contrastive_loss(images, images, torch.tensor([0, 1]), torch.tensor(2.0), torch.tensor(-1.0))
    own, other = -math.log(1 / (1 + math.exp(-1))), -math.log(1 / (1 + math.exp(-1)))
    assert loss.item() == pytest.approx(own + other)
    shared = contrastive_loss(images, images, torch.tensor([3, 3]), torch.tensor(2.0), torch.tensor(-1.0))
    assert shared.item() == pytest.approx(own - math.log(1 / (1 + math.exp(1))))


def test_light_augmentation_never_mirrors() -> None:
    """A photo that is bright on the left stays bright on the left, and moves by no more than the reach."""
    batch = torch.zeros(64, 3, 40, 40, dtype=torch.uint8)
    batch[:, :, :, :10] = 200
    draws = Draws.of(np.random.default_rng(0), 64, 40, Plan(steps=1, batch=64, learning_rate=1, seed=0))
    made = augmented(batch, draws)
    assert made.shape == (64, 3, 40, 40)
    assert (made[:, :, :, :7].mean((1, 2, 3)) > made[:, :, :, 13:].mean((1, 2, 3)) + 50).all()
    assert made.min() >= 0 and made.max() <= 255
    assert len({round(float(one.mean()), 3) for one in made}) > 50
    assert batch.unique().tolist() == [0, 200]  # the photos themselves are left alone
    parts = [augmented(batch[where], draws.part(where)) for where in (slice(0, 20), slice(20, 64))]
    assert torch.equal(torch.cat(parts), made)
