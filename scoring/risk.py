"""One number in [0, 1] for each pair: how much speaks for a correction, before anybody has judged anything.

    found = label_free(compute_signals(pairs), pairs.counted)     # Risk: risk (N,), misfit (N,), doubts by signal

Two steps. How badly the caption fits its photo is a rank, because a cosine means something else for every encoder and
language: the mean of the ranks by cosine and by neg_clip_loss, ranked again among the captions of the same language
(`misfit`; uniform in [0, 1]). What the caption's words lack then raises it, each defect taking a share of the trust
that is left (a noisy-or):

    risk = 1 - (1 - misfit) (1 - doubt(missing_slots)) (1 - doubt(vagueness)) (1 - doubt(caption_reuse))

No threshold on a cosine, nothing fitted to a site. The shares were chosen on benchmark photos: docs/LOG.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.signals import SIGNALS, Floats

VERSION = 1  # raise it when the same signals give another risk: sites are then ranked anew
MISFIT = ("cosine", "neg_clip_loss")
DECIMALS = 6  # finer differences of a signal are the noise of arithmetic
UNKNOWN_MISFIT = 0.5  # the encoder does not read the language: neither good nor bad
PER_MISSING_SLOT = 0.5
PER_VAGUE_WORD = 0.5
REUSE = 0.25


@dataclass(frozen=True)
class Risk:
    """What the signals of N pairs of one language come to; every array is (N,)."""

    risk: Floats  # in [0, 1]
    misfit: Floats  # share of the captions that fit their photo better, in [0, 1]; NaN without vectors
    ranks: dict[str, Floats]  # the same by each signal of MISFIT alone
    doubts: dict[str, Floats]  # what each other signal takes of the trust, in [0, 1]


def label_free(signals: Mapping[str, Floats], counted: NDArray[np.bool_]) -> Risk:
    """signals: see signals.compute_signals. counted: (N,) the pairs among which ranks are taken (at least one is True).

    One pair alone, and pairs that all look the same, have the misfit 0.5.
    """
    ranks = {name: share_better(_badness(name, signals[name]), counted) for name in MISFIT}
    misfit = share_better(np.mean(list(ranks.values()), axis=0), counted)
    photos = float(counted.sum())
    doubt: dict[str, Callable[[Floats], Floats]] = {
        "missing_slots": lambda n: 1 - (1 - PER_MISSING_SLOT) ** n,
        "vagueness": lambda n: 1 - (1 - PER_VAGUE_WORD) ** n,
        "caption_reuse": lambda n: REUSE * np.minimum(np.log(n) / max(np.log(photos), 1.0), 1.0),
    }
    doubts = {name: np.nan_to_num(function(signals[name]), nan=0.0) for name, function in doubt.items()}
    trust = 1 - np.nan_to_num(misfit, nan=UNKNOWN_MISFIT)
    for taken in doubts.values():
        trust = trust * (1 - taken)
    return Risk(np.clip(1 - trust, 0.0, 1.0), misfit, ranks, doubts)


def share_better(badness: Floats, counted: NDArray[np.bool_]) -> Floats:
    """(N,) share of the counted values that are lower; equal ones count half. NaN stays NaN.

    share_better([1, 2, 2, 3], all) == [0.125, 0.5, 0.5, 0.875]
    """
    values = np.round(badness, DECIMALS)
    ordered = np.sort(values[counted & ~np.isnan(values)])
    if not len(ordered):
        return np.full(len(values), np.nan)
    below, up_to = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return np.where(np.isnan(values), np.nan, (below + up_to) / 2 / len(ordered))


def _badness(name: str, values: Floats) -> Floats:
    return -values if SIGNALS[name].bad_when == "low" else values
