"""How masks and depth are predicted: what a person may set in genba.toml's [retrain]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data.settings_retrain import RetrainSection

PROBE, FINE_TUNE = "probe", "finetune"


@dataclass(frozen=True)
class DensePlan:
    """way: PROBE (one matrix on frozen features) or FINE_TUNE (all weights, under a decoder: training/decoder.py).

    size: side of the square that photos and labels are brought to; 0 is the encoder's own. blocks: the image tower's
    maps that are used, counted from 0; empty: chosen by `dense_features.choose_maps`. depth_max_m: deeper pixels are
    not measured, predictions are cut there (NYUv2 counts up to 10 m). is_flipped: predict each test photo and its
    mirror image, take the mean. steps: of a fine-tuning. most_train, most_test: labelled photos that teach, and
    that are measured on (fixed samples); 0: all.
    """

    way: str = PROBE
    size: int = 0
    blocks: tuple[int, ...] = ()
    depth_max_m: float = 10.0
    is_flipped: bool = False
    steps: int = 200
    batch: int = 16
    learning_rate: float = 1e-4  # of the tower; the decoder's is `decoder.FASTER` times it
    seed: int = 0
    most_train: int = 0
    most_test: int = 300

    @classmethod
    def of(cls, settings: RetrainSection) -> DensePlan:
        """What genba.toml asks for."""
        return cls(settings.dense, settings.dense_size, tuple(settings.dense_blocks), settings.depth_max_m,
                   settings.dense_flip_test, settings.dense_steps, most_train=settings.dense_train_photos,
                   most_test=settings.dense_test_photos)  # fmt: skip
