"""Cost and benefit in yen, pure: arrays and frozen records in, frozen records out; no store, no page, no words.

    found = roi(evidence, given)          # given: {"wage_staff": 2500.0, …}, the keys of dashboards/assumptions.py
    found.net                             # Span(value, low, high), or Missing that says what it needs
    tornado(evidence, given, ranges)      # what it depends on most

Every uncertain quantity is an array of 1 + R numbers: first what was measured, then R draws of it, so a formula is
written once and gives the point and its interval. Draws of an effect: the bootstrap of the run (training/compare.py).
Draws of hours: corrections drawn anew with replacement (Efron and Tibshirani 1993, chapter 6). Runs, labour and labels
are drawn independently. Interval: the 2.5 % and 97.5 % quantiles, widened where need be to contain the point.

    cost so far = sum over roles of hours x wage + job hours x compute rate + fixed once                  [yen]
    cost        = cost so far + fixed a month x horizon                                                   [yen]
    labels      = (label equivalent - labels) x cost of a label                                     [yen, once]
    errors      = fall of the task's error x items a month x cost of an error                     [yen a month]
    search      = rise of recall at 1 x searches a month x seconds / 3600 x wage of who searches  [yen a month]
    benefit     = labels + (errors + search) x horizon                                                    [yen]
    net         = benefit - cost;  ratio = benefit / cost
    payback     = (cost so far - labels) / (errors + search - fixed a month)                           [months]
    break-even  = (cost so far - labels) / horizon + fixed a month: what must come in             [yen a month]

What is counted: a proven gain and a proven loss (`Change.claim`) with their amounts; an effect that is not proven
counts zero. Its possible loss still widens the interval of the net downwards and its possible gain upwards, so neither
a profit nor a loss is called certain that hangs on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from dashboards.figures import Missing
from dashboards.labour import ROLES

if TYPE_CHECKING:
    import numpy as np

RESAMPLES = 2000  # as training/compare.py
TAIL = 0.025
KINDS = ("labels", "errors", "search")
Claim = Literal["gain", "style", "none", "loss"]
Given = Mapping[str, float]

NO_BENEFIT = Missing("at least one benefit that is measured and priced")  # what a net needs
PRICE_NEEDED = {
    "labels": "what a label costs: give it among the assumptions",
    "errors": "how many items a month the task judges and what an error costs: give both among the assumptions",
    "search": "how many searches a month there are and what one saves: give both among the assumptions",
}


@dataclass(frozen=True)
class Span:
    """A quantity with its 95 % interval; low <= value <= high. `high` may be infinite (a payback that never comes)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Change:
    """A measured improvement. draws: (1 + R,), positive is better; shares of 1, or a number of labels.

    claim: what may be said of it, "gain" only where it is proven against the original and the reworded captions.
    """

    task: str
    metric: str
    draws: np.ndarray
    claim: Claim
    n: int
    seeds: int
    higher_is_better: bool = True

    @property
    def span(self) -> Span:
        return span(self.draws)

    @property
    def of_metric(self) -> Span:
        """The change of the metric itself: above zero where it rose, better or worse."""
        found = self.span
        return found if self.higher_is_better else Span(0.0 - found.value, 0.0 - found.high, 0.0 - found.low)


@dataclass(frozen=True)
class Evidence:
    """What was measured. hours: role -> (1 + R,) hours of work; changes: kind -> Change, or what it needs."""

    hours: Mapping[str, np.ndarray]
    compute_hours: float
    changes: Mapping[str, Change | Missing]


@dataclass(frozen=True)
class Benefit:
    """One kind. amount: what the measured change is worth over the horizon, counted or not; counted: what net takes."""

    kind: str
    change: Change
    amount: Span
    counted: float

    @property
    def is_counted(self) -> bool:
        return self.change.claim in ("gain", "loss")


@dataclass(frozen=True)
class Result:
    """All in yen, over the horizon where nothing else is said. payback: months; break_even: yen a month."""

    cost: Span
    cost_so_far: Span
    cost_parts: Mapping[str, Span]
    benefits: Mapping[str, Benefit | Missing]
    net: Span | Missing
    ratio: Span | Missing
    payback_months: Span | Missing
    break_even: Span
    horizon: float


