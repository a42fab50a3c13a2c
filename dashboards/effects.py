"""Retrainings and what they measured: runs, metrics for each seed, effects with intervals, models.

An effect is `value` = metric of `arm` - metric of `versus`, with its 95 % interval from the paired bootstrap of the
run. It is a gain only when the whole interval lies on the better side of zero; `verdict` is the one place that says so.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from dashboards.figures import Missing
from data.records import Metric
from data.site import Site
from training import detect
from training.arm_runs import is_running
from training.runs import LAST_RUN_SQL

Verdict = Literal["better", "worse", "undecided"]
# What may be claimed of a run: a gain only beyond the reworded arm. "style": better than the original captions, but not
# provenly than the same content in the template's words; "untold": better, and there is no reworded arm to tell.
Claim = Literal["gain", "style", "untold", "none", "loss"]

# The main measure is [retrain] primary of genba.toml, chosen before any run, so that nobody picks the metric that came
# out best. Behind it stand searches, by words first: that is what captions are for.
MAIN_CONTRAST = ("corrected", "original")
REWORDED = "reworded"
FIRST_METRICS = (("recall_at_1", "text_to_image"), ("recall_at_1", "image_to_text"), ("recall_at_1", ""))
FRACTIONS = (
    "",
    "1",
    "fraction",
    "share",
    "ratio",
)  # units of metrics in [0, 1]: shown as per cent and points


@dataclass(frozen=True)
class Effect:
    """What one arm measured minus what another did. `value`, `low`, `high` in `unit`; n test items, seeds per arm."""

    run_id: str
    task: str
    metric: str
    arm: str
    versus: str
    value: float
    low: float
    high: float
    unit: str
    higher_is_better: bool
    n: int
    seeds: int
    p_value: float | None = None  # of the sign-flip test over test items (training/compare.py)
    detectable: float | None = None  # what could have been detected, as stated before the run
    is_primary: bool = False  # of the metric that [retrain] primary names

    @property
    def verdict(self) -> Verdict:
        """ "undecided" whenever the interval includes zero, however large the value.

        >>> Effect("r", "depth", "rmse", "a", "b", -0.2, -0.3, -0.1, "m", False, 50, 3).verdict
        'better'
        """
        if self.low > 0:
            return "better" if self.higher_is_better else "worse"
        if self.high < 0:
            return "worse" if self.higher_is_better else "better"
        return "undecided"

    @property
    def is_fraction(self) -> bool:
        return self.unit in FRACTIONS


@dataclass(frozen=True)
class Run:
    """One row of the runs table, with who asked for it when a job did."""

    run_id: str
    kind: str
    state: str  # running, interrupted (killed: the same goes on with it), done, failed, cancelled
    snapshot_id: str | None
    base_encoder: str
    config: dict[str, Any]
    error: str | None
    seconds: float | None
    created_at: datetime
    finished_at: datetime | None
    requested_by: str | None
    arms: tuple[str, ...]  # those with metrics
    seeds: int  # with metrics; of a run that is not done, those asked for


@dataclass(frozen=True)
class Model:
    """One retrained model."""

    model_id: str
    run_id: str
    arm: str
    state: str  # candidate, champion, retired
    encoder: str
    base_encoder: str
    created_at: datetime
    promoted_at: datetime | None


RUNS_SQL = """
SELECT r.*,
       (SELECT any_value(j.requested_by) FROM jobs j WHERE j.result ->> 'run' = r.run_id
            OR (r.state = 'running' AND j.state = 'running' AND j.name = r.kind)) AS requested_by,
       (SELECT list(DISTINCT m.arm ORDER BY m.arm) FROM metrics m WHERE m.run_id = r.run_id) AS arms,
       greatest((SELECT count(DISTINCT m.seed) FROM metrics m WHERE m.run_id = r.run_id),
            CASE WHEN r.state = 'done' THEN 0
                 ELSE coalesce(TRY_CAST(json_extract_string(r.config, '$.asked.seeds') AS INTEGER), 0) END) AS seeds
