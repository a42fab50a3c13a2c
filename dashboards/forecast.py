"""What the next corrections are expected to find and to cost, from the site's own history: diminishing returns.

    curve = fit(needed)                        # needed: (N,) bool, oldest first: did the n-th answer find a bad one?
    ahead = look_ahead(curve, 500, times, …)   # Ahead: bad captions, yen, each with an interval
    steps(blocks(needed), curve, ahead)        # the same as rows: so far, then ahead

So far: the chance that the n-th answer to the queue found a bad caption, logit p(n) = a - k n with k >= 0, by maximum
likelihood (McCullagh and Nelder 1989, section 4.4); its two estimates vary, the more so where blocks of 25 answers vary
more than coin tosses do. Ahead: the queue is ranked, and anew after each fit of the risk, so its next answers hold what
their risks add up to, not what the last ones held. So the next hundred follow the word of annotate/stopping.py, h
bad ones (their risks, times what the last hundred held for each unit of risk), and the chance falls from there as the L
bad captions that the audit says are left (annotate/estimate.py) are used up: p exp(-m p / L) after m more, which adds
up to L (exponential depletion; Goel and Okumoto 1979), with the p that gives h. No chance exceeds one: where p would,
the first s answers are sure finds, and exp(-(m - s) / (L - s)) follows. Before the risks are probabilities, p is where
the history stands. Its interval: of the level (as the fit to the history has it), of L, and of chance. The time for a
caption is that of annotate/seconds.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotate.estimate import Estimate
from annotate.seconds import Seconds
from dashboards.figures import Missing
from dashboards.roi import RESAMPLES, Span, span
from data.site import Site

if TYPE_CHECKING:
    import numpy as np

NEXT = 500  # corrections
FEWEST = 100  # answers to the queue before a curve is fitted
BLOCK = 25  # answers: a point of the chart
MOST_BLOCKS = 80  # two thousand points say no more, and hide the curve
ITERATIONS = 50
TINY = 1e-9

# Blind audit captions are no part of it: they are drawn, not found.
HISTORY_SQL = """
SELECT l.needs_correction AS needed
FROM labels l JOIN corrections c ON c.correction_id = l.correction_id
WHERE l.source = 'queue' AND (NOT c.simulated OR $with_simulated)
ORDER BY l.labelled_at, l.pair_id
"""


@dataclass(frozen=True)
class Curve:
    """logit p(n) = level - fall * (n - centre) / scale. draws: (R, 2) of (level, fall); fall never below zero."""

    answers: int
    found: int
    centre: float
    scale: float
    level: float
    fall: float
    draws: np.ndarray

    def chance(self, n: np.ndarray) -> np.ndarray:
        """(1 + R, len(n)) chances that the n-th answers find a bad caption; the first row is the fit."""
        import numpy as np

        pairs = np.concatenate([[[self.level, self.fall]], self.draws])
        x = (np.asarray(n, dtype=float) - self.centre) / self.scale
        found: np.ndarray = 1 / (1 + np.exp(-(pairs[:, :1] - pairs[:, 1:] * x)))
        return found


@dataclass(frozen=True)
class Decline:
    """How the chance falls: now (p, at most 1), left (L) and sure (s; 0 where now < 1), each (1 + R,)."""

    now: np.ndarray
    left: np.ndarray
    sure: np.ndarray

    def chance(self, more: np.ndarray) -> np.ndarray:
        """(1 + R, len(more)) chances that the answer after `more` further ones finds a bad caption."""
        import numpy as np

        now, left, sure = self.now[:, None], self.left[:, None], self.sure[:, None]
        beyond = np.maximum(np.asarray(more, dtype=float) - sure, 0)
        found: np.ndarray = now * np.exp(-beyond * now / np.maximum(left - sure, TINY))
        return found

    def found_in(self, corrections: float) -> np.ndarray:
        """(1 + R,) bad captions among the next: s + (L - s) (1 - exp(-(m - s) p / (L - s))), never more than L.

        Of p = 0.5, L = 50, s = 0 the next 100 hold 50 (1 - 1/e) = 31.6.
        """
        import numpy as np

        rest = self.left - self.sure
        beyond = np.maximum(corrections - self.sure, 0)
        found: np.ndarray = np.minimum(corrections, self.sure) + rest * -np.expm1(
            -beyond * self.now / np.maximum(rest, TINY)
        )
        return found


@dataclass(frozen=True)
class Step:
    """A row of the table. corrections: of the queue, in all, at its end; judged, bad: of the history, else None.

    expected: bad captions from now up to here, else None. chance, low, high: at its end, by the fit or by the decline.
    """

    corrections: int
    judged: int | None
    bad: int | None
    expected: float | None
    chance: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Ahead:
    """The next `corrections` answers. each: yen for finding one bad caption; worth: yen of what is found, if anybody
    has said what a bad caption costs. stop_after: see the function."""

    corrections: int
    bad: Span
    cost: Span
    each: Span | Missing
    worth: Span | Missing
    stop_after: Span | None
    decline: Decline


def history(site: Site, with_simulated: bool) -> np.ndarray:
    """(N,) bool: of each answer to the queue, oldest first, whether the caption needed a correction."""
    with site.connect() as db:
        frame = db.frame(HISTORY_SQL, {"with_simulated": with_simulated})
    found: np.ndarray = frame["needed"].to_numpy(dtype=bool)
    return found


def fit(needed: np.ndarray, resamples: int = RESAMPLES) -> Curve | Missing:
    """The falling curve, or what it needs."""
    import numpy as np

    count = len(needed)
    if count < FEWEST:
        return Missing("100 answers to captions of the queue", "genba queue SITE --top 20")
    centre, scale = (count - 1) / 2, max((count - 1) / 2, 1.0)
    x = (np.arange(count) - centre) / scale
    estimate, spread = _logistic(x, needed.astype(float))
    inflated = spread * max(_overdispersion(estimate, x, needed), 1.0)
    draws = np.random.default_rng(0).multivariate_normal(estimate, inflated, size=resamples)
    if estimate[1] < 0:  # it rises: with k >= 0 the best is a constant share
        estimate = np.array([_logit((needed.sum() + 0.5) / (count + 1)), 0.0])
    draws[:, 1] = draws[:, 1].clip(0)
    return Curve(count, int(needed.sum()), centre, scale, float(estimate[0]), float(estimate[1]), draws)


def _logistic(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(level, fall) and their covariance, (2, 2). Newton; half an answer of each kind keeps it finite (Firth-like)."""
    import numpy as np

    design = np.stack([np.ones_like(x), -x], axis=1)
    design = np.concatenate(
        [design, [[1.0, 0.0], [1.0, 0.0], [1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [1.0, 1.0]]]
    )
    y = np.concatenate([y, [0.0, 1.0] * 3])
    weight = np.concatenate([np.ones_like(x), np.full(6, 0.25)])
    beta = np.zeros(2)
    for _ in range(ITERATIONS):
        p = 1 / (1 + np.exp(-design @ beta))
        curvature = design.T @ (design * (weight * p * (1 - p))[:, None])
        step = np.linalg.solve(curvature, design.T @ (weight * (y - p)))
        beta = beta + np.clip(step, -4, 4)
        if np.abs(step).max() < 1e-9:
            break
    return beta, np.linalg.inv(curvature)


def _logit(share: float) -> float:
    import math

    return math.log(share / (1 - share))


def _logits(share: np.ndarray) -> np.ndarray:
    import numpy as np

    kept = np.clip(np.asarray(share, dtype=float), TINY, 1 - TINY)
    found: np.ndarray = np.log(kept) - np.log1p(-kept)
    return found


def _overdispersion(estimate: np.ndarray, x: np.ndarray, needed: np.ndarray) -> float:
    """Pearson's chi-squared of the blocks over their degrees of freedom; 1 where answers vary like coin tosses."""
    import numpy as np

    p = 1 / (1 + np.exp(-(estimate[0] - estimate[1] * x)))
    starts = np.arange(0, len(x), BLOCK)
    found, wanted = np.add.reduceat(needed.astype(float), starts), np.add.reduceat(p, starts)
    variance = np.add.reduceat(p * (1 - p), starts)
    return float(((found - wanted) ** 2 / np.maximum(variance, 1e-9)).sum() / max(len(starts) - 2, 1))


def blocks(needed: np.ndarray) -> list[tuple[int, int, int]]:
    """(answers before and in the block, answers in it, bad ones in it), oldest first; a short rest joins the last.

    A block has BLOCK answers, on a long history twice as many, or three times, so that MOST_BLOCKS are enough.
    blocks([True] * 60) == [(25, 25, 25), (60, 35, 35)]
    """
    block = BLOCK * max(math.ceil(len(needed) / (BLOCK * MOST_BLOCKS)), 1)
    count = max(len(needed) // block, 1)
    ends = [block * (place + 1) for place in range(count - 1)] + [len(needed)]
    starts = [0, *ends[:-1]]
    return [(end, end - start, int(needed[start:end].sum())) for start, end in zip(starts, ends, strict=True)]


def look_ahead(
    curve: Curve,
    corrections: int,
    times: Seconds,
    yen_second: float,
    left: Estimate | None,
    worth_jpy: float | None,
    first: tuple[int, float] | None,
) -> Ahead | Missing:
    """The next `corrections`. yen_second: of a second of work, with what comes with it; left: the audit's word.

    first: how many come next in the queue, and how many bad ones they hold by the stopping rule without a price; None:
    no risk is a probability yet, and the history alone says where the chance stands."""
    import numpy as np

    if left is None:
        return Missing("a blind audit", "genba audit SITE draw 100")
    rng = np.random.default_rng(1)
    level = curve.chance(np.array([curve.answers]))[:, 0]
    those_left = two_sided(left, rng)
    decline = Decline(level, those_left, np.zeros_like(level))
    if first is not None and first[0]:
        decline = anchored(*first, level, those_left)
    mean = decline.found_in(corrections)
    spread = np.sqrt(np.maximum(mean * (1 - mean / corrections), 0))
    bad = np.concatenate([mean[:1], mean[1:] + rng.standard_normal(len(mean) - 1) * spread[1:]])
    bad = bad.clip(0, np.minimum(decline.left, corrections))
    cost = yen_second * (bad * times.fix + (corrections - bad) * times.ok)
    each = np.where(bad > 0, cost / np.maximum(bad, TINY), np.inf)
    return Ahead(
        corrections, span(bad), span(cost),
        span(each) if np.isfinite(each[0]) else Missing("bad captions that are expected among the next"),
        span(bad * worth_jpy) if worth_jpy else Missing("what a bad caption costs that stays: cost.bad_caption_jpy"),
        stop_after(decline, times, yen_second, worth_jpy), decline,
    )  # fmt: skip


def anchored(pairs: int, expected: float, level: np.ndarray, left: np.ndarray) -> Decline:
    """The decline whose first `pairs` answers hold `expected` bad captions. level, left: (1 + R,), the point first.

    The draws of `expected` vary, on the logit scale, as those of the history's level do; a draw of `left` is never less
    than what the first ones hold. anchored(100, 63.2, [0.5], [100]) has p = 1: 100 (1 - 1/e) = 63.2.
    """
    import numpy as np

    share = np.clip(expected / pairs, TINY, 1 - TINY)
    shift = _logits(level) - _logits(level[:1])
    held = pairs / (1 + np.exp(-(_logits(share) + shift))) if expected > 0 else np.zeros_like(level)
    left = np.maximum(left, held)
    now = np.minimum(-np.log1p(-np.minimum(held / np.maximum(left, TINY), 1 - TINY)) * left / pairs, 1.0)
    low, high = np.zeros_like(left), np.minimum(left, float(pairs))
    for _ in range(ITERATIONS):  # with more sure finds the first ones hold more
        middle = (low + high) / 2
        too_few = Decline(np.ones_like(left), left, middle).found_in(pairs) < held
        low, high = np.where(too_few, middle, low), np.where(too_few, high, middle)
    return Decline(now, left, np.where(now < 1, 0.0, high))


def steps(
    points: Sequence[tuple[int, int, int]], curve: Curve | Missing, ahead: Ahead | Missing
) -> list[Step]:
    """points: of `blocks`. The history in its blocks, then what lies ahead in blocks of the same length."""
    import numpy as np

    def ends(chance: np.ndarray) -> list[tuple[float, float, float]]:
        low, high = np.quantile(chance[1:], [0.025, 0.975], axis=0)
        point = chance[0]
        return list(zip(point, np.minimum(low, point), np.maximum(high, point), strict=True))

    if isinstance(curve, Missing):
        return [Step(end, judged, bad, None, None, None, None) for end, judged, bad in points]
    fitted = ends(curve.chance(np.array([end for end, _, _ in points])))
    found = [Step(*point, None, *map(float, at)) for point, at in zip(points, fitted, strict=True)]
    if isinstance(ahead, Ahead):
        more = [*range(BLOCK, ahead.corrections, BLOCK), ahead.corrections]
        for m, at in zip(more, ends(ahead.decline.chance(np.array(more))), strict=True):
            held = float(ahead.decline.found_in(m)[0])
            found.append(Step(curve.answers + m, None, None, held, *map(float, at)))
    return found


def two_sided(left: Estimate, rng: np.random.Generator) -> np.ndarray:
    """(1 + R,) bad captions left: the estimate, then draws with its interval (normal, with a spread to each side)."""
    import numpy as np

    z = rng.standard_normal(RESAMPLES)
    below, above = (
        (left.bad_left - left.bad_left_low) / 1.95996,
        (left.bad_left_high - left.bad_left) / 1.95996,
    )
    draws = left.bad_left + np.where(z < 0, z * below, z * above)
    return np.concatenate([[left.bad_left], draws]).clip(0, left.unjudged)


def stop_after(decline: Decline, times: Seconds, yen_second: float, worth_jpy: float | None) -> Span | None:
    """How many more corrections until the next bad caption costs more to find than it is worth; infinite: never.

    An answer with chance p costs yen_second * (p fix + (1 - p) ok) and finds p: it pays while that is below p * worth.
    None: nobody has said what a bad caption costs.
    """
    import numpy as np

    if not worth_jpy:
        return None
    margin = worth_jpy - yen_second * (times.fix - times.ok)
    line = yen_second * times.ok / margin if margin > 0 else 1.0  # pays while p > line
    if line <= 0:
        return Span(np.inf, np.inf, np.inf)
    now, rest = np.maximum(decline.now, TINY), decline.left - decline.sure
    more = decline.sure + rest / now * np.log(now / line)
    return span(np.ceil(np.where(now > line, more, 0.0)))
