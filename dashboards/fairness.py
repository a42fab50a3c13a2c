"""Gaps between slices: audited error, and what the models measure. Rows of the store in, frozen records out.

    error_gaps(site)       # {"line": [ErrorGap, …], "language": […]}: each part against the rest
    model_gaps(site)       # [ModelGaps of the champion, of the newest candidate], else of the newest retired model

Audited error: blind captions alone, each weighed by 1 / its chance of being drawn, as on the page Quality. The interval
of a difference of two shares is Newcombe's (1998, method 10; MOVER), made of the exact intervals of both:

    d = p - r      low = d - sqrt((p - p_low)^2 + (r_high - r)^2)      high = d + sqrt((p_high - p)^2 + (r - r_low)^2)

Enough: at least ENOUGH judged captions in the part, and in the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from annotate.slices import MOST_VALUES
from dashboards import quality
from dashboards.quality import LANGUAGE, Part, share
from dashboards.run_figures import GAPS_SQL, Gap, gaps
from data.site import Site
from training.slices import AUTHOR, is_held_back

ENOUGH = quality.FEWEST
MODELS_SQL = """
SELECT model_id, run_id, arm, state, created_at FROM models
WHERE state IN ('champion', 'candidate')
   OR (state = 'retired' AND EXISTS (SELECT 1 FROM slice_gaps g WHERE g.run_id = models.run_id))
QUALIFY row_number() OVER (PARTITION BY state ORDER BY created_at DESC, model_id) = 1
ORDER BY list_position(['champion', 'candidate', 'retired'], state)
"""
OF_MODEL = "candidate"  # the arm of slice_gaps that was measured of the model itself (training/retrain.py)
Row = dict[str, Any]
__all__ = ["GAPS_SQL", "MODELS_SQL", "ErrorGap", "ModelGaps", "error_gaps", "gaps_of", "model_gaps"]


@dataclass(frozen=True)
class ErrorGap:
    """One part of a slice: its share of bad captions, that of the rest, and the difference with its interval."""

    part: Part
    rest: Part
    gap: float
    low: float
    high: float

    @property
    def is_enough(self) -> bool:
        """False: so few were judged in the part or in the rest that the difference says little."""
        return min(self.part.judged, self.rest.judged) >= ENOUGH

    @property
    def verdict(self) -> str:
        """worse: provably more bad captions than elsewhere; better; undecided: the interval holds zero, or too few."""
        if not self.is_enough or self.low <= 0 <= self.high:
            return "undecided"
        return "worse" if self.low > 0 else "better"


def error_gaps(site: Site) -> dict[str, list[ErrorGap]]:
    """By column, the widest gap first; the author of the captions last."""
    with site.connect() as db:
        return gaps_of(db.rows(quality.SLICES_SQL), site.settings.review.show_names)


def gaps_of(rows: Sequence[Row], show_names: bool) -> dict[str, list[ErrorGap]]:
    """rows: language, extra, inclusion_probability, bad. A caption without the column is in neither side.

    show_names: authors are compared however few they are ([review] show_names)."""
    by_value: dict[str, dict[str, list[tuple[bool, float]]]] = {}
    for row in rows:
        answer = (bool(row["bad"]), 1 / row["inclusion_probability"])
        for column, value in {**row["extra"], LANGUAGE: row["language"]}.items():
            if str(value).strip():
                by_value.setdefault(column, {}).setdefault(str(value), []).append(answer)
    return {
        column: sorted(_against_rest(values), key=lambda one: (-one.gap, one.part.value))
        for column, values in sorted(by_value.items(), key=lambda one: (one[0] == AUTHOR, one[0]))
        if 1 < len(values) <= MOST_VALUES and not is_held_back(column, len(values), show_names)
    }


def _against_rest(values: dict[str, list[tuple[bool, float]]]) -> list[ErrorGap]:
    found = []
    for value, answers in values.items():
        rest = share("", [one for other, those in values.items() if other != value for one in those])
        found.append(difference(share(value, answers), rest))
    return found


def difference(part: Part, rest: Part) -> ErrorGap:
    """Newcombe's interval of the difference of two independent shares."""
    gap = part.rate - rest.rate
    low = gap - math.hypot(part.rate - part.low, rest.high - rest.rate)
    high = gap + math.hypot(part.high - part.rate, rest.rate - rest.low)
    return ErrorGap(part, rest, gap, max(low, -1.0), min(high, 1.0))


@dataclass(frozen=True)
class ModelGaps:
    """What the run of one model measured. state: champion, candidate or retired. by_metric: (task, metric) -> parts."""

    model_id: str
    arm: str
    created_at: datetime
    state: str
    by_metric: dict[tuple[str, str], list[Gap]]


def model_gaps(site: Site) -> list[ModelGaps]:
    """Of the champion and of the newest candidate, where there are such models; where neither was measured (after a
    rollback to the encoder's own weights, say), of the newest retired model that was."""
    with site.connect() as db:
        models = db.rows(MODELS_SQL)
    found = [
        ModelGaps(
            one["model_id"],
            one["arm"],
            one["created_at"],
            one["state"],
            of_model(gaps(site, one["run_id"]), one["arm"]),
        )
        for one in models
    ]
    in_use = [one for one in found if one.state != "retired"]
    return in_use if any(one.by_metric for one in in_use) else found


def of_model(found: dict[tuple[str, str], list[Gap]], arm: str) -> dict[tuple[str, str], list[Gap]]:
    """The rows of the model itself; of the arm that it was made from where the run did not measure it apart."""
    kept = {}
    for name, group in found.items():
        wanted = OF_MODEL if any(one.arm == OF_MODEL for one in group) else arm
        if shown := [one for one in group if one.arm == wanted]:
            kept[name] = shown
    return kept