FROM runs r
ORDER BY r.created_at DESC, r.run_id
"""


def runs(site: Site) -> list[Run]:
    """Every run, newest first."""
    is_at_work = is_running(site)
    with site.connect() as db:
        rows = db.rows(RUNS_SQL)
    for row in rows:
        if row["state"] == "running" and not is_at_work:
            row["state"] = "interrupted"
    return [Run(**{**row, "arms": tuple(row["arms"] or ())}) for row in rows]


def last_run(site: Site) -> str | None:
    """Id of the newest finished run with effects, or None."""
    with site.connect() as db:
        row = db.one(LAST_RUN_SQL)
    return str(row["run_id"]) if row else None


EFFECTS_SQL = "SELECT * FROM effects WHERE run_id = ? ORDER BY task, metric, arm, versus"


def effects(site: Site, run_id: str) -> list[Effect]:
    """A run's effects, the main contrast's before the others, in it the primary metric's first."""
    primary = site.settings.retrain.primary_metric
    with site.connect() as db:
        rows = db.rows(EFFECTS_SQL, [run_id])
    found = [Effect(**row, is_primary=(row["task"], row["metric"]) == primary) for row in rows]
    return sorted(found, key=_place)


def _place(effect: Effect) -> tuple[Any, ...]:
    contrast = 0 if (effect.arm, effect.versus) == MAIN_CONTRAST else 1
    primary = (effect.task, effect.metric) if effect.is_primary else None
    return contrast, *metric_place(effect.task, effect.metric, primary), effect.arm, effect.versus


