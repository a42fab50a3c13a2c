"""The contrastive loss: CLIP's (Radford et al. 2021), or SigLIP's where the model has a bias (Zhai et al. 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def contrastive_loss(
    images: torch.Tensor,
    texts: torch.Tensor,
    same: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """Scalar loss of B pairs. images, texts: (B, D), any length; same: (B,) numbers, equal where captions are equal.

    scale: the factor of the cosines. With a bias SigLIP's sigmoid loss, else CLIP's softmax loss both ways. Captions
    that are the same stand for the same target and are never each other's negatives: field captions repeat themselves.
    """
    from torch.nn import functional

    images, texts = functional.normalize(images, dim=-1), functional.normalize(texts, dim=-1)
    logits = scale * images @ texts.T  # (B photos, B captions)
    equal = (same[:, None] == same[None]).to(logits)
    if bias is not None:
        return -functional.logsigmoid((2 * equal - 1) * (logits + bias)).sum() / len(logits)
    target = equal / equal.sum(1, keepdim=True)
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
