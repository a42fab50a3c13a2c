"""Weighs opinions on a slot: what the photo says in several ways, and what the old caption says.

    share = weigh([by_words, by_site], said, truth)        # (n, K) rows that sum to 1

Each answer k of a case gets the score  sum_j w_j log p_j(k) + v [the old caption says k],  and the scores become shares
by a softmax: a conditional logit (McFadden 1974). One opinion alone and v = 0 would be temperature scaling (Guo et al.
2017, arXiv 1706.04599). The few weights of a slot are learned from the cases that people have answered. With fewer than
FEWEST of them the opinions count equally, and the old caption as one that is right in BELIEVED of its statements: most
captions of a site are right, and a draft that ignored them would replace right answers by guesses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from annotate.draft_view import Floats, Ints

FEWEST = 30  # answered cases
BELIEVED = 0.8  # of an old caption's statements, before people have answered
LEAST = 1e-3  # the share that an answer gets at least from each opinion
PENALTY = 0.01  # on the squared weights, for each answered case


def weigh(opinions: Sequence[Floats], said: Ints, truth: Ints) -> Floats:
    """opinions: (n, K) each, rows that sum to 1. said, truth: (n,) an answer's place, -1 = none, or none of these."""
    features = np.stack([np.log(np.maximum(one, LEAST)) for one in opinions], axis=2)  # (n, K, J)
    stated = np.arange(features.shape[1]) == said[:, None]
    features = np.concatenate([features, stated[:, :, None]], axis=2)
    answered = truth >= 0
    belief = np.log(BELIEVED / (1 - BELIEVED) * (features.shape[1] - 1))
    even = np.r_[np.full(len(opinions), 1 / len(opinions)), belief]
    weights = even if answered.sum() < FEWEST else _learned(features[answered], truth[answered], even)
    return softmax(features @ weights)


def _learned(features: Floats, truth: Ints, start: Floats) -> Floats:
    """(J,) the most likely weights, drawn a little towards the even ones."""
    from scipy.optimize import minimize

    rows = np.arange(len(truth))

    def loss(weights: Floats) -> tuple[float, Floats]:
        share = softmax(features @ weights)
        own = features[rows, truth] - np.einsum("nk,nkj->nj", share, features)
        away = weights - start
        log_likelihood = np.log(np.maximum(share[rows, truth], 1e-12)).mean()
        return float(PENALTY * away @ away - log_likelihood), 2 * PENALTY * away - own.mean(axis=0)

    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B").x, dtype=np.float64)


def softmax(logits: Floats) -> Floats:
    """(n, K) rows that sum to 1."""
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(share / share.sum(axis=1, keepdims=True), dtype=np.float64)
