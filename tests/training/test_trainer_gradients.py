"""The gradient of a batch is the same however it is computed: at once, in parts, by the plain formula."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from scoring.encoders import Encoder
from tests.training.encoders import SIGLIP, first_batch, gradients, lesson, random_encoder, weights
from training.augment import augmented
from training.loss import contrastive_loss
from training.pixels import normalised
from training.plan import Plan
from training.trainer import fine_tune

PLAN = Plan(steps=1, batch=16, learning_rate=1e-3, seed=0)
Make = Callable[..., Encoder]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(vision: str = "vit", text: str = "causal", **top: Any) -> Encoder:
        return random_encoder(tmp_path / "encoder", vision, text, **top)

    return made


def of_the_plain_formula(encoder: Encoder, parts: int = 1) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss and its gradients in one graph; the towers see the batch in `parts`, as batch norm then does."""
    model: Any = encoder.model
    _, batch = first_batch(encoder, lesson(24), 16, PLAN)
    model.zero_grad()
    pixels = augmented(batch.pixels, batch.draws)
    size = 16 // parts
    images = torch.cat([model.encode_image(one) for one in normalised(pixels, encoder).split(size)])
    words = list(dict.fromkeys(text for texts in lesson(24)[1] for text in texts))
    tokens = encoder.tokenizer([words[place] for place in batch.chosen])
    texts = torch.cat([model.encode_text(one) for one in tokens.split(size)])
    same = torch.tensor(batch.chosen)
    loss = contrastive_loss(images, texts, same, model.logit_scale.exp(), getattr(model, "logit_bias", None))
    loss.backward()
    return float(loss.detach()), gradients(encoder)


def of_the_trainer(encoder: Encoder, parts: int) -> tuple[float, dict[str, torch.Tensor]]:
    work, batch = first_batch(encoder, lesson(24), 16, PLAN)
    encoder.model.zero_grad()
    return float(work.gradients(batch, parts)), gradients(encoder)


def assert_close(
    one: tuple[float, dict[str, torch.Tensor]], two: tuple[float, dict[str, torch.Tensor]]
) -> None:
    assert one[0] == pytest.approx(two[0], rel=1e-5)
    assert one[1].keys() == two[1].keys() and len(one[1]) > 10
    largest = max(float(gradient.abs().max()) for gradient in one[1].values())
    for name, gradient in one[1].items():
        assert torch.allclose(gradient, two[1][name], rtol=1e-3, atol=1e-6 * largest), name


@pytest.mark.parametrize("top", [{}, SIGLIP], ids=["clip", "siglip"])
@pytest.mark.parametrize("text", ["causal", "bert"])
def test_parts_give_the_gradient_of_the_whole_batch(make: Make, text: str, top: dict[str, float]) -> None:
    encoder = make("vit", text, **top)
    plain = of_the_plain_formula(encoder)
    assert ("logit_bias" in plain[1]) == bool(top)
    for parts in (1, 2, 5):
        assert_close(of_the_trainer(encoder, parts), plain)


@pytest.mark.parametrize("vision", ["resnet", "mobile"])
def test_batch_norm_takes_its_statistics_from_each_part_once(make: Make, vision: str) -> None:
    encoder = make(vision)
    assert_close(of_the_trainer(encoder, 4), of_the_plain_formula(encoder))  # evaluation mode: no statistics
    before = weights(encoder)
    encoder.model.train()
    plain = of_the_plain_formula(encoder, 4)
    wanted = weights(encoder)
    encoder.model.load_state_dict(before)
    assert_close(of_the_trainer(encoder, 4), plain)
    for name, value in weights(encoder).items():
        assert torch.allclose(value.float(), wanted[name].float(), rtol=1e-4, atol=1e-6), name
    assert not torch.equal(wanted["visual." + bn_of(vision)], before["visual." + bn_of(vision)])


def bn_of(vision: str) -> str:
    return {"resnet": "bn1.running_mean", "mobile": "trunk.bn1.running_mean"}[vision]


def test_dropout_is_the_same_in_both_passes(make: Make) -> None:
    """With patches and words dropped, a second pass that drew others would give another gradient."""
    encoder = make("vit-dropout", "bert")
    encoder.model.train()
    one, two = of_the_trainer(encoder, 4), of_the_trainer(encoder, 4)
    assert one[0] == two[0]
    assert all(torch.equal(value, two[1][name]) for name, value in one[1].items())
    model: Any = encoder.model
    work, batch = first_batch(encoder, lesson(24), 16, PLAN)
    pixels = batch.pixels.split(4)
    made = [work._features(batch, part, slice(4 * part, 4 * part + 4), pixels[part]) for part in range(4)]
    images, texts = (torch.cat([pair[side] for pair in made]) for side in (0, 1))
    model.zero_grad()
    contrastive_loss(images, texts, torch.tensor(batch.chosen), model.logit_scale.exp()).backward()
    assert_close(one, (one[0], gradients(encoder)))


def test_parts_hold_less_in_memory(make: Make) -> None:
    """Bytes that graphs keep at once: with eight parts below a third of the batch at once."""
    encoder = make("vit")
    held = []
    for parts in (1, 8):
        with kept_bytes() as most:
            of_the_trainer(encoder, parts)
        held.append(most[0])
    assert held[1] < held[0] / 3


@contextmanager
def kept_bytes() -> Iterator[list[int]]:
    now, most = [0], [0]

    class Kept:
        def __init__(self, tensor: torch.Tensor) -> None:
            self.tensor = tensor
            now[0] += tensor.numel() * tensor.element_size()
            most[0] = max(most[0], now[0])

        def __del__(self) -> None:
            now[0] -= self.tensor.numel() * self.tensor.element_size()

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        yield most


def test_a_training_in_parts_ends_where_one_at_once_does(tmp_path: Path) -> None:
    made = []
    for accumulate in (1, 3):
        encoder = random_encoder(tmp_path / f"of-{accumulate}")
        plan = Plan(steps=5, batch=18, learning_rate=1e-3, seed=0, accumulate=accumulate)
        fine_tune(encoder, *lesson(), plan)
        made.append(weights(encoder))
    for name, value in made[0].items():
        assert torch.allclose(value, made[1][name], atol=1e-4), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: bf16 is used there alone")
def test_bf16_on_a_gpu_gives_about_the_gradient_of_fp32(make: Make) -> None:
    from dataclasses import replace

    encoder = make("vit")
    exact = of_the_trainer(encoder, 1)[1]
    on_gpu = replace(encoder, model=encoder.model.to("cuda"), device="cuda")
    rounded = of_the_trainer(on_gpu, 2)[1]
    for name, value in exact.items():
        cosine = torch.nn.functional.cosine_similarity(value.flatten(), rounded[name].cpu().flatten(), dim=0)
        assert rounded[name].dtype == torch.float32 and cosine > 0.98, name
