"""May a retrained model rank the queue? Pure: what its run measured in, one Check for each condition out.

    checks = judge(evidence, primary="retrieval/recall_at_1_text_to_image", margin=0.02)
    allows(checks)                                  # True only when no check stands against it

The conditions, in the order in which they are told (training/gate_words.py says them in words):

    primary      the primary metric ([retrain] primary) of the corrected arm minus the original arm: the whole 95 %
                 interval on the better side of zero
    reworded     the same against the arm `reworded`, where the run has one: a gain that is only style is none
    in_use       the very model (one seed, blended) against the encoder in use: primary metric does not fall by more
                 than the margin; a model measured against an encoder that is no longer in use was not measured
    general      recall@1 both ways on [retrain] general_set, photos and captions from outside the site: no fall
    forgetting   recall@1 both ways on the site's own captions that the audit found right as they stood, that is on
                 what no correction touched: no fall
    slices       the primary metric in each part of each slice that has enough items: no fall
    others       every other overall measure of the corrected arm (against original and the encoder in use) and of the
                 model: no fall. Single items, classes and other ranks (DETAIL) are told where they fell, and decide
                 nothing: of a hundred such comparisons a few fall by chance, and the lead signs for what is missed
    checklist    the first promotion only: a lead has signed it, and no answer is "no" (training/checklist.py)

A fall is a change to the worse side that is larger than the margin: [retrain] guard_margin, taken as it stands for
shares (0.02: two points), of the value before for other units (0.02: 2 %). For in_use, general and forgetting the
measured fall counts, proven or not: they are few, and each stands for harm. Among the many slices and others one in ten
falls by chance alone while the whole gains, so there a fall counts when its interval also excludes zero. A condition
that should have been measured and was not stands against the model; nothing that is missing counts as passed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

CORRECTED, ORIGINAL, REWORDED, BASE, CANDIDATE = "corrected", "original", "reworded", "base", "candidate"
GENERAL, FORGETTING = "general", "retrieval_legacy"  # tasks (training/general.py, training/tasks.py)
DETAIL = re.compile(
    r"(accuracy|macro_f1|iou)_\w+|recall_at_(5|10)_\w+|median_rank_\w+"
)  # beside an overall measure
GUARDED_METRIC = "recall_at_1_"  # of those two tasks: both directions
SHARES = ("fraction", "share", "ratio", "")  # units of metrics in [0, 1]
CHECKS = ("primary", "reworded", "in_use", "general", "forgetting", "slices", "others", "checklist")
State = Literal["passed", "refused", "not_measured", "not_asked"]
Row = dict[str, Any]


@dataclass(frozen=True)
class Check:
    """One condition. facts: what the sentence about it names; falls: the rows that fell (effects or slice gaps)."""

    name: str
    state: State
    facts: Row = field(default_factory=dict)
    falls: tuple[Row, ...] = ()

    @property
    def stands_against(self) -> bool:
        return self.state in ("refused", "not_measured")


@dataclass(frozen=True)
class Evidence:
    """What the gate looks at; rows as the store has them.

    effects: of the run. of_model: effects of the very model (arm `candidate`) against the encoder that was in use
    (versus `base`). gaps: of the run, see training/slices.py. values: (task, metric, arm) -> the arm's mean.
    measured_against, in_use: encoder ids. has_slices: whether the site's test captions lie in different parts at all.
    needs_checklist: nothing was promoted with one before. objections: keys of questions answered "no"; None: unsigned.
    """

    arm: str
    arms: tuple[str, ...]
    effects: Sequence[Row]
    of_model: Sequence[Row]
    gaps: Sequence[Row]
    values: Mapping[tuple[str, str, str], float]
    measured_against: str
    in_use: str
    has_general_set: bool
    has_slices: bool
    needs_checklist: bool
    objections: tuple[str, ...] | None


def proven_falls(checks: Iterable[Check]) -> tuple[Row, ...]:
    """What of the very model is proven worse than the encoder that was in use, by whichever check: also within the
    margin's exceptions that decide nothing. Slices are left to their own check, which stands against the model."""
    rows = (row for check in checks for row in (*check.falls, *check.facts.get("details", ())))
    found = [row for row in rows if (row["arm"], row["versus"]) == (CANDIDATE, BASE) and "slice" not in row]
    return tuple(row for row in found if is_proven(row, better=False))


def allows(checks: Iterable[Check]) -> bool:
    """Whether nothing stands against the model. An empty list allows nothing: no condition was looked at."""
    found = list(checks)
    return bool(found) and not any(check.stands_against for check in found)


def judge(at: Evidence, primary: str, margin: float) -> list[Check]:
    """Every check, in the order of CHECKS. primary: TASK/METRIC. margin: in [0, 1]."""
    main = primary.partition("/")[::2]
    return [
        _gain("primary", at, main, ORIGINAL),
        _gain("reworded", at, main, REWORDED) if REWORDED in at.arms else Check("reworded", "not_asked"),
        _in_use(at, main, margin),
        _set(GENERAL, at, margin) if at.has_general_set else Check("general", "not_asked"),
        _set("forgetting", at, margin),
        _slices(at, main, margin),
        _others(at, main, margin),
        _checklist(at),
    ]


