"""What the site has measured, for dashboards/roi.py: hours by role, job hours, effects of the last run and their draws.

    found(site, "people", "inspection").evidence         # roi.Evidence

Two sides, never added: "people" counts what people worked, and a run only where no simulated correction stands behind
it; "simulated" asks what it would come to had people done what the demo's crew did, and counts all hours and all runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from dashboards import effects, run_figures
from dashboards.figures import COMPUTE_SQL, Missing
from dashboards.labour import SPENT
from dashboards.roi import RESAMPLES, ROLES, Change, Claim, Evidence, hours_drawn
from data.errors import GenbaError
from data.site import Site
from training import compare, runs
from training.compare import CORRECTED, ORIGINAL, REWORDED, Comparison
from training.label_efficiency import Equivalent

if TYPE_CHECKING:
    import numpy as np

Side = Literal["people", "simulated"]
SEARCH = ("retrieval", "recall_at_1_text_to_image")  # chosen before any run, as the overview's main measure
# task -> how its metric begins; the error of a metric that is better when larger is 1 - metric
ERROR_METRICS = {"inspection": "miss_rate", "classification": "accuracy", "slots": "accuracy"}
LABEL_MEASURES = (("segmentation", "miou"), ("depth", "rmse"))  # the first that the run has
LABEL_SHARE = 0.5  # of all labels; fixed beforehand, so that nobody picks the share that came out best
RETRAIN = "genba retrain SITE"
Row = dict[str, Any]
MeasuredChanges = dict[str, Change | Missing]
Changes = Callable[[Site, "str | None", Side, int, str], MeasuredChanges]

# The seconds of dashboards/labour.py, by how many answers took so many, to draw them anew.
ANSWERS_SQL = f"""
SELECT role, simulated, round(seconds) AS whole_seconds, count(*) AS answers, sum(seconds) AS seconds
FROM ({SPENT})
GROUP BY ALL
ORDER BY ALL
"""
PROMOTED_SQL = """
SELECT max(promoted_at) FROM models WHERE run_id = ? AND state = 'champion' AND promoted_at IS NOT NULL
"""


@dataclass(frozen=True)
class Found:
    """The evidence, the run it rests on, its corrections, and the day on which its model came into use (None: not)."""

    evidence: Evidence
    run_id: str | None
    simulated: int
    corrections: int
    in_use_since: date | None


def found(site: Site, side: Side, error_task: str, measure: Changes | None = None) -> Found:
    """Everything that the sum needs, read once. measure: `changes`, or one that keeps what it found."""
    measure = measure or changes
    run_id = effects.last_run(site)
    with site.connect() as db:
        rows = db.rows(ANSWERS_SQL)
        compute_hours = float(db.value(COMPUTE_SQL))
        promoted = db.value(PROMOTED_SQL, [run_id or ""])
    simulated, corrections = effects.simulated_share(site, run_id) if run_id else (0, 0)
    measured = measure(site, run_id, side, simulated, error_task)
    evidence = Evidence(hours(rows, side), compute_hours, measured)
    return Found(evidence, run_id, simulated, corrections, promoted.date() if promoted else None)


def has_simulated(site: Site) -> bool:
    """Whether the demo's crew worked here: then the page offers the second side."""
    with site.connect() as db:
        return db.one("SELECT 1 FROM corrections WHERE simulated LIMIT 1") is not None


def hours(rows: Sequence[Row], side: Side) -> dict[str, np.ndarray]:
    """role -> (1 + R,) hours. rows: of ANSWERS_SQL."""
    import numpy as np

    rng = np.random.default_rng(0)
    drawn = {}
    for role in ROLES:
        of_role = [
            row for row in rows if row["role"] == role and (side == "simulated" or not row["simulated"])
        ]
        answers = np.array([row["answers"] for row in of_role], dtype=np.int64)
        seconds = np.array([row["seconds"] / row["answers"] for row in of_role], dtype=np.float64)
        drawn[role] = hours_drawn(answers, seconds, rng)
    return drawn


def changes(site: Site, run_id: str | None, side: Side, simulated: int, error_task: str) -> MeasuredChanges:
    """Each kind of benefit: the measured improvement, or what it needs."""
    if run_id is None:
        nothing = Missing("a finished retraining with a control arm", RETRAIN)
        return dict.fromkeys(("labels", "errors", "search"), nothing)
    if side == "people" and simulated:
        nothing = Missing("a retraining on corrections of people alone", RETRAIN)
        return dict.fromkeys(("labels", "errors", "search"), nothing)
    known = comparisons(site, run_id)
    wanted = ERROR_METRICS[error_task]
    errors = next((c.metric for c in known if c.task == error_task and c.metric.startswith(wanted)), None)
    missing = {
        "inspection": Missing("held-out photos checked for defects, measured by a retraining", RETRAIN),
        "classification": Missing(
            "checked slots on training and held-out photos, measured by a retraining", RETRAIN
        ),
        "slots": Missing("checked slots on held-out photos, measured by a retraining", RETRAIN),
    }[error_task]
    return {
        "labels": labels_saved(run_figures.equivalents(site, run_id)),
        "errors": _change(site, run_id, known, error_task, errors, 1) if errors else missing,
        "search": _change(site, run_id, known, *SEARCH, 0),
    }


