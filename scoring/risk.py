"""One number in [0, 1] for each pair: how much speaks for a correction, before anybody has judged anything.

    found = label_free(signals, reference)     # Risk: risk (M,), misfit (M,), ranks and doubts by signal

Two steps. How badly the caption fits its photo is a rank among the site's captions of the same language, because a
cosine means something else for every encoder and language: the weighted mean of the ranks by MISFIT, ranked again
(`misfit`; uniform in [0, 1]). What the caption's words lack then raises it, each defect taking a share of the trust
that is left (a noisy-or). Items that even the best tenth of the site's captions lack say nothing of one of them:

    risk = 1 - (1 - misfit) product over doubts of (1 - doubt)

No threshold on a cosine, nothing fitted to a site. Weights and shares were chosen on benchmark photos: docs/LOG.md.
`reference` holds the signals of the counted pairs (scoring/pairs.py), so what is said of one pair does not change with
the pairs that are asked beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from scoring.signals import SIGNALS, Floats

VERSION = 3  # raise it when the same pairs get other signals or another risk: sites are then ranked anew

# Weight of each rank in the misfit. What other people wrote of the same photo says more than any encoder; where there
# is nothing of it, the encoder is heard, and what the site's own pairs say of such photos.
MISFIT = {"neg_clip_loss": 1.0, "site_fit": 1.0, "lemon_images": 0.5, "other_captions": 5.0}
DECIMALS = 6  # finer differences of a signal are the noise of arithmetic
USUAL = 0.1  # share of the captions, those that lack the fewest items
UNKNOWN_MISFIT = 0.5  # the encoder does not read the language: neither good nor bad
PER_MISSING_SLOT = 0.5
PER_VAGUE_WORD = 0.5
REUSE = 0.25
CONTRADICTION = 0.25
SHORTNESS = 0.3


@dataclass(frozen=True)
class Risk:
    """What the signals of M pairs of one language come to; every array is (M,)."""

    risk: Floats  # in [0, 1]
    misfit: Floats  # share of the captions that fit their photo better, in [0, 1]; NaN without vectors
    ranks: dict[str, Floats]  # by each signal that can be known: share of the captions that are better by it
    doubts: dict[str, Floats]  # what each defect of the words takes of the trust, in [0, 1]


def label_free(signals: Mapping[str, Floats], reference: Mapping[str, Floats]) -> Risk:
    """signals: (M,) each, see signals.compute_signals. reference: (R,) each, R >= 1.

    One pair alone, and pairs that all look the same, have the misfit 0.5.
    """
    ranks = {
        name: share_better(badness(name, signals[name]), badness(name, reference[name])) for name in SIGNALS
    }
    misfit = _misfit(ranks, reference)
    lacked = np.sort(reference["missing_slots"][~np.isnan(reference["missing_slots"])])
    usual = lacked[int(USUAL * len(lacked))] if len(lacked) else 0.0
    doubt: dict[str, Callable[[Floats], Floats]] = {
        "missing_slots": lambda n: 1 - (1 - PER_MISSING_SLOT) ** np.maximum(n - usual, 0),
        "vagueness": lambda n: 1 - (1 - PER_VAGUE_WORD) ** n,
        "caption_reuse": lambda n: (
            REUSE * np.minimum(np.log(n) / max(np.log(len(reference["cosine"])), 1.0), 1.0)
        ),
        "contradicting_slots": lambda odds: CONTRADICTION * (1 - np.exp(-odds)),
    }
    doubts = {name: np.nan_to_num(function(signals[name]), nan=0.0) for name, function in doubt.items()}
    doubts["length"] = SHORTNESS * np.nan_to_num(ranks["length"], nan=0.0)
    trust = 1 - np.nan_to_num(misfit, nan=UNKNOWN_MISFIT)
    for taken in doubts.values():
        trust = trust * (1 - taken)
    return Risk(np.clip(1 - trust, 0.0, 1.0), misfit, ranks, doubts)


def _misfit(ranks: Mapping[str, Floats], reference: Mapping[str, Floats]) -> Floats:
    """(M,) rank of the mean rank, pairs with and without other captions of the photo ranked apart."""
    of_reference = {
        name: share_better(badness(name, reference[name]), badness(name, reference[name])) for name in MISFIT
    }
    mean, reference_mean = _mean_rank(ranks), _mean_rank(of_reference)
    found = np.full(len(mean), np.nan)
    alone, reference_alone = np.isnan(ranks["other_captions"]), np.isnan(of_reference["other_captions"])
    for here, there in ((alone, reference_alone), (~alone, ~reference_alone)):
        with_others = reference_mean[there] if there.any() else reference_mean
        found[here] = share_better(mean[here], with_others)
    return found


def _mean_rank(ranks: Mapping[str, Floats]) -> Floats:
    """Weighted mean over the ranks that are known; NaN where none is."""
    total = np.zeros(len(ranks["site_fit"]))
    weights = np.zeros(len(total))
    for name, weight in MISFIT.items():
        known = ~np.isnan(ranks[name])
        total[known] += weight * ranks[name][known]
        weights[known] += weight
    return np.divide(total, weights, out=np.full(len(total), np.nan), where=weights > 0)


def share_better(values: Floats, reference: Floats) -> Floats:
    """(M,) share of the reference values that are lower; equal ones count half. NaN stays NaN.

    share_better([1, 2, 2, 3], the same) == [0.125, 0.5, 0.5, 0.875]
    """
    values = np.round(values, DECIMALS)
    ordered = np.sort(np.round(reference[~np.isnan(reference)], DECIMALS))
    if not len(ordered):
        return np.full(len(values), np.nan)
    order = np.argsort(values)  # looked up in their order, which reads memory in its order
    below = np.searchsorted(ordered, values[order], "left")
    up_to = np.searchsorted(ordered, values[order], "right")
    found = np.empty(len(values))
    found[order] = (below + up_to) / 2 / len(ordered)
    return np.where(np.isnan(values), np.nan, found)


def badness(name: str, values: Floats) -> Floats:
    """The signal, turned so that higher is worse."""
    return -values if SIGNALS[name].bad_when == "low" else values