def is_proven(effect: Row, better: bool) -> bool:
    """Whether the whole interval lies on the better (or the worse) side of zero. NaN proves nothing."""
    return bool(effect["low"] > 0 if better == effect["higher_is_better"] else effect["high"] < 0)


def fall(effect: Row) -> float:
    """How far it changed to the worse side; negative when it became better."""
    value = float(effect["value"])
    return -value if effect["higher_is_better"] else value


def allowed_fall(effect: Row, margin: float, before: float | None) -> float:
    """The margin in the effect's own unit. before: the value it is measured from; unknown: no fall is allowed."""
    return margin if effect["unit"] in SHARES else margin * abs(before or 0.0)


def _gain(name: str, at: Evidence, main: tuple[str, str], versus: str) -> Check:
    wanted = (*main, at.arm, versus)
    effect = next((e for e in at.effects if (e["task"], e["metric"], e["arm"], e["versus"]) == wanted), None)
    if effect is None:
        return Check(name, "not_measured", {"task": main[0], "metric": main[1], "versus": versus})
    return Check(name, "passed" if is_proven(effect, better=True) else "refused", dict(effect))


def _in_use(at: Evidence, main: tuple[str, str], margin: float) -> Check:
    if at.measured_against != at.in_use:
        return Check("in_use", "not_measured", {"measured_against": at.measured_against, "in_use": at.in_use})
    rows = [e for e in _of_model(at) if (e["task"], e["metric"]) == main]
    return _measured_fall("in_use", rows, at, margin)


def _set(task: str, at: Evidence, margin: float) -> Check:
    name, task = (task, FORGETTING) if task == "forgetting" else (task, task)
    rows = [e for e in _of_model(at) if e["task"] == task and e["metric"].startswith(GUARDED_METRIC)]
    return _measured_fall(name, rows, at, margin)


def _of_model(at: Evidence) -> list[Row]:
    return [e for e in at.of_model if (e["arm"], e["versus"]) == (CANDIDATE, BASE)]


def _measured_fall(name: str, rows: Sequence[Row], at: Evidence, margin: float) -> Check:
    if not rows:
        return Check(name, "not_measured", {})
    # Written so that NaN, of which no comparison is true, counts as a fall.
    fell = tuple(e for e in rows if not fall(e) <= allowed_fall(e, margin, _before(e, at)))
    worst = max(rows, key=lambda e: (fall(e) != fall(e), fall(e)))
    return Check(name, "refused" if fell else "passed", dict(worst), fell)


def _before(effect: Row, at: Evidence) -> float | None:
    return at.values.get((effect["task"], effect["metric"], effect["versus"]))


def _slices(at: Evidence, main: tuple[str, str], margin: float) -> Check:
    arm = CANDIDATE if any(row["arm"] == CANDIDATE for row in at.gaps) else at.arm
    rows = [row for row in at.gaps if (row["task"], row["metric"], row["arm"]) == (*main, arm)]
    if not any(row["change"] is not None for row in rows):
        return Check("slices", "not_measured" if at.has_slices else "not_asked")
    enough = [_as_effect(row) for row in rows if row["change"] is not None and row["is_enough"]]
    fell = _proven_falls(enough, margin, lambda row: row["value_before"])
    facts = {"enough": len(enough), "thin": len(rows) - len(enough)}
    return Check("slices", "refused" if fell else "passed", facts, fell)


def _as_effect(gap: Row) -> Row:
    """A slice's change in the words of an effect."""
    return {**gap, "value": gap["change"], "low": gap["change_low"], "high": gap["change_high"], "versus": BASE,
            "value_before": gap["value"] - gap["change"]}  # fmt: skip


def _others(at: Evidence, main: tuple[str, str], margin: float) -> Check:
    ours = [e for e in at.effects if e["arm"] == at.arm and e["versus"] in (ORIGINAL, BASE)]
    told_already = {(*main, at.arm, ORIGINAL), (*main, CANDIDATE, BASE)}
    rows = [
        e for e in (*ours, *_of_model(at))
        if e["task"] not in (GENERAL, FORGETTING)
        and (e["task"], e["metric"], e["arm"], e["versus"]) not in told_already
    ]  # fmt: skip

    def before(effect: Row) -> float | None:
        return _before(effect, at)

    overall = [e for e in rows if not DETAIL.fullmatch(e["metric"])]
    fell = _proven_falls(overall, margin, before)
    details = _proven_falls((e for e in rows if DETAIL.fullmatch(e["metric"])), margin, before)
    facts = {"n": len(overall), "details": list(details)}
    return Check("others", "refused" if fell else "passed", facts, fell)


def _proven_falls(rows: Iterable[Row], margin: float, before: Any) -> tuple[Row, ...]:
    return tuple(
        row for row in rows
        if is_proven(row, better=False) and not fall(row) <= allowed_fall(row, margin, before(row))
    )  # fmt: skip


def _checklist(at: Evidence) -> Check:
    if not at.needs_checklist:
        return Check("checklist", "not_asked")
    if at.objections is None:
        return Check("checklist", "not_measured")
    return Check("checklist", "refused" if at.objections else "passed", {"objections": list(at.objections)})