@functools.cache
def metric_place(
    task: str, metric: str, primary: tuple[str, str] | None
) -> tuple[bool, int, bool, str, tuple[tuple[int, str], ...]]:
    """Order of metrics: the primary one, recall at 1, the other retrieval ones, other tasks; top 5 before top 10."""
    where = f"{task}_{metric}".replace("@", "_at_")
    wanted = [
        place
        for place, (name, direction) in enumerate(FIRST_METRICS)
        if re.search(rf"{name}(?!\d)", where) and direction in where
    ]
    pieces = tuple((int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", metric))
    first = min(wanted, default=len(FIRST_METRICS))
    return (task, metric) != primary, first, not task.startswith("retrieval"), task, pieces


def main_effect(found: Sequence[Effect]) -> Effect | None:
    """The one effect that was chosen beforehand to be spoken of, never the one that came out best: that of the primary
    metric. None where the run did not measure it."""
    return min((e for e in found if e.is_primary), key=_place, default=None)


def beyond_wording(found: Sequence[Effect]) -> Effect | None:
    """The primary metric of the same arm against the reworded one, or None where the run had none."""
    main = main_effect(found)
    if main is None:
        return None
    wanted = (main.task, main.metric, main.arm, REWORDED)
    return next((e for e in found if (e.task, e.metric, e.arm, e.versus) == wanted), None)


def claim(found: Sequence[Effect]) -> Claim:
    """What may be said of the corrections, in the primary metric; every page and the report ask here."""
    main, beyond = main_effect(found), beyond_wording(found)
    if main is None or main.verdict == "undecided":
        return "none"
    if main.verdict == "worse":
        return "loss"
    if beyond is None:
        return "untold"
    return "gain" if beyond.verdict == "better" else "style"


def same_contrast(found: list[Effect]) -> list[Effect]:
    """The effects between the same two arms as the main one (or the first, where there is none), in order."""
    main = main_effect(found) or min(found, key=_place, default=None)
    return [e for e in sorted(found, key=_place) if main and (e.arm, e.versus) == (main.arm, main.versus)]


def detectable(effect: Effect, seeds: int | None = None) -> float | None:
    """The smallest true effect that a run with this one's spread finds with 80 % power at the 5 % level.

    (z(0.975) + z(0.8)) times the standard error, which is the interval's width / (2 z(0.975)); Cohen 1988, chapter 2.
    An interval of -1.96 to 1.96 has the standard error 1, so 2.80 can be found. seeds: of a run with another number of
    them (training/detect.py: brought_to); else this one's. None where the interval does not tell: one seed, equal arms.
    """
    if not detect.tells(effect.seeds, effect.low, effect.high):
        return None
    error = (effect.high - effect.low) / (2 * 1.95996)
    return (1.95996 + 0.84162) * detect.brought_to(
        error, effect.n, effect.seeds, effect.n, seeds or effect.seeds
    )


TELLING_SQL = """
SELECT e.* FROM effects e JOIN runs r USING (run_id)
WHERE r.state = 'done' AND r.kind = 'retrain' AND e.task = ? AND e.metric = ? AND e.seeds >= ? AND e.high > e.low
ORDER BY r.created_at DESC, e.run_id
"""


def telling(site: Site) -> Effect | None:
    """The main effect of the newest retraining whose interval tells how small an effect another can show: that of two
    seeds or more. The retraining itself judges by the same one (training/detect.py: state)."""
    with site.connect() as db:
        rows = db.rows(TELLING_SQL, [*site.settings.retrain.primary_metric, detect.FEWEST_SEEDS])
    return main_effect([Effect(**row, is_primary=True) for row in rows if row["run_id"] == rows[0]["run_id"]])


RETRAIN = "genba retrain SITE"


def gain(site: Site) -> Effect | Missing:
    """The main effect of the last finished run. Whether it may be called a gain is for `claim` to say."""
    run_id = last_run(site)
    if run_id is None:
        return Missing("a finished retraining with a control arm", RETRAIN)
    return main_effect(effects(site, run_id)) or Missing(
        "a finished retraining that measures the primary metric ([retrain] primary in genba.toml)", RETRAIN
    )


METRICS_SQL = "SELECT * FROM metrics WHERE run_id = ? ORDER BY task, metric, arm, seed"


def metrics(site: Site, run_id: str) -> list[list[Metric]]:
    """One list for each metric, the primary one first; in it every arm and seed, the control before the corrected."""
    with site.connect() as db:
        found = [Metric(**row) for row in db.rows(METRICS_SQL, [run_id])]
    groups: dict[tuple[str, str], list[Metric]] = {}
    for metric in found:
        groups.setdefault((metric.task, metric.metric), []).append(metric)
    order = [*reversed(MAIN_CONTRAST)]
    for group in groups.values():
        group.sort(key=lambda m: (order.index(m.arm) if m.arm in order else len(order), m.arm, m.seed))
    primary = site.settings.retrain.primary_metric
    return sorted(groups.values(), key=lambda group: metric_place(group[0].task, group[0].metric, primary))


MODELS_SQL = """
SELECT model_id, run_id, arm, state, encoder, base_encoder, created_at, promoted_at FROM models
ORDER BY CASE state WHEN 'champion' THEN 0 WHEN 'candidate' THEN 1 ELSE 2 END, created_at DESC, model_id
"""


def models(site: Site) -> list[Model]:
    """The champion first, then candidates, then retired ones."""
    with site.connect() as db:
        return [Model(**row) for row in db.rows(MODELS_SQL)]


SIMULATED_SQL = """
SELECT count(DISTINCT c.old_pair_id) FILTER (WHERE c.simulated) AS simulated,
       count(DISTINCT c.old_pair_id) AS fixed
FROM corrections c JOIN runs r ON r.run_id = ?
WHERE c.state = 'active' AND c.verdict = 'fix' AND c.created_at <= r.created_at
"""


def simulated_share(site: Site, run_id: str) -> tuple[int, int]:
    """(simulated, all) fixed captions that were there when the run began."""
    with site.connect() as db:
        row = db.rows(SIMULATED_SQL, [run_id])[0]
    return int(row["simulated"]), int(row["fixed"])
