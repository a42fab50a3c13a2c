"""How many drafts of a lot a person checks, and what it says when the lot passes (抜取検査, inspection by attributes).

    plan = plan_for(size=400, wrong_share=0.05, consumer_risk=0.05, accept_number=1)
    plan.sample, plan.accept_number        # 89, 1: of 89 drawn drafts at most one may be wrong
    plan.passes(20)                        # the chance that a lot with 20 wrong drafts passes

A single sampling plan (Dodge and Romig 1929; ISO 2859-2 has the idea in tables). A lot is finite and drawn from without
replacement, so the chances are hypergeometric and exact: the sample is the smallest with which a lot that holds more
than the allowed share of wrong drafts passes with at most the consumer's risk.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from data.errors import GenbaError

CURVE = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)  # shares of wrong drafts whose chance to pass is told


@dataclass(frozen=True)
class Plan:
    """size: drafts in the lot; sample: of them are checked; with more than accept_number wrong the lot is rejected."""

    size: int
    sample: int
    accept_number: int
    wrong_share: float
    consumer_risk: float

    def passes(self, wrong: int) -> float:
        """The chance that a lot with so many wrong drafts passes."""
        from scipy.stats import hypergeom

        return float(hypergeom.cdf(self.accept_number, self.size, wrong, self.sample))

    @property
    def fewest_bad(self) -> int:
        """The smallest number of wrong drafts that is more than the allowed share."""
        return too_many(self.size, self.wrong_share)

    @property
    def risk(self) -> float:
        """The chance that the lot passes with just more than the allowed share: at most the consumer's risk."""
        return self.passes(self.fewest_bad)

    def curve(self) -> list[tuple[int, float]]:
        """(wrong drafts in the lot, chance to pass): the operating characteristic, at the shares of CURVE."""
        wrong = sorted({*(round(share * self.size) for share in CURVE), self.fewest_bad})
        return [(one, self.passes(one)) for one in wrong]

    def fields(self) -> dict[str, Any]:
        """As it is kept with the lot."""
        return {**asdict(self), "risk": self.risk, "curve": self.curve()}


def too_many(size: int, wrong_share: float) -> int:
    """The smallest number of wrong drafts that is more than the share: of 40 at 5 % three."""
    return math.floor(wrong_share * size + 1e-9) + 1


def plan_for(size: int, wrong_share: float, consumer_risk: float, accept_number: int) -> Plan:
    """The smallest sample that keeps the risk. A lot so small that accept_number wrong drafts are too many already is
    checked with a smaller accept number. Raises GenbaError for an empty lot."""
    if size < 1:
        raise GenbaError("A lot needs at least one draft.")
    bad = too_many(size, wrong_share)
    accepted = min(accept_number, bad - 1)
    low, high = accepted + 1, size  # the chance to pass falls with the sample; checking all leaves none
    while low < high:
        middle = (low + high) // 2
        found = Plan(size, middle, accepted, wrong_share, consumer_risk)
        low, high = (low, middle) if found.passes(bad) <= consumer_risk else (middle + 1, high)
    return Plan(size, low, accepted, wrong_share, consumer_risk)
