"""What one retraining left in the store beyond its effects: label efficiency, slots, slices, lineage, checklists.

Rows come as frozen records, in the order in which they are shown; nothing is computed here that the run did not write.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dashboards.effects import FRACTIONS, metric_place
from data.errors import GenbaError
from data.site import Site
from training.edge_check import Comparison
from training.label_efficiency import Equivalent
from training.model_files import read_meta
from training.slices import shown_gaps

Row = dict[str, Any]


@dataclass(frozen=True)
class Share:
    """A metric of one arm and seed that learned from `labels` labels, `share` of all."""

    run_id: str
    arm: str
    seed: int
    task: str
    metric: str
    share: float
    labels: int
    value: float
    unit: str
    higher_is_better: bool
    n: int


@dataclass(frozen=True)
class SlotEffect:
    """What an item of the template brought: the metric with it minus the metric without it."""

    run_id: str
    slot: str
    task: str
    metric: str
    value: float
    low: float
    high: float
    unit: str
    higher_is_better: bool
    n: int
    seeds: int
    p_value: float | None
    detectable: float | None
    seconds: float | None
    gain_per_second: float | None

    @property
    def verdict(self) -> str:
        """better, worse, or undecided where the interval includes zero."""
        if self.low > 0:
            return "better" if self.higher_is_better else "worse"
        if self.high < 0:
            return "worse" if self.higher_is_better else "better"
        return "undecided"


@dataclass(frozen=True)
class Gap:
    """A metric in one part of a slice, against the rest; change: against the model before (training/slices.py)."""

    run_id: str
    arm: str
    task: str
    metric: str
    slice: str
    part: str
    value: float
    rest: float
    gap: float
    low: float
    high: float
    n: int
    is_enough: bool
    unit: str
    higher_is_better: bool
    change: float | None
    change_low: float | None
    change_high: float | None

    @property
    def is_fraction(self) -> bool:
        return self.unit in FRACTIONS

    @property
    def verdict(self) -> str:
        """better or worse than the rest, or undecided; too few items always say "undecided"."""
        if not self.is_enough or self.low <= 0 <= self.high:
            return "undecided"
        return "better" if (self.low > 0) == self.higher_is_better else "worse"


EFFICIENCY_SQL = "SELECT * FROM efficiency WHERE run_id = ? ORDER BY task, metric, arm, seed, share"
EQUIVALENTS_SQL = """
SELECT * EXCLUDE (run_id) FROM label_equivalents WHERE run_id = ? ORDER BY task, metric, arm, versus, share
"""
SLOTS_SQL = "SELECT * FROM slot_effects WHERE run_id = ? ORDER BY task, metric, slot"
GAPS_SQL = "SELECT * FROM slice_gaps WHERE run_id = ? ORDER BY task, metric, slice, part, arm"
CHECKLISTS_SQL = "SELECT * FROM checklists WHERE model_id = ? ORDER BY signed_at DESC, checklist_id"


def efficiency(site: Site, run_id: str) -> dict[tuple[str, str], list[Share]]:
    """(task, metric) -> points of all arms and seeds."""
    with site.connect() as db:
        found = [Share(**row) for row in db.rows(EFFICIENCY_SQL, [run_id])]
    return _grouped(found, site)


def equivalents(site: Site, run_id: str) -> list[Equivalent]:
    with site.connect() as db:
        return [Equivalent(**row) for row in db.rows(EQUIVALENTS_SQL, [run_id])]


def slot_effects(site: Site, run_id: str) -> dict[tuple[str, str], list[SlotEffect]]:
    """(task, metric) -> effects of the template's items."""
    with site.connect() as db:
        found = [SlotEffect(**row) for row in db.rows(SLOTS_SQL, [run_id])]
    return _grouped(found, site)


def gaps(site: Site, run_id: str) -> dict[tuple[str, str], list[Gap]]:
    """(task, metric) -> every part of every slice, all arms; few authors are held back, as everywhere."""
    with site.connect() as db:
        rows = db.rows(GAPS_SQL, [run_id])
    return _grouped([Gap(**row) for row in shown_gaps(rows, site.settings.review.show_names)], site)


def _grouped(found: list[Any], site: Site) -> dict[tuple[str, str], list[Any]]:
    """By metric, the primary one first."""
    primary = site.settings.retrain.primary_metric
    groups: dict[tuple[str, str], list[Any]] = {}
    for one in found:
        groups.setdefault((one.task, one.metric), []).append(one)
    return dict(sorted(groups.items(), key=lambda group: metric_place(group[0][0], group[0][1], primary)))


@dataclass(frozen=True)
class Checklist:
    """A signed one. answers: question -> {"answer", "note"}. shown: what the lead saw of the gaps."""

    checklist_id: str
    model_id: str
    purpose: str
    answers: dict[str, dict[str, str]]
    shown: Row
    signed_by: str
    signed_at: datetime


def checklists(site: Site, model_id: str) -> list[Checklist]:
    """The newest first."""
    with site.connect() as db:
        return [Checklist(**row) for row in db.rows(CHECKLISTS_SQL, [model_id])]


@dataclass(frozen=True)
class Export:
    """One for devices. report: what it was measured at beside its model."""

    export_id: str
    model_id: str
    format: str
    precision: str
    path: str
    report: Comparison
    exported_by: str
    exported_at: datetime


EXPORTS_SQL = "SELECT * FROM edge_exports WHERE model_id = ? ORDER BY exported_at DESC, export_id"


def exports(site: Site, model_id: str) -> list[Export]:
    """The newest first."""
    with site.connect() as db:
        rows = db.rows(EXPORTS_SQL, [model_id])
    return [Export(**{**row, "report": Comparison.of(row["report"]["report"])}) for row in rows]


@dataclass(frozen=True)
class Lineage:
    """Where a run and its model come from. snapshot_counts: what the snapshot holds. meta: of the model; None: the run
    made none, or its files are gone (then `lost` says so)."""

    run_id: str
    snapshot_id: str | None
    base_encoder: str
    config: Row
    model_id: str | None
    meta: Row | None
    lost: str


LINEAGE_SQL = """
SELECT r.run_id, r.snapshot_id, r.base_encoder, r.config, m.model_id
FROM runs r LEFT JOIN models m USING (run_id) WHERE r.run_id = ?
"""


def lineage(site: Site, run_id: str) -> Lineage:
    """Raises GenbaError for a run that is not known."""
    with site.connect() as db:
        row = db.one(LINEAGE_SQL, [run_id])
    if row is None:
        raise GenbaError(f"No run {run_id!r}.", next=f"genba retrain {site.root}")
    meta, lost = None, ""
    if row["model_id"]:
        try:
            meta = read_meta(site, row["model_id"])
        except GenbaError as error:
            lost = error.what
    return Lineage(**row, meta=meta, lost=lost)
