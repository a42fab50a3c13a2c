"""The risk that learns: P(the caption needs a correction) from signals, fitted to what people said of captions.

    fit = fit_risk(features, answers)          # RiskFit, or None while there are too few answers
    probability(fit, features)                 # (N,) in [0, 1], calibrated

This is the one loop from round to round: annotate appends verdicts to the table `labels`, and scoring reads them here.
A logistic model (scikit-learn) stands on the label-free risk, which enters nearly unpenalised: with few answers it
stays close to it. Most answers come from the top of the queue; that selection follows the signals themselves, so it
does not bias what the model learns about them. It would bias how many captions are bad, so the calibration (Platt
1999) and all figures weigh the answers of the blind audit for everything that nobody has judged, and those from the
queue for themselves alone (Hajek's weights). Out-of-fold values, near-duplicates kept together, decide: a model that
does not rank better than the label-free risk is not used; then the label-free risk is calibrated in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.measures import auroc
from scoring.pairs import Floats, Ints
from scoring.signals import SIGNALS

FEWEST_ANSWERS = 30
FEWEST_OF_A_KIND = 8
FOLDS = 5
PENALTY = 0.05  # scikit-learn's C; chosen on benchmark photos, docs/LOG.md
PRIOR_SCALE = 5.0  # a scaled column is penalised less
CLIPPED = 0.01  # of the label-free risk, before its log odds are taken
BINS = 8  # of the reliability curve
HALF_WIDTH = 3.46  # a rank in [0, 1], centred, times this has variance 1
RAW = ("missing_slots", "vagueness")  # counts that mean the same in every site


@dataclass(frozen=True)
class Answers:
    """What people said of n pairs, in the order of their features."""

    needs_correction: NDArray[np.bool_]  # (n,)
    from_audit: NDArray[np.bool_]  # (n,) drawn blind
    inclusion: Floats  # (n,) probability of having been drawn, 1 for those from the queue
    group_of: Ints  # (n,) near-duplicates
    everything: int  # pairs in the site that could have been asked
    mixed: NDArray[np.bool_] | None = None  # (n,) drawn one by one, by the queue itself; None: none was


@dataclass(frozen=True)
class Bin:
    """One point of the reliability curve: what was predicted, and what was seen, with its 95 % interval (Wilson)."""

    predicted: float
    seen: float
    low: float
    high: float
    answers: int


@dataclass(frozen=True)
class RiskFit:
    """kind: "learned", or "label_free" (calibrated only). Coefficients stand for the columns of `columns`."""

    kind: str
    answers: int
    audited: int
    auroc: float  # out of fold
    auroc_label_free: float  # on the same answers
    coefficients: dict[str, float]
    intercept: float
    slope: float  # of the calibration
    offset: float
    curve: list[Bin]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> RiskFit:
        return cls(**{**found, "curve": [Bin(**one) for one in found["curve"]]})


def columns(
    ranks: Mapping[str, Floats], signals: Mapping[str, Floats], label_free: Floats
) -> dict[str, Floats]:
    """The features of N pairs, each (N,): log odds of the label-free risk, every signal's rank, and some counts.

    What is not known stands in the middle.
    """
    clipped = np.clip(label_free, CLIPPED, 1 - CLIPPED)
    found: dict[str, Floats] = {"label_free": np.log(clipped / (1 - clipped)) * PRIOR_SCALE}
    for name in SIGNALS:
        found[f"rank_{name}"] = np.nan_to_num((ranks[name] - 0.5) * HALF_WIDTH, nan=0.0)
    for name in RAW:
        found[name] = np.minimum(np.nan_to_num(signals[name], nan=0.0), 3.0)
    found["no_other_captions"] = np.isnan(signals["other_captions"]).astype(np.float64)
    return found


def fit_risk(features: Mapping[str, Floats], answers: Answers) -> RiskFit | None:
    """None: fewer than FEWEST_ANSWERS, or fewer than FEWEST_OF_A_KIND of either verdict."""
    wrong = answers.needs_correction
    if len(wrong) < FEWEST_ANSWERS or min(wrong.sum(), (~wrong).sum()) < FEWEST_OF_A_KIND:
        return None
    names = list(features)
    matrix = np.stack([features[name] for name in names], axis=1)
    weight = _weights(answers)
    out_of_fold = _out_of_fold(matrix, wrong, answers.group_of)
    prior = features["label_free"] / PRIOR_SCALE
    ours, theirs = auroc(out_of_fold, wrong, weight), auroc(prior, wrong, weight)
    if ours > theirs:
        model = _logistic(matrix, wrong)
        kind, scores = "learned", out_of_fold
        coefficients = dict(zip(names, map(float, model.coef_[0]), strict=True))
        intercept = float(model.intercept_[0])
    else:
        kind, scores, coefficients, intercept = "label_free", prior, {"label_free": 1 / PRIOR_SCALE}, 0.0
    slope, offset = _calibration(scores, wrong, weight)
    curve = _reliability(_sigmoid(slope * scores + offset), wrong, weight)
    return RiskFit(
        kind, len(wrong), int(answers.from_audit.sum()), float(ours), float(theirs), coefficients, intercept, slope,
        offset, curve,
    )  # fmt: skip


def probability(fit: RiskFit, features: Mapping[str, Floats]) -> Floats:
    """(N,) in [0, 1]."""
    score = fit.intercept + sum(
        (weight * features[name] for name, weight in fit.coefficients.items()), start=np.zeros(1)
    )
    return _sigmoid(fit.slope * score + fit.offset)


def worth_a_look(review_cost: float, bad_caption_cost: float) -> float:
    """The line: from this probability on, what a bad caption costs when it is left outweighs looking at it.

    risk * bad_caption_cost >= review_cost. In [0, 1]; above 1 nothing is worth it.
    """
    return review_cost / bad_caption_cost if bad_caption_cost > 0 else float("inf")


def _weights(answers: Answers) -> Floats:
    """(n,) how many pairs an answer speaks for; the mean is 1."""
    found = np.ones(len(answers.inclusion))
    audit = answers.from_audit
    if audit.any():
        left = max(answers.everything - int((~audit).sum()), int(audit.sum()))
        inverse = 1 / np.maximum(answers.inclusion, 1e-9)
        mixed = np.zeros(len(audit), dtype=bool) if answers.mixed is None else answers.mixed
        for kind in (audit & mixed, audit & ~mixed):  # samples of the same pile: on the average equal weight
            if kind.any():
                inverse[kind] /= inverse[kind].mean()
        found[audit] = inverse[audit] / inverse[audit].sum() * left
    return np.asarray(found / found.mean())


def _out_of_fold(matrix: Floats, wrong: NDArray[np.bool_], group_of: Ints) -> Floats:
    from sklearn.model_selection import StratifiedGroupKFold

    found = np.zeros(len(wrong))
    folds = min(FOLDS, len(np.unique(group_of)))
    if folds < 2:  # near-duplicates of one photo: nothing can be left out, so nothing is known to be learned
        return found
    for learned, asked in StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(
        matrix, wrong, group_of
    ):
        if 0 < wrong[learned].sum() < len(learned):
            found[asked] = _logistic(matrix[learned], wrong[learned]).decision_function(matrix[asked])
    return found


def _logistic(matrix: Floats, wrong: NDArray[np.bool_]) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=PENALTY, max_iter=2000).fit(matrix, wrong)


def _calibration(scores: Floats, wrong: NDArray[np.bool_], weight: Floats) -> tuple[float, float]:
    """Slope (never negative: the order stays) and offset of the log odds, Platt's way, weighted."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0, max_iter=2000).fit(scores[:, None], wrong, sample_weight=weight)
    slope = float(model.coef_[0, 0])
    if slope > 0:
        return slope, float(model.intercept_[0])
    share = float(np.clip(np.average(wrong, weights=weight), 1e-3, 1 - 1e-3))
    return 1e-3, float(np.log(share / (1 - share)))


def _reliability(predicted: Floats, wrong: NDArray[np.bool_], weight: Floats) -> list[Bin]:
    """BINS points with about equally many answers each."""
    found = []
    for part in np.array_split(np.argsort(predicted, kind="stable"), min(BINS, len(predicted) // 5)):
        mean = float(np.average(predicted[part], weights=weight[part]))
        seen = float(np.average(wrong[part], weights=weight[part]))
        effective = float(weight[part].sum() ** 2 / np.square(weight[part]).sum())  # Kish
        low, high = _wilson(seen, effective)
        found.append(Bin(mean, seen, low, high, len(part)))
    return found


def _wilson(share: float, n: float, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927)."""
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -40, 40))))
