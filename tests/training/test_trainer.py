"""The trainer learns, treats every arm alike, mixes captions, ends on cancel, and says when it runs away."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.errors import GenbaError
from data.jobs import JobCancelled
from scoring.encoders import Encoder, load_encoder
from tests.training.encoders import Lesson, lesson, random_encoder, weights
from training.plan import Plan
from training.state import State
from training.texts import Texts, read_length
from training.trainer import fine_tune

PLAN = Plan(steps=40, batch=16, learning_rate=3e-3, seed=1, save_every=7)


@pytest.fixture
def encoder(tiny_encoder: Path) -> Encoder:
    return load_encoder(f"local-dir:{tiny_encoder}", device="cpu")


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


def test_the_mean_of_the_weights_is_what_is_kept(tiny_encoder: Path) -> None:
    """By hand: after each step the mean moves by 1 - min(decay, (1 + step) / (10 + step)) towards the weights."""
    given, name = lesson(), "visual.proj"
    seen: list[torch.Tensor] = []
    plain, meant = (load_encoder(f"local-dir:{tiny_encoder}", device="cpu") for _ in range(2))
    wanted = weights(plain)[name]
    plan = Plan(steps=6, batch=16, learning_rate=3e-3, seed=1)
    fine_tune(plain, *given, plan, progress=lambda step, loss: seen.append(weights(plain)[name]))
    fine_tune(meant, *given, Plan(steps=6, batch=16, learning_rate=3e-3, seed=1, ema=0.3))
    for step, now in enumerate(seen):
        kept = min(0.3, (1 + step) / (10 + step))
        wanted = kept * wanted + (1 - kept) * now
    assert torch.allclose(weights(meant)[name], wanted, atol=1e-6)
    assert not torch.allclose(weights(plain)[name], wanted, atol=1e-5)


def test_a_cancelled_training_ends_at_once_and_leaves_an_encoder_that_can_be_used(encoder: Encoder) -> None:
    def cancel(step: int, loss: float) -> None:
        if step == 3:
            raise JobCancelled

    with pytest.raises(JobCancelled):
        fine_tune(
            encoder,
            *lesson(),
            Plan(steps=40, batch=16, learning_rate=1e-3, seed=1, lock="image"),
            None,
            cancel,
        )
    assert not encoder.model.training
    assert all(parameter.requires_grad for parameter in encoder.model.parameters())


def test_captions_are_shown_by_their_weight(encoder: Encoder) -> None:
    captions, given = [["new", "新", "old"], ["right"]], [[4.0, 4.0, 2.0], [0.1]]
    texts = Texts.of(encoder, captions, given)
    first, second = np.zeros(1000, np.int64), np.ones(1000, np.int64)
    draws = np.arange(1000) / 1000
    assert np.bincount(texts.chosen(first, draws)).tolist() == [400, 400, 200]
    assert set(texts.chosen(second, draws)) == {3}
    even = Texts.of(encoder, captions)
    assert even.chosen(first[:4], np.array([0.0, 0.3, 0.4, 0.999])) == [0, 0, 1, 2]


def test_a_caption_of_no_weight_is_never_learned(tiny_encoder: Path) -> None:
    """Two captions of which only the second counts give what the second alone gives."""
    pixels, captions = lesson()
    made = []
    for texts, given in ((captions, [[0.0, 2.0]] * 48), ([[two] for _, two in captions], None)):
        encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
        fine_tune(encoder, pixels, texts, Plan(steps=4, batch=16, learning_rate=1e-3, seed=1), weights=given)
        made.append(weights(encoder))
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])


@pytest.mark.parametrize("given", [[[1.0]] * 48, [[1.0, -1.0]] * 48, [[0.0, 0.0]] * 48, [[1.0, 1.0]]])
def test_weights_that_do_not_fit_are_refused(encoder: Encoder, given: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="weights"):
        fine_tune(encoder, *lesson(), PLAN, weights=given)


def test_a_state_of_another_training_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    pixels, captions = lesson()
    fine_tune(encoder, pixels, captions, PLAN, tmp_path / "it.state")
    for other in ({"captions": captions[::-1]}, {"captions": captions, "weights": [[0.1, 0.9]] * 48}):
        with pytest.raises(GenbaError, match="other settings or captions"):
            fine_tune(encoder, pixels, plan=PLAN, state_file=tmp_path / "it.state", **other)  # type: ignore[arg-type]


def test_a_loss_that_is_no_number_names_step_and_photos(encoder: Encoder) -> None:
    with torch.no_grad():
        encoder.model.visual.proj.fill_(math.nan)  # type: ignore[operator, union-attr]
    names = [f"photo-{number}" for number in range(48)]
    with pytest.raises(
        GenbaError,
        match=r"loss is nan, at step 1 of 40 \(seed 1.*run away. Photos of the batch: (photo-\d+, ){4}photo-\d+ and "
        r"11 more.*lower retrain.learning_rate",
    ):
        fine_tune(encoder, *lesson(), PLAN, names=names)


def test_a_photo_that_gives_no_number_is_named_and_the_saved_state_stays(
    encoder: Encoder, tmp_path: Path
) -> None:
    """One weight becomes NaN where one photo alone passes; what was saved before goes on when it is mended."""
    pixels, captions = lesson()
    path = tmp_path / "it.state"

    class Broken(Exception):
        pass

    def stop(step: int, loss: float) -> None:
        if step == 9:
            raise Broken

    with pytest.raises(Broken):
        fine_tune(encoder, pixels, captions, PLAN, path, stop)
    saved = path.read_bytes()
    visual = encoder.model.visual
    target = pixels.shape[0] - 1
    real = visual.forward  # type: ignore[union-attr]
    pixels = pixels.copy()
    pixels[:] = 90
    pixels[target] = 255  # told from all others by its brightness

    def poisoned(batch: torch.Tensor) -> torch.Tensor:
        found = real(batch)
        return torch.where((batch.mean((1, 2, 3)) > 0.5)[:, None], torch.full_like(found, math.nan), found)

    visual.forward = poisoned  # type: ignore[union-attr, method-assign]
    with pytest.raises(
        GenbaError,
        match=rf"loss is nan, because the encoder gives no number for the photo {target}, at step \d+ of 40.*"
        r"The state after step 7 is kept in .*it.state",
    ):
        fine_tune(encoder, pixels, captions, PLAN, path)
    assert path.read_bytes() == saved
    assert State(path, "").step() == 7


def test_a_gradient_that_is_no_number_touches_no_weight(encoder: Encoder) -> None:
    before = weights(encoder)
    parameter = encoder.model.visual.proj  # type: ignore[union-attr]
    hook = parameter.register_hook(lambda gradient: gradient * math.inf)  # type: ignore[operator, union-attr]
    with pytest.raises(GenbaError, match=r"The gradient is (nan|inf) \(the loss [\d.]+\), at step 1 of 40"):
        fine_tune(encoder, *lesson(), PLAN)
    hook.remove()
    assert all(torch.equal(value, before[name]) for name, value in weights(encoder).items())


def test_one_caption_for_all_is_refused(encoder: Encoder) -> None:
    with pytest.raises(
        GenbaError, match=r"All 48 training photos carry the same caption 'a bolt': there is nothing"
    ):
        fine_tune(encoder, lesson()[0], [["a bolt"]] * 48, PLAN)


def test_photos_without_a_caption_and_too_few_photos_are_refused(encoder: Encoder) -> None:
    pixels, captions = lesson()
    with pytest.raises(GenbaError, match="The training photo at place 3 has no caption"):
        fine_tune(encoder, pixels, [*captions[:3], [], *captions[4:]], PLAN)
    with pytest.raises(GenbaError, match="at least 2 photos; there are 1"):
        fine_tune(encoder, pixels[:1], captions[:1], PLAN)
    with pytest.raises(ValueError, match="47 photos, but captions of 48"):
        fine_tune(encoder, pixels[:47], captions, PLAN)


def test_a_batch_larger_than_the_photos_takes_them_all(encoder: Encoder) -> None:
    """And is cut into parts of two photos at least, each shown twice: for the loss, and for its gradient."""
    seen: list[int] = []
    encoder.model.visual.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))  # type: ignore[operator, union-attr]
    fine_tune(encoder, *lesson(12), Plan(steps=3, batch=500, learning_rate=1e-3, seed=0, accumulate=64))
    assert seen == [2] * 6 * 2 * 3


def test_the_global_random_state_is_left_alone(encoder: Encoder) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    fine_tune(encoder, *lesson(), Plan(steps=2, batch=8, learning_rate=1e-4, seed=0))
    assert torch.equal(torch.rand(2), wanted)


@pytest.mark.parametrize("layout", ["of its own", "beside the image tower"])
def test_padding_that_is_never_looked_at_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, layout: str
) -> None:
    """A causal text tower, as the demo has it and as open_clip's first class does: fewer columns, the same loss and the
    same weights."""
    captions = [["a steel bolt"], ["the brass nut on"]] * 4
    plan = Plan(steps=2, batch=8, learning_rate=1e-3, seed=0)
    first = random_encoder(tmp_path / "first", custom_text=False).id
    made, losses, seen = [], [], []
    for cut in (True, False):
        if layout == "of its own":
            encoder = load_encoder("demo", device="cpu", demo_site=True)
            tower: Any = encoder.model.text
        else:
            encoder = load_encoder(first, device="cpu")
            tower = encoder.model
        side = encoder.image_size
        pixels = np.random.default_rng(0).integers(0, 255, (8, 3, side, side)).astype(np.uint8)
        mask = tower.attn_mask
        tower.token_embedding.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
        if not cut:
            monkeypatch.setattr("training.texts.read_length", lambda model, tokens: tokens.shape[1])
        losses.append(fine_tune(encoder, pixels, captions, plan))
        assert tower.attn_mask is mask
        made.append(weights(encoder))
    assert max(seen[:2]) <= seen[2] / 2 and seen[2] == seen[3] == encoder.context_length
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for name, value in made[0].items():
        if value.is_floating_point():
            assert torch.allclose(value, made[1][name], atol=2e-3), name


def test_a_tower_that_looks_at_everything_sees_everything(encoder: Encoder) -> None:
    tokens = encoder.tokenizer(["a bolt"])
    assert read_length(encoder.model, tokens) == tokens.shape[1]
