"""The captions of a training: each different one tokenised once, and which of a photo's captions a step shows.

texts = Texts.of(encoder, [["a bolt", "ボルト"], ["a nut"]], weights=[[0.8, 0.2], [1.0]])
texts.chosen(np.array([1, 0]), np.array([0.3, 0.9]))      # [2, 1]: "a nut" and "ボルト"
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from scoring.encoders import Encoder
from training.plan import FEWEST_PHOTOS

if TYPE_CHECKING:
    import numpy as np
    import torch

Captions = Sequence[Sequence[str]]
Weights = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Texts:
    """tokens: (m, L), of the m different captions. ids[photo]: the places of its captions there. shares[photo]: (its
    captions,) the chance that it is one of the first so many, the last one 1."""

    tokens: torch.Tensor
    ids: list[list[int]]
    shares: list[np.ndarray]

    @classmethod
    def of(cls, encoder: Encoder, captions: Captions, weights: Weights | None = None) -> Texts:
        """captions: n lists of one or more; weights: the chance of each, of any sum; None: all alike.

        Raises GenbaError for captions that nothing can be learned from, and for weights that do not fit them.
        """
        require_something_to_learn(captions)
        place: dict[str, int] = {}
        ids = [[place.setdefault(text, len(place)) for text in texts] for texts in captions]
        return cls(encoder.tokenizer(list(place)), ids, _shares(captions, weights))

    def chosen(self, photos: np.ndarray, draws: np.ndarray) -> list[int]:
        """(B,) photo numbers, (B,) draws in [0, 1) -> the place of a caption of each. The same draw takes the same
        share of a photo's captions in every arm."""
        return [
            self.ids[photo][int(self.shares[photo].searchsorted(draw, side="right"))]
            for photo, draw in zip(photos.tolist(), draws.tolist(), strict=True)
        ]


def require_something_to_learn(captions: Captions) -> None:
    """Raises GenbaError: too few photos, a photo without a caption, one caption for all."""
    if len(captions) < FEWEST_PHOTOS:
        raise GenbaError(f"A training takes at least {FEWEST_PHOTOS} photos; there are {len(captions)}.",
                         next="genba ingest SITE SOURCE")  # fmt: skip
    bare = next((photo for photo, texts in enumerate(captions) if not texts), None)
    if bare is not None:
        raise GenbaError(
            f"The training photo at place {bare} has no caption.", next="genba queue SITE --top 20"
        )
    different = {text for texts in captions for text in texts}
    if len(different) == 1:
        raise GenbaError(
            f"All {len(captions)} training photos carry the same caption {different.pop()!r}: there is nothing to tell "
            "apart.",
            next="genba queue SITE --top 20",
        )


def _shares(captions: Captions, weights: Weights | None) -> list[np.ndarray]:
    import numpy as np

    if weights is None:
        even = {n: np.arange(1, n + 1) / n for n in {len(texts) for texts in captions}}
        return [even[len(texts)] for texts in captions]
    if [len(one) for one in weights] != [len(texts) for texts in captions]:
        raise ValueError("weights: one number for each caption of each photo")
    sums = [np.cumsum(one, dtype=np.float64) for one in weights]
    for photo, (one, total) in enumerate(zip(weights, sums, strict=True)):
        if not (np.all(np.asarray(one) >= 0) and 0 < total[-1] < np.inf):
            raise ValueError(f"weights[{photo}] = {list(one)}: none below 0, and a sum above 0")
    return [total / total[-1] for total in sums]


def read_length(model: Any, tokens: torch.Tensor) -> int:
    """How many of the columns of `tokens` (m, L) the text tower has to see.

    A causal tower that reads its answer at the end token never looks at the padding behind it: left out, short captions
    take half the time or less. Every other tower sees all.
    """
    tower, prefix = _causal_tower(model)
    ends = {
        "argmax": lambda: tokens.argmax(1),
        "eos": lambda: (tokens == getattr(tower, f"{prefix}eos_id")).int().argmax(1),
    }
    pool = getattr(tower, f"{prefix}pool_type", None)
    if tower is None or pool not in ends:
        return tokens.shape[1]
    return int(ends[pool]().max()) + 1


def _causal_tower(model: Any) -> tuple[Any, str]:
    """The module that holds a causal text tower's mask, and how the names of its settings begin; (None, "") where it
    looks at padding. open_clip's first class keeps the tower's parts itself, its later one under `text`."""
    tower, prefix = (model.text, "") if hasattr(model, "text") else (model, "text_")
    is_causal = getattr(tower, "attn_mask", None) is not None and getattr(tower, "cls_emb", None) is None
    return (tower, prefix) if is_causal and not getattr(tower, "use_pad_mask", False) else (None, "")


def encoded(encoder: Encoder, tokens: torch.Tensor) -> torch.Tensor:
    """(b, L) tokens, on the processor -> (b, D) features on the encoder's device. The longest caption sets how many
    columns are read: it is looked for before they are on a GPU, which would have to be waited for."""
    from torch.func import functional_call

    model: Any = encoder.model
    length = read_length(model, tokens)
    read = tokens[:, :length].to(encoder.device)
    found: torch.Tensor
    if length == tokens.shape[1]:
        found = model.encode_text(read)
        return found
    tower, _ = _causal_tower(model)
    shorter = {"attn_mask": tower.attn_mask[:length, :length]}
    if tower is not model:
        found = functional_call(tower, shorter, (read,))
        return found
    shorter["positional_embedding"] = model.positional_embedding[:length]
    made = functional_call(model, shorter, kwargs={"text": read})
    found = made["text_features"] if isinstance(made, dict) else made[1]
    return found
