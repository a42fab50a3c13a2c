"""How far two people who answer the same pair blind agree, slot by slot, and what they confuse.

    found = by_slot(opinions(site), site.template())     # [Agreement(slot="defect", n=57, kappa=.71, alpha=.71, …), …]
    confusions(opinions(site))                           # [Confusion("defect", "scratch", "crack", 7), …]

Cohen's kappa (Cohen 1960, Educational and Psychological Measurement 20, 37-46) compares first with second answers;
quadratic weights for ratings (Cohen 1968, Psychological Bulletin 70, 213-220), none for numbers. Krippendorff's alpha
(Krippendorff 2019, Content Analysis, 4th ed., ch. 12) does not care who came first and fits every scale: nominal for
choices, ordinal for ratings, interval for numbers. Kappa is scikit-learn's, alpha NLTK's. Both are 1 for full agreement
and 0 for chance. Free texts are left out. Pairs are compared as they were answered, whatever a lead decided afterwards;
those of new people and hard slots are drawn more often, so that all of it is rather too low than too high.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from annotate.review_draw import LOW_SLOTS
from annotate.reviews import ANSWERED, is_same

if TYPE_CHECKING:
    import numpy as np

    from data.site import Site
    from data.templates import Template

Scale = Literal["nominal", "ordinal", "interval"]
SCALES: dict[str, Scale] = {
    "choice": "nominal",
    "multi": "nominal",
    "rating": "ordinal",
    "number": "interval",
}
VERDICT = "verdict"
FEWEST = 10  # pairs; with fewer nothing is said but the number
LATEST = 500  # reviews: how people agree now, not years ago
RESAMPLES = 1000
SKEWED = 0.9  # share of equal answers
GOOD, TENTATIVE = 0.8, 0.667  # Krippendorff's own bounds: rely on it; draw tentative conclusions only


@dataclass(frozen=True)
class Opinion:
    """Two answers on one pair, each {"verdict": …, "slots": {…}}."""

    first: Mapping[str, Any]
    second: Mapping[str, Any]


@dataclass(frozen=True)
class Agreement:
    """Agreement on one slot, or on the verdict. None: too few pairs, or all answers are the same one.

    n: pairs that both answered. same: share of them with equal answers. low, high: 95 % bootstrap interval of alpha.
    """

    slot: str
    n: int
    same: float
    kappa: float | None = None
    alpha: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def is_enough(self) -> bool:
        return self.n >= FEWEST

    @property
    def is_skewed(self) -> bool:
        """Nearly all give the same answer, so that chance explains nearly all and a low value says nothing.

        High agreement but low kappa: Feinstein and Cicchetti 1990, J Clin Epidemiol 43, 543-549.
        """
        return self.same >= SKEWED and self.alpha is not None and self.alpha < TENTATIVE


@dataclass(frozen=True)
class Confusion:
    """Two answers that stood against each other `times` times, whoever gave which; None: left empty."""

    slot: str
    one: Any
    other: Any
    times: int


def opinions(site: Site, limit: int = LATEST) -> list[Opinion]:
    """The latest pairs of first and second answers."""
    with site.connect() as db:
        rows = db.rows(
            "SELECT r.verdict, r.slots, c.verdict AS first_verdict, c.slots AS first_slots FROM reviews r "
            "JOIN corrections c ON c.correction_id = r.correction_id WHERE list_contains(?, r.state) "
            "ORDER BY r.answered_at DESC, r.review_id LIMIT ?",
            [list(ANSWERED), limit],
        )
    return [
        Opinion(
            {"verdict": row["first_verdict"], "slots": row["first_slots"]},
            {"verdict": row["verdict"], "slots": row["slots"]},
        )
        for row in rows
    ]


def by_slot(found: Sequence[Opinion], template: Template, resamples: int = RESAMPLES) -> list[Agreement]:
    """Agreement on the verdict, then on each slot that anybody answered, in the order of the form."""
    import numpy as np

    rng = np.random.default_rng(20201)  # the interval of the same answers is the same on every visit
    scales: dict[str, Scale] = {slot.id: SCALES[slot.type] for slot in template.slots if slot.type in SCALES}
    return [
        measure(slot, pairs, scales.get(slot, "nominal"), resamples, rng)
        for slot, pairs in values(found, template).items()
        if pairs
    ]


def values(found: Sequence[Opinion], template: Template) -> dict[str, list[tuple[Any, Any]]]:
    """Slot (the verdict first) -> the two answers of each pair where the form asked both people for it.

    A slot that only one was asked for (another answer hid it) is left out: the difference stands at that other answer.
    A slot left empty is an answer of its own, "", but no number or rating.
    """
    slots = {slot.id: slot.type for slot in template.slots if slot.type in SCALES}
    pairs: dict[str, list[tuple[Any, Any]]] = {slot: [] for slot in (VERDICT, *slots)}
    for one in found:
        pairs[VERDICT].append((one.first["verdict"], one.second["verdict"]))
        if one.first["verdict"] != "fix" or one.second["verdict"] != "fix":
            continue
        first, second = one.first["slots"], one.second["slots"]
        asked = {slot.id for slot in template.visible(first)} & {slot.id for slot in template.visible(second)}
        for slot in slots.keys() & asked:
            both = _plain(first.get(slot)), _plain(second.get(slot))
            if SCALES[slots[slot]] == "nominal" or "" not in both:
                pairs[slot].append(both)
    return pairs


def _plain(value: Any) -> Any:
    """A value that can be compared and sorted: a list as its sorted members in one text."""
    if isinstance(value, (list, tuple)):
        return ", ".join(sorted(str(one) for one in value))
    return "" if value is None else value


def measure(
    slot: str, pairs: Sequence[tuple[Any, Any]], scale: Scale, resamples: int, rng: np.random.Generator
) -> Agreement:
    """Agreement over pairs of answers. Below FEWEST only their number and the share of equal ones."""
    share = sum(is_same(*pair) for pair in pairs) / len(pairs) if pairs else 0.0
    if len(pairs) < FEWEST:
        return Agreement(slot, len(pairs), share)
    codes = _codes(pairs, scale)
    low, high = _interval(codes, scale, resamples, rng)
    return Agreement(slot, len(pairs), share, _kappa(codes, scale), alpha(codes, scale), low, high)


def _codes(pairs: Sequence[tuple[Any, Any]], scale: Scale) -> np.ndarray:
    """float64 [2, n]: the numbers themselves, or for choices a number for each answer."""
    import numpy as np

    if scale != "nominal":
        return np.array(pairs, dtype=np.float64).T
    known = {value: place for place, value in enumerate(sorted({str(one) for pair in pairs for one in pair}))}
    return np.array([[known[str(one)] for one in pair] for pair in pairs], dtype=np.float64).T


def alpha(codes: np.ndarray, scale: Scale) -> float | None:
    """Krippendorff's alpha by NLTK; None where all answers are one and the same: nothing tells skill from chance."""
    from nltk.metrics.agreement import AnnotationTask

    if codes.min() == codes.max():
        return None
    values, apart = _apart(codes, scale)
    place = {one: number for number, one in enumerate(values.tolist())}
    answers = [
        (person, number, one) for person, row in enumerate(codes) for number, one in enumerate(row.tolist())
    ]
    task = AnnotationTask(answers, distance=lambda one, other: float(apart[place[one], place[other]]))
    return float(task.alpha())


