"""The trainer learns, treats every arm alike, goes on bit for bit, and says when it runs away."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from data.errors import GenbaError
from scoring.encoders import Encoder, load_encoder
from tests.training.conftest import draw_facts, draw_photo
from training.trainer import Plan, _read_length, augmented, contrastive_loss, fine_tune, photo_order

PLAN = Plan(steps=40, batch=16, learning_rate=3e-3, seed=1, save_every=7)
Lesson = tuple[np.ndarray, list[list[str]]]


def lesson(photos: int = 48, seed: int = 0) -> Lesson:
    rng = np.random.default_rng(seed)
    facts = [draw_facts(rng) for _ in range(photos)]
    pixels = np.stack([np.asarray(draw_photo(one, rng, 32)).transpose(2, 0, 1) for one in facts])
    return pixels, [[one.caption("en"), one.caption("ja")] for one in facts]


@pytest.fixture
def encoder(tiny_encoder: Path) -> Encoder:
    return load_encoder(f"local-dir:{tiny_encoder}", device="cpu")


def weights(encoder: Encoder) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in encoder.model.state_dict().items()}


def hits(encoder: Encoder, given: Lesson) -> float:
    """Share of photos whose own caption is the nearest one."""
    pixels, captions = given
    images = encoder.encode_images((torch.from_numpy(pixels).float() / 255 - 0.5) / 0.5)
    words = sorted({texts[0] for texts in captions})
    best = (images @ encoder.encode_texts(words).T).argmax(1)
    return float(np.mean([words[place] == texts[0] for place, texts in zip(best, captions, strict=True)]))


def test_it_learns_what_is_planted_and_it_holds_on_other_photos(encoder: Encoder) -> None:
    other = lesson(seed=5)
    before = hits(encoder, other)
    losses: list[float] = []
    plan = Plan(steps=80, batch=24, learning_rate=3e-3, seed=0)
    fine_tune(encoder, *lesson(96), plan, progress=lambda step, loss: losses.append(loss))
    assert len(losses) == 80
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.5
    assert before < 0.4
    assert hits(encoder, other) > 0.6
    assert not encoder.model.training


def test_equal_captions_give_equal_weights_and_other_seeds_do_not(tiny_encoder: Path) -> None:
    made = []
    for seed in (1, 1, 2):
        encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
        fine_tune(encoder, *lesson(), Plan(steps=5, batch=16, learning_rate=1e-3, seed=seed))
        made.append(weights(encoder))
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])
    assert not all(torch.equal(made[0][name], made[2][name]) for name in made[0])


def test_a_killed_training_goes_on_bit_for_bit(encoder: Encoder, tiny_encoder: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill_at_30(step: int, loss: float) -> None:
        if step == 30:
            raise Killed

    whole = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    loss = fine_tune(whole, *lesson(), PLAN)
    state = tmp_path / "state.pt"
    with pytest.raises(Killed):
        fine_tune(encoder, *lesson(), PLAN, state, kill_at_30)
    assert torch.load(state, weights_only=True)["step"] == 28
    assert not list(tmp_path.glob("*.tmp"))
    again = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    seen: list[int] = []
    assert fine_tune(again, *lesson(), PLAN, state, lambda step, loss: seen.append(step)) == loss
    assert seen[0] == 29
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(again)[name]), name


def test_a_state_of_another_training_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    pixels, captions = lesson()
    fine_tune(encoder, pixels, captions, PLAN, tmp_path / "state.pt")
    with pytest.raises(GenbaError, match="other settings or captions"):
        fine_tune(encoder, pixels, captions[::-1], PLAN, tmp_path / "state.pt")


def test_a_loss_that_is_no_number_stops_with_the_step(encoder: Encoder) -> None:
    with torch.no_grad():
        encoder.model.visual.proj.fill_(math.nan)
    with pytest.raises(
        GenbaError, match=r"loss is nan at step 1 of 40 \(seed 1.*lower retrain.learning_rate"
    ):
        fine_tune(encoder, *lesson(), PLAN)


def test_the_global_random_state_is_left_alone(encoder: Encoder) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    fine_tune(encoder, *lesson(), Plan(steps=2, batch=8, learning_rate=1e-4, seed=0))
    assert torch.equal(torch.rand(2), wanted)


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
    plan = Plan(steps=1, batch=64, learning_rate=1, seed=0)
    made = augmented(batch, np.random.default_rng(0), plan)
    assert made.shape == (64, 3, 40, 40)
    assert (made[:, :, :, :7].mean((1, 2, 3)) > made[:, :, :, 13:].mean((1, 2, 3)) + 50).all()
    assert made.min() >= 0 and made.max() <= 255
    assert len({round(float(one.mean()), 3) for one in made}) > 50
    again = augmented(batch, np.random.default_rng(0), plan)
    assert torch.equal(made, again)


def test_padding_that_is_never_looked_at_is_left_out() -> None:
    """The demo's text tower is causal: six of forty tokens give the same loss and the same weights."""
    captions = [["鋼製ボルト2本"], ["2 steel nuts"]] * 4
    pixels = np.random.default_rng(0).integers(0, 255, (8, 3, 96, 96)).astype(np.uint8)
    plan = Plan(steps=2, batch=8, learning_rate=1e-3, seed=0)
    made, losses = [], []
    for length in (None, 40):
        encoder = load_encoder("demo", device="cpu", demo_site=True)
        mask = encoder.model.text.attn_mask
        with pytest.MonkeyPatch.context() as patch:
            if length:
                patch.setattr("training.trainer._read_length", lambda model, tokens, length=length: length)
            losses.append(fine_tune(encoder, pixels, captions, plan))
        assert encoder.model.text.attn_mask is mask
        made.append(weights(encoder))
    tokens = load_encoder("demo", device="cpu", demo_site=True).tokenizer([text for (text,) in captions])
    assert _read_length(encoder.model, tokens) < 20
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for name, value in made[0].items():
        if value.is_floating_point():
            assert torch.allclose(value, made[1][name], atol=2e-3), name


def test_a_tower_that_looks_at_everything_sees_everything(encoder: Encoder) -> None:
    tokens = encoder.tokenizer(["a bolt"])
    assert _read_length(encoder.model, tokens) == tokens.shape[1]