def comparisons(site: Site, run_id: str) -> list[Comparison]:
    """The run's effects, as training/compare.py knows them."""
    with site.connect() as db:
        rows = db.rows(effects.EFFECTS_SQL, [run_id])
    return [Comparison(**{key: value for key, value in row.items() if key != "run_id"}) for row in rows]


def _change(
    site: Site, run_id: str, known: Sequence[Comparison], task: str, metric: str, seed: int
) -> Change | Missing:
    """The improvement of the corrected over the original arm with the bootstrap of the run's own items."""
    import numpy as np

    contrast = (task, metric, CORRECTED, ORIGINAL)
    effect = next((c for c in known if (c.task, c.metric, c.arm, c.versus) == contrast), None)
    if effect is None:
        return Missing("a retraining that measures the corrected against the original captions", RETRAIN)
    path = runs.folder(site, run_id) / "results.parquet"
    try:
        arms = runs.read_results(path, task, metric, [CORRECTED, ORIGINAL])
    except GenbaError:
        return Missing(
            "the results of each test item of the last retraining: they are gone or of an older form", RETRAIN
        )
    if set(arms) != {CORRECTED, ORIGINAL}:
        return Missing(
            "the results of each test item of the last retraining: they are gone or of an older form", RETRAIN
        )
    rng = np.random.default_rng(0)  # as compare.effects: the interval is the one that the run reported
    draws = filled(compare.bootstrap(arms[CORRECTED], arms[ORIGINAL], rng), RESAMPLES)
    better = 1.0 if effect.higher_is_better else -1.0
    shuffled = np.random.default_rng([seed, 2]).permutation(draws)  # measures are drawn independently
    return Change(
        task, metric, better * np.concatenate([[effect.value], shuffled]), claim_of(known, task, metric), effect.n,
        effect.seeds, effect.higher_is_better,
    )  # fmt: skip


def claim_of(known: Sequence[Comparison], task: str, metric: str) -> Claim:
    """compare.claim, as one of the four words."""
    said = compare.claim(known, task, metric)
    words: dict[str, Claim] = {"gain": "gain", "style": "style", "none": "none", "loss": "loss"}
    return words[said]


def filled(draws: np.ndarray, count: int) -> np.ndarray:
    """Exactly `count` draws: those without a value were left out, others stand in for them."""
    import numpy as np

    if len(draws) >= count:
        return draws[:count]
    more = np.random.default_rng(0).choice(draws, count - len(draws))
    return np.concatenate([draws, more])


def labels_saved(rows: Sequence[Equivalent]) -> Change | Missing:
    """How many labels the corrected captions save at half of all labels.

    saved = label equivalent - labels. Where the original arm does not get there with all labels, all of them stand for
    the equivalent, so the saving is at least that. Only the interval is kept of a run, so the draws are those of a
    normal distribution of log(equivalent) with a spread of its own to each side (two-piece normal, Wallis 2014).
    """
    needs = Missing("photos with masks or depth, and a retraining that learns from a part of them", RETRAIN)
    task, metric = next(
        ((t, m) for t, m in LABEL_MEASURES if any((r.task, r.metric) == (t, m) for r in rows)), ("", "")
    )
    of_metric = [row for row in rows if (row.task, row.metric, row.arm) == (task, metric, CORRECTED)]
    at_share = {row.versus: row for row in of_metric if row.share == LABEL_SHARE}
    if ORIGINAL not in at_share:
        return needs
    fewest, most = min(row.labels for row in of_metric), max(row.labels for row in of_metric)
    main = at_share[ORIGINAL]
    ends = [end if end is not None else float(most) for end in (main.equivalent, main.low, main.high)]
    draws = two_piece(*ends).clip(fewest, most) - main.labels
    return Change(task, metric, draws, _labels_claim(at_share), main.labels, 0)


def _labels_claim(by_versus: dict[str, Equivalent]) -> Claim:
    """A gain where more labels are needed for certain: than with the original and than with the reworded captions."""

    def is_more(row: Equivalent) -> bool:
        return row.low is None or row.low > row.labels

    main, reworded = by_versus[ORIGINAL], by_versus.get(REWORDED)
    if main.high is not None and main.high < main.labels:
        return "loss"
    if not is_more(main) or reworded is None:
        return "none"
    return "gain" if is_more(reworded) else "style"


def two_piece(value: float, low: float, high: float) -> np.ndarray:
    """(1 + R,): the value, then draws whose 95 % interval is low to high, on the log scale. All above zero."""
    import numpy as np

    centre = np.log(value)
    z = np.random.default_rng(3).standard_normal(RESAMPLES)
    below, above = (centre - np.log(min(low, value))) / 1.95996, (np.log(max(high, value)) - centre) / 1.95996
    found: np.ndarray = np.exp(np.concatenate([[0.0], np.where(z < 0, z * below, z * above)]) + centre)
    return found
