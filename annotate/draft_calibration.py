"""Turns a drafter's own confidence into the probability that a person says the same, learned from answers so far.

    slots = fit_slots(cases, proposals)                # Calibration, per slot
    probability = slots.of(case, proposal)             # {"part": 0.93, …}, and whether each of them is measured
    whole = fit_whole(…)                               # the same for the draft as a whole

Logistic calibration (Platt 1999) for each slot, with a second feature: whether the old caption says the same, another
thing, or nothing. Drafts never see the answer they are compared with (annotate/draft_view.py leaves the photo's group
out), and answers of people who had a draft before them are not used: they lean towards it. With fewer answers than
FEWEST, or when nearly all are right or wrong, nothing is fitted, and the number stays what it is: no probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from annotate.draft_view import Case, Floats, Proposal, old_values, plain
from data.templates import Template

FEWEST = 30  # answers of a slot
FEWEST_EACH = 4  # of them right, and wrong
TINY = 1e-4


@dataclass(frozen=True)
class Curve:
    """A fitted logistic curve. weights: (F,)."""

    weights: tuple[float, ...]
    offset: float
    answers: int

    def at(self, features: Floats) -> Floats:
        """(n, F) -> (n,) probabilities."""
        return np.asarray(1 / (1 + np.exp(-(features @ np.array(self.weights) + self.offset))))


@dataclass(frozen=True)
class Calibration:
    """Curves by slot; a slot without one is not measured."""

    template: Template
    curves: Mapping[str, Curve] = field(default_factory=dict)

    def of(self, case: Case, proposal: Proposal) -> dict[str, float]:
        """By slot: a probability where there is a curve, else the raw number."""
        said = old_values(self.template, case)
        return {
            slot: float(self.curves[slot].at(features(raw, proposal.slots[slot], said.get(slot))[None])[0])
            if slot in self.curves
            else raw
            for slot, raw in proposal.raw.items()
        }

    def covers(self, proposal: Proposal) -> bool:
        """Whether each number of this proposal is measured."""
        return all(slot in self.curves for slot in proposal.raw)


def fit_slots(template: Template, cases: Sequence[Case], proposals: Sequence[Proposal]) -> Calibration:
    """From those cases that a person has answered."""
    seen: dict[str, tuple[list[Floats], list[bool]]] = {}
    for case, proposal in zip(cases, proposals, strict=True):
        said = old_values(template, case)
        for slot, is_right in agreed(case, proposal.slots).items():
            if slot in proposal.raw:
                rows, right = seen.setdefault(slot, ([], []))
                rows.append(features(proposal.raw[slot], proposal.slots[slot], said.get(slot)))
                right.append(is_right)
    curves = {slot: fit(np.array(rows), np.array(right)) for slot, (rows, right) in seen.items()}
    return Calibration(template, {slot: curve for slot, curve in curves.items() if curve})


def fit(rows: Floats, right: Any) -> Curve | None:
    """rows: (n, F), right: (n,) bool. None: too few answers, or too few of one kind."""
    count = int(right.sum())
    if len(right) < FEWEST or min(count, len(right) - count) < FEWEST_EACH:
        return None
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=10.0, max_iter=1000).fit(rows, right)
    return Curve(tuple(float(one) for one in model.coef_[0]), float(model.intercept_[0]), len(right))


def features(raw: float, value: Any, said: Any) -> Floats:
    """(2,) log odds of the raw confidence; +1 the old caption says the same, -1 another thing, 0 nothing."""
    inside = min(max(raw, TINY), 1 - TINY)
    agreement = 0.0 if said is None else 1.0 if plain(said) == plain(value) else -1.0
    return np.array([np.log(inside / (1 - inside)), agreement])


def agreed(case: Case, slots: Mapping[str, Any]) -> dict[str, bool]:
    """By slot whether the draft says what the person said. A slot that only one of them has is a disagreement where
    the answer says all; where a caption was merely confirmed, what it does not state is not compared."""
    if case.truth is None:
        return {}
    if not case.is_whole:
        both = case.truth.keys() & slots.keys()
        return {slot: plain(slots[slot]) == plain(case.truth[slot]) for slot in both}
    asked = case.truth.keys() | slots.keys()
    return {slot: plain(slots.get(slot)) == plain(case.truth.get(slot)) for slot in asked}


def is_right(template: Template, case: Case, slots: Mapping[str, Any]) -> bool | None:
    """Whether the whole draft says what the person said, in the slots that the captions say; None: nobody can tell."""
    if case.truth is None or not case.is_whole:
        return None
    said = set().union(*(template.said(language) for language in template.languages))
    return all(right for slot, right in agreed(case, slots).items() if slot in said)


def joint(confidence: Mapping[str, float]) -> float:
    """The slots taken as independent: the product."""
    return float(np.prod([*confidence.values()])) if confidence else 0.0


def fit_whole(joints: Sequence[float], right: Sequence[bool]) -> Curve | None:
    """Whole drafts: slots are not independent, so the product is calibrated in its turn."""
    rows = np.array([whole_features(one) for one in joints]).reshape(-1, 1)
    return fit(rows, np.array(right, dtype=bool))


def whole_features(joint_probability: float) -> Floats:
    """(1,) log odds."""
    inside = min(max(joint_probability, TINY), 1 - TINY)
    return np.array([np.log(inside / (1 - inside))])
