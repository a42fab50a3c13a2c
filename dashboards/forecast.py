"""What the next corrections are expected to find and to cost, from the site's own history: diminishing returns.

    curve = fit(needed)                        # needed: (N,) bool, oldest first: did the n-th answer find a bad one?
    ahead = look_ahead(curve, 500, times, …)   # Ahead: bad captions, yen, each with an interval

So far: the chance that the n-th answer to the queue found a bad caption, logit p(n) = a - k n with k >= 0, by maximum
likelihood (McCullagh and Nelder 1989, section 4.4); its two estimates vary, the more so where blocks of 25 answers vary
more than coin tosses do. Ahead: the chance falls from where it stands now, p, as the L bad captions that the audit says
are left (annotate/estimate.py) are used up: p(m) = p exp(-m p / L) after m more, which add up to L (exponential
depletion; Goel and Okumoto 1979). Its interval: of p, of L, and of chance. The time for a caption is that of
annotate/seconds.py; the advice for the next hundred, by their risks, stays that of annotate/stopping.py.
"""

from __future__ import annotations

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
class Ahead:
    """The next `corrections` answers. each: yen for finding one bad caption; worth: yen of what is found, if anybody
    has said what a bad caption costs. stop_after: see the function. now, left: (1 + R,) p and L as above."""

    corrections: int
    bad: Span
    cost: Span
    each: Span | Missing
    worth: Span | Missing
    stop_after: Span | None
    now: np.ndarray
    left: np.ndarray

    def chance(self, more: np.ndarray) -> np.ndarray:
        """(1 + R, len(more)) chances that the answer after `more` further ones finds a bad caption."""
        import numpy as np

        now, left = self.now[:, None], np.maximum(self.left, TINY)[:, None]
        found: np.ndarray = now * np.exp(-np.asarray(more, dtype=float) * now / left)
        return found


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


def _overdispersion(estimate: np.ndarray, x: np.ndarray, needed: np.ndarray) -> float:
    """Pearson's chi-squared of the blocks over their degrees of freedom; 1 where answers vary like coin tosses."""
    import numpy as np

    p = 1 / (1 + np.exp(-(estimate[0] - estimate[1] * x)))
    starts = np.arange(0, len(x), BLOCK)
    found, wanted = np.add.reduceat(needed.astype(float), starts), np.add.reduceat(p, starts)
    variance = np.add.reduceat(p * (1 - p), starts)
    return float(((found - wanted) ** 2 / np.maximum(variance, 1e-9)).sum() / max(len(starts) - 2, 1))


def blocks(needed: np.ndarray, block: int = BLOCK) -> list[tuple[int, int, int]]:
    """(answers before and in the block, answers in it, bad ones in it), oldest first; a short rest joins the last.

    blocks([True] * 60, 25) == [(25, 25, 25), (60, 35, 35)]
    """
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
) -> Ahead | Missing:
    """The next `corrections`. yen_second: of a second of work, with what comes with it; left: the audit's word."""
    import numpy as np

    if left is None:
        return Missing("a blind audit", "genba audit SITE draw 100")
    rng = np.random.default_rng(1)
    now = curve.chance(np.array([curve.answers]))[:, 0]
    those_left = two_sided(left, rng)
    mean = found_in(corrections, now, those_left)
    spread = np.sqrt(np.maximum(mean * (1 - mean / corrections), 0))
    bad = np.concatenate([mean[:1], mean[1:] + rng.standard_normal(len(mean) - 1) * spread[1:]])
    bad = bad.clip(0, np.minimum(those_left, corrections))
    cost = yen_second * (bad * times.fix + (corrections - bad) * times.ok)
    each = np.where(bad > 0, cost / np.maximum(bad, TINY), np.inf)
    return Ahead(
        corrections, span(bad), span(cost),
        span(each) if np.isfinite(each[0]) else Missing("bad captions that are expected among the next"),
        span(bad * worth_jpy) if worth_jpy else Missing("what a bad caption costs that stays: cost.bad_caption_jpy"),
        stop_after(now, those_left, times, yen_second, worth_jpy), now, those_left,
    )  # fmt: skip


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


def found_in(corrections: int, now: np.ndarray, left: np.ndarray) -> np.ndarray:
    """(1 + R,) bad captions among the next: L (1 - exp(-m p / L)), never more than L.

    found_in(100, [0.5], [50]) is 50 (1 - 1/e) = 31.6.
    """
    import numpy as np

    now, left = np.asarray(now, dtype=float), np.asarray(left, dtype=float)
    found: np.ndarray = left * -np.expm1(-corrections * now / np.maximum(left, TINY))
    return found


def stop_after(
    now: np.ndarray, left: np.ndarray, times: Seconds, yen_second: float, worth_jpy: float | None
) -> Span | None:
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
    now = np.asarray(now, dtype=float)
    more = np.asarray(left, dtype=float) / np.maximum(now, TINY) * np.log(np.maximum(now, TINY) / line)
    return span(np.ceil(more.clip(0)))