def _apart(codes: np.ndarray, scale: Scale) -> tuple[np.ndarray, np.ndarray]:
    """The different values [v], and how far they are apart [v, v].

    0 or 1 for choices; (a - b)^2 for numbers; for ranks the number of answers that lie between, those at the two ends
    counted half, squared (Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, section D).
    """
    import numpy as np

    values, counts = np.unique(codes, return_counts=True)
    if scale == "nominal":
        return values, 1.0 - np.eye(len(values))
    places = values if scale == "interval" else np.cumsum(counts) - counts / 2
    return values, (places[:, None] - places[None, :]) ** 2


def fast_alpha(codes: np.ndarray, scale: Scale) -> float | None:
    """The same as `alpha`, in microseconds: for resampling, and while somebody waits for "saved".

    1 - observed / expected disagreement of the N = 2 n answers; for numbers in closed form, as a thousand different
    ones have a million distances.
    """
    import numpy as np

    if codes.min() == codes.max():
        return None
    if scale == "interval":
        spread = float(((codes - codes.mean()) ** 2).sum())
        return 1 - (codes.size - 1) * float(((codes[0] - codes[1]) ** 2).sum()) / (codes.size * spread)
    values, apart = _apart(codes, scale)
    places = np.searchsorted(values, codes)
    counts = np.bincount(places.ravel(), minlength=len(values))
    observed = float(apart[places[0], places[1]].mean())
    expected = float(counts @ apart @ counts) / (codes.size * (codes.size - 1))
    return 1 - observed / expected


def _kappa(codes: np.ndarray, scale: Scale) -> float | None:
    """Cohen's kappa; None for numbers, and where all answers are one and the same."""
    from sklearn.metrics import cohen_kappa_score

    if scale == "interval" or codes.min() == codes.max():
        return None
    weights = "quadratic" if scale == "ordinal" else None
    return float(cohen_kappa_score(codes[0].astype(int), codes[1].astype(int), weights=weights))


def _interval(
    codes: np.ndarray, scale: Scale, resamples: int, rng: np.random.Generator
) -> tuple[float | None, float | None]:
    """95 % percentile interval of alpha over resampled pairs (Efron 1979). None where hardly any resample has one.

    A resample in which all answers are the same has no alpha and is left out.
    """
    import numpy as np

    places = rng.integers(codes.shape[1], size=(resamples, codes.shape[1]))
    alphas = [one for row in places if (one := fast_alpha(codes[:, row], scale)) is not None]
    if len(alphas) < resamples / 2:
        return None, None
    low, high = np.quantile(alphas, [0.025, 0.975])
    return float(low), float(high)


def confusions(found: Sequence[Opinion], template: Template, most: int = 10) -> list[Confusion]:
    """What stood against each other most often, the verdict too; numbers and texts are left out."""
    counted: Counter[tuple[str, Any, Any]] = Counter()
    numbers = {slot.id for slot in template.slots if SCALES.get(slot.type) == "interval"}
    for slot, pairs in values(found, template).items():
        for one, other in pairs if slot not in numbers else ():
            if one != other:
                counted[slot, *sorted((one, other), key=str)] += 1
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0][0], str(item[0][1:])))
    return [Confusion(slot, one, other, times) for (slot, one, other), times in ranked[:most]]


def remember_low(site: Site) -> list[str]:
    """Keep in the store on which slots people agree poorly: corrections that answer them are drawn more often."""
    below = site.settings.review.low_agreement
    template = site.template()
    scales: dict[str, Scale] = {slot.id: SCALES[slot.type] for slot in template.slots if slot.type in SCALES}
    low = []
    for slot, pairs in values(opinions(site), template).items():
        if slot in scales and len(pairs) >= FEWEST:
            share = sum(is_same(*pair) for pair in pairs) / len(pairs)
            codes = _codes(pairs, scales[slot])
            found = Agreement(slot, len(pairs), share, alpha=fast_alpha(codes, scales[slot]))
            if found.alpha is not None and found.alpha < below and not found.is_skewed:
                low.append(slot)
    with site.connect() as db:
        db.set_state(LOW_SLOTS, low)
    return low
