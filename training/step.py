"""The gradient of one batch, in as many parts as memory and processes ask for, always that of the whole batch's loss.

    work = Work(encoder, pixels, texts, names)
    loss = work.gradients(Batch.of(work, photos, plan, step), parts=4)       # () tensor; parameters have their .grad

A contrastive loss couples all photos of a batch, so its parts cannot simply be added up. Gradient caching (Gao et al.
2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup") does it exactly: features of all parts
without a graph, the loss and its gradient with respect to the features, then each part again with a graph, driven by
its rows of that gradient. It costs one more forward pass. Batch norm takes its statistics from each part.

A GPU is handed its work ahead and never asked for a number in between: the trainer waits for it once a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scoring.encoders import Encoder
from training import ranks
from training.augment import Draws, augmented
from training.loss import contrastive_loss
from training.pixels import normalised
from training.plan import Plan
from training.texts import Texts, encoded

if TYPE_CHECKING:
    import numpy as np
    import torch

SHOWN = 5  # photos or captions that a message names
TEXT_BATCH = 256


@dataclass(frozen=True)
class Batch:
    """photos: (B,) places in the work's pixels, and what is there: pixels, (B, 3, S, S) uint8, with the leader alone,
    pinned for a GPU. chosen: B places in the texts. seed: of dropout and the like."""

    photos: np.ndarray
    chosen: list[int]
    draws: Draws
    seed: int
    pixels: torch.Tensor | None

    @classmethod
    def of(cls, work: Work, photos: np.ndarray, plan: Plan, step: int) -> Batch:
        """All that a step draws at random: from the plan's seed and the step alone."""
        import numpy as np

        rng = np.random.default_rng([plan.seed, 2, step])
        seed = int(rng.integers(2**62))
        chosen = work.texts.chosen(photos, rng.random(len(photos)))
        draws = Draws.of(rng, len(photos), work.pixels.shape[-1], plan)
        return cls(photos, chosen, draws, seed, work.read(photos) if ranks.rank() == ranks.LEADER else None)