def span(point_and_draws: np.ndarray, upper: np.ndarray | None = None) -> Span:
    """(1 + R,) -> the point and its interval; the upper end from `upper` where given. Infinite draws are allowed."""
    import numpy as np

    point = float(point_and_draws[0])
    above = point_and_draws if upper is None else upper
    low = float(np.quantile(point_and_draws[1:], TAIL, method="inverted_cdf"))
    high = float(np.quantile(above[1:], 1 - TAIL, method="inverted_cdf"))
    return Span(point, min(low, point), max(high, point))


def hours_drawn(
    answers: np.ndarray, seconds: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """(B,) how many answers took so many seconds each -> (1 + R,) hours in all, the answers drawn anew.

    hours_drawn([2], [1800.0], rng) is 1 hour everywhere: equal answers vary in nothing.
    """
    import numpy as np

    answers, seconds = np.asarray(answers, dtype=np.int64), np.asarray(seconds, dtype=np.float64)
    total = int(answers.sum())
    if not total:
        return np.zeros(1 + resamples)
    drawn = rng.multinomial(total, answers / total, size=resamples)  # (R, B)
    found: np.ndarray = np.concatenate([[answers @ seconds], drawn @ seconds]) / 3600
    return found


def cost_parts(evidence: Evidence, given: Given) -> dict[str, np.ndarray]:
    """What was spent, in yen, by role, `compute` and `fixed_once`; each (1 + R,)."""
    import numpy as np

    parts = {role: evidence.hours[role] * given[f"wage_{role}"] for role in ROLES}
    like = parts[ROLES[0]]
    parts["compute"] = np.full_like(like, evidence.compute_hours * given["compute"])
    parts["fixed_once"] = np.full_like(like, given["fixed_once"])
    return parts


def factor(kind: str, given: Given) -> tuple[float, float]:
    """Yen for a change of 1: (once, a month)."""
    if kind == "labels":
        return given["label"], 0.0
    if kind == "errors":
        return 0.0, given["items"] * given["error"]
    return 0.0, given["searches"] * given["search_seconds"] / 3600 * given["wage_search"]


@dataclass
class _Flows:
    """Sums over benefits, (1 + R,): once and a month, at the cautious and at the hopeful side of what is not proven."""

    once: np.ndarray
    month: np.ndarray
    once_upper: np.ndarray
    month_upper: np.ndarray

    def add(self, draws: np.ndarray, once: float, month: float, is_counted: bool) -> None:
        import numpy as np

        cautious, hopeful = draws, draws
        if not is_counted:
            cautious, hopeful = np.minimum(draws, 0.0), draws.copy()
            cautious[0] = hopeful[0] = 0.0
        self.once, self.once_upper = self.once + once * cautious, self.once_upper + once * hopeful
        self.month, self.month_upper = self.month + month * cautious, self.month_upper + month * hopeful


def roi(evidence: Evidence, given: Given) -> Result:
    """The whole sum. given: a number for each key of dashboards/assumptions.py. Raises KeyError for a key it lacks."""
    import numpy as np

    horizon = given["horizon"]
    parts = cost_parts(evidence, given)
    so_far = np.sum(list(parts.values()), axis=0)
    parts["fixed_month"] = np.full_like(so_far, given["fixed_month"] * horizon)
    cost = so_far + parts["fixed_month"]
    zero = np.zeros_like(so_far)
    flows = _Flows(zero, zero, zero, zero)
    benefits: dict[str, Benefit | Missing] = {}
    for kind in KINDS:
        change, (once, month) = evidence.changes[kind], factor(kind, given)
        if isinstance(change, Missing):
            benefits[kind] = change
        elif not (once or month):
            benefits[kind] = Missing(PRICE_NEEDED[kind])
        else:
            is_counted = change.claim in ("gain", "loss")
            flows.add(change.draws, once, month, is_counted)
            amount = (once + month * horizon) * change.draws
            benefits[kind] = Benefit(kind, change, span(amount), float(amount[0]) if is_counted else 0.0)
    found = Result(
        span(cost), span(so_far), {name: span(part) for name, part in parts.items()}, benefits,
        NO_BENEFIT, NO_BENEFIT, NO_BENEFIT,
        span(_break_even(so_far, flows.once_upper, given), _break_even(so_far, flows.once, given)), horizon,
    )  # fmt: skip
    if all(isinstance(one, Missing) for one in benefits.values()):
        return found
    benefit, upper = flows.once + flows.month * horizon, flows.once_upper + flows.month_upper * horizon
    ratio: Span | Missing = Missing("a cost above zero")
    if (cost > 0).all():
        ratio = span(benefit / cost, upper / cost)
    return replace(
        found, net=span(benefit - cost, upper - cost), ratio=ratio,
        payback_months=span(
            months_to_pay(so_far - flows.once_upper, flows.month_upper - given["fixed_month"]),
            months_to_pay(so_far - flows.once, flows.month - given["fixed_month"]),
        ),
    )  # fmt: skip


def _break_even(so_far: np.ndarray, once: np.ndarray, given: Given) -> np.ndarray:
    import numpy as np

    return np.maximum((so_far - once) / given["horizon"] + given["fixed_month"], 0.0)


def months_to_pay(open_yen: np.ndarray, month_yen: np.ndarray) -> np.ndarray:
    """(1 + R,) months until `open_yen` has come in: 0 where nothing is open, infinite where nothing comes in.

    months_to_pay([100, 100, -5], [50, 0, 1]) == [2, inf, 0]
    """
    import numpy as np

    open_yen, month_yen = np.asarray(open_yen, dtype=float), np.asarray(month_yen, dtype=float)
    comes_in = month_yen > 0
    months = np.where(comes_in, open_yen / np.where(comes_in, month_yen, 1.0), np.inf)
    found: np.ndarray = np.where(open_yen <= 0, 0.0, months)
    return found


def _points(evidence: Evidence) -> Evidence:
    """With one draw in place of all of them: enough where only points are asked for, and twice as fast."""
    changes = {
        kind: one if isinstance(one, Missing) else replace(one, draws=one.draws[:2])
        for kind, one in evidence.changes.items()
    }
    return replace(evidence, hours={role: one[:2] for role, one in evidence.hours.items()}, changes=changes)


@dataclass(frozen=True)
class Bar:
    """What the outcome is with one assumption (or one measured effect: "effect:search") at its low and its high end."""

    key: str
    low: float
    high: float
    at_low: float
    at_high: float
    base: float

    @property
    def width(self) -> float:
        return abs(self.at_high - self.at_low)


def tornado(evidence: Evidence, given: Given, ranges: Mapping[str, tuple[float, float]]) -> list[Bar]:
    """One at a time, each assumption over its range and each counted effect over its interval; the widest bar first.

    The outcome is the net; where that is missing, the cost over the horizon, and only what moves it. Bars without width
    are left out (Saltelli et al. 2008, section 1.2: one-at-a-time says nothing of interactions).
    """
    base = roi(evidence, given)
    points = _points(evidence)
    is_net = not isinstance(base.net, Missing)

    def outcome(found: Result) -> float:
        if isinstance(found.net, Missing):
            return found.cost.value
        return found.net.value if is_net else found.cost.value

    value = outcome(base)
    bars = []
    for key, (low, high) in ranges.items():
        ends = [roi(points, {**given, key: end}) for end in (low, high)]
        if is_net and any(isinstance(one.net, Missing) for one in ends):
            continue  # at that end there is no net to compare
        bars.append(Bar(key, low, high, outcome(ends[0]), outcome(ends[1]), value))
    for kind, one in base.benefits.items():
        if isinstance(one, Benefit) and one.is_counted and is_net:
            bounds = one.change.span
            share = [0.0 if not bounds.value else end / bounds.value for end in (bounds.low, bounds.high)]
            at_low, at_high = (value + one.counted * (part - 1) for part in share)
            bars.append(Bar(f"effect:{kind}", bounds.low, bounds.high, at_low, at_high, value))
    return sorted((bar for bar in bars if bar.width > 0), key=lambda bar: -bar.width)