@dataclass(frozen=True)
class Work:
    """What the steps of a training work on. pixels: (n, 3, S, S) uint8, read by place. fixed_texts: (m, D) features of
    all captions when their tower is locked."""

    encoder: Encoder
    pixels: np.ndarray
    texts: Texts
    names: Sequence[str] | None = None  # of the photos, for messages
    fixed_texts: torch.Tensor | None = None

    def read(self, photos: np.ndarray) -> torch.Tensor:
        """(B, 3, S, S) uint8, in memory that a GPU can fetch from while the processor goes on."""
        import numpy as np
        import torch

        shape = (len(photos), *self.pixels.shape[1:])
        found = torch.empty(shape, dtype=torch.uint8, pin_memory=self.encoder.device == "cuda")
        np.take(self.pixels, photos, axis=0, out=found.numpy(), mode="clip")  # "raise" copies twice
        return found

    def gradients(self, batch: Batch, parts: int) -> torch.Tensor:
        """Set the gradients of the batch's loss, summed over all processes, and return the loss, a () tensor on the
        device. Neither need be a number: see `cause`.

        parts: a multiple of the number of processes.
        """
        import torch

        own, rows, features = self._own(batch, parts)
        is_cached = len(own) > 1
        with torch.no_grad() if is_cached else nullcontext(), statistics_kept(self.encoder.model, is_cached):
            made = [features(*one) for one in own]
        images, texts = _gathered(made, rows)
        model: Any = self.encoder.model
        same = torch.tensor(batch.chosen, device=images.device)
        bias = getattr(model, "logit_bias", None)
        loss = contrastive_loss(images, texts, same, model.logit_scale.exp(), bias)
        loss.backward()
        for parameter in _of_the_loss(model):
            if parameter.grad is not None:
                parameter.grad /= ranks.world()  # every process has the whole of it
        for number, (part, where) in enumerate(own):
            graph = features(part, where) if is_cached else made[number]
            _backward(graph, (images.grad, texts.grad), where)
        ranks.sum_gradients(model.parameters())
        return loss.detach()

    def _own(
        self, batch: Batch, parts: int
    ) -> tuple[list[tuple[int, slice]], list[int], Callable[[int, slice], tuple[torch.Tensor, torch.Tensor]]]:
        """(number, photos) of the parts of this process; how many photos each process has; what computes a part."""
        import numpy as np

        pieces = [
            slice(int(one[0]), int(one[-1]) + 1)
            for one in np.array_split(np.arange(len(batch.photos)), parts)
        ]
        rows = _rows(pieces)
        pixels = ranks.scattered(batch.pixels, rows, self.pixels.shape[1:])
        own = [(part, pieces[part]) for part in ranks.share(parts)]
        first = own[0][1].start

        def features(part: int, where: slice) -> tuple[torch.Tensor, torch.Tensor]:
            return self._features(batch, part, where, pixels[where.start - first : where.stop - first])

        return own, rows, features

    def _features(
        self, batch: Batch, part: int, where: slice, pixels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(b, D) of the photos and of the captions of a part, float32. The same part gives the same every time."""
        import numpy as np
        import torch

        model: Any = self.encoder.model
        torch.manual_seed(batch.seed + part)
        pixels = pixels.to(self.encoder.device, non_blocking=True)
        images = normalised(augmented(pixels, batch.draws.part(where)), self.encoder)
        # A caption of several photos is read once
        places, back = np.unique(batch.chosen[where], return_inverse=True)
        with autocast(self.encoder):
            image = model.encode_image(images)
            if self.fixed_texts is None:
                text = encoded(self.encoder, self.texts.tokens[places])
            else:
                text = self.fixed_texts[places]
        return image.float(), text.float()[back]

    def cause(self, batch: Batch, parts: int) -> str:
        """Which photos or captions of a batch have no usable features, when they are not all of them: for a message.

        Computes them anew. All processes have to ask.
        """
        import torch

        own, rows, features = self._own(batch, parts)
        with torch.no_grad(), statistics_kept(self.encoder.model):
            images, texts = _gathered([features(*one) for one in own], rows)
        for what, found in (("photo", images), ("caption of photo", texts)):
            broken = (~torch.isfinite(found.detach()).all(1)).nonzero().flatten().tolist()
            if 0 < len(broken) < len(found):
                return (
                    f", because the encoder gives no number for the {what} {self.named(batch.photos[broken])}"
                )
        return ""

    def named(self, photos: np.ndarray) -> str:
        """Photos for a message: their names, else their places; the first few."""
        shown = [self.names[photo] if self.names else str(photo) for photo in photos[:SHOWN].tolist()]
        more = len(photos) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")


def fixed_texts(encoder: Encoder, texts: Texts) -> torch.Tensor:
    """(m, D) features of all different captions by a text tower that is not trained: once is enough."""
    import torch

    with torch.no_grad(), autocast(encoder):
        parts = texts.tokens.split(TEXT_BATCH)
        return torch.cat([encoded(encoder, part).float() for part in parts])


def autocast(encoder: Encoder) -> AbstractContextManager[Any]:
    """bf16 on a GPU; the weights stay fp32."""
    import torch

    return torch.autocast("cuda", dtype=torch.bfloat16) if encoder.device == "cuda" else nullcontext()


@contextmanager
def statistics_kept(model: torch.nn.Module, is_on: bool = True) -> Iterator[None]:
    """Batch norm uses the statistics of its batch meanwhile and does not add them to its running ones."""
    from torch.nn.modules.batchnorm import _BatchNorm

    norms = [one for one in model.modules() if isinstance(one, _BatchNorm) and one.track_running_stats]
    changed = [one for one in norms if is_on and one.training]
    for one in changed:
        one.track_running_stats = False
    try:
        yield
    finally:
        for one in changed:
            one.track_running_stats = True


def _gathered(
    made: list[tuple[torch.Tensor, torch.Tensor]], rows: list[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of all photos and all captions of the batch, of every process, as leaves (B, D)."""
    import torch

    images, texts = (
        ranks.gathered(torch.cat([one[side].detach() for one in made]), rows).requires_grad_()
        for side in (0, 1)
    )
    return images, texts


def _rows(pieces: list[slice]) -> list[int]:
    """How many photos each process has, in order of rank."""
    each = len(pieces) // ranks.world()
    return [pieces[at + each - 1].stop - pieces[at].start for at in range(0, len(pieces), each)]


def _of_the_loss(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    found = [getattr(model, name, None) for name in ("logit_scale", "logit_bias")]
    return [one for one in found if one is not None]


def _backward(
    features: tuple[torch.Tensor, torch.Tensor], gradients: tuple[torch.Tensor | None, ...], where: slice
) -> None:
    """Go on from the features of a part, each with its rows of the gradient; a locked tower's have no graph."""
    import torch

    sides = [(one, rows[where]) for one, rows in zip(features, gradients, strict=True)
             if one.requires_grad and rows is not None]  # fmt: skip
    torch.autograd.backward([one for one, _ in sides], [rows for _, rows in sides])
