"""The site's own relative changes beside those of the paper behind the idea. Rows in, frozen records out.

    compared(site, run_id)       # [Row of the panel, …]; a measure that the run lacks is Missing

The paper: Vasu et al. 2024, "CLIP with Quality Captions" (arXiv 2405.08911): a CLIP ViT-B/16 pre-trained on better
captions, against masked-image pre-training (MAE): mIoU 48.1 -> about 53.9 (ADE20k, +12 %), RMSE 0.383 -> about 0.339 m
(NYUv2, -11.5 %), and as good with a tenth of the labels. It compares two ways of pre-training on millions of photos;
a site compares the same short retraining on a few hundred or thousand captions, corrected or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboards import effects, run_figures
from dashboards.effects import MAIN_CONTRAST
from dashboards.figures import Missing
from dashboards.roi import Span
from dashboards.roi_evidence import LABEL_MEASURES, LABEL_SHARE, RETRAIN
from data.records import Metric
from data.site import Site
from training.label_efficiency import Equivalent

PAPER = {"miou": 0.12, "rmse": -0.115, "labels": 10.0}
MEASURES = {"miou": ("segmentation", "miou"), "rmse": ("depth", "rmse")}


@dataclass(frozen=True)
class Compared:
    """measure: miou, rmse (relative changes, shares of 1) or labels (times). n: test photos, or labels learned from."""

    measure: str
    paper: float
    site: Span | Missing
    higher_is_better: bool
    n: int

    @property
    def is_proven(self) -> bool:
        """Whether the site's whole interval lies on the better side of no change."""
        if isinstance(self.site, Missing):
            return False
        none = 1.0 if self.measure == "labels" else 0.0
        return self.site.low > none if self.higher_is_better else self.site.high < none


def compared(site: Site, run_id: str | None) -> list[Compared]:
    """The three measures of the paper, in its order."""
    if run_id is None:
        needs = Missing("a finished retraining with a control arm", RETRAIN)
        return [Compared(name, value, needs, name != "rmse", 0) for name, value in PAPER.items()]
    measured = {(group[0].task, group[0].metric): group for group in effects.metrics(site, run_id)}
    known = effects.effects(site, run_id)
    rows = [relative(name, known, measured.get(MEASURES[name], [])) for name in MEASURES]
    return [*rows, label_ratio(run_figures.equivalents(site, run_id))]


def relative(name: str, known: Sequence[effects.Effect], measured: Sequence[Metric]) -> Compared:
    """Effect / the original arm's mean over seeds, and its interval over the same mean.

    0.02 (0.01 to 0.03) on a mean of 0.4 is +5 % (+2.5 to +7.5).
    """
    task, metric = MEASURES[name]
    effect = next(
        (e for e in known if (e.task, e.metric, e.arm, e.versus) == (task, metric, *MAIN_CONTRAST)), None
    )
    control = [one.value for one in measured if one.arm == MAIN_CONTRAST[1]]
    mean = sum(control) / len(control) if control else 0.0
    if effect is None or not mean:
        kind = {
            "miou": "photos with masks, measured by a retraining",
            "rmse": "photos with depth, measured by a retraining",
        }
        return Compared(name, PAPER[name], Missing(kind[name], RETRAIN), name != "rmse", 0)
    found = Span(effect.value / mean, effect.low / mean, effect.high / mean)
    return Compared(name, PAPER[name], found, effect.higher_is_better, effect.n)


def label_ratio(rows: Sequence[Equivalent]) -> Compared:
    """Label equivalent / labels at half of all labels. What lies beyond all labels counts as all of them: twice."""
    for task, metric in LABEL_MEASURES:
        for row in rows:
            if (row.task, row.metric, row.arm, row.versus, row.share) == (
                task,
                metric,
                *MAIN_CONTRAST,
                LABEL_SHARE,
            ):
                most = max(one.labels for one in rows if (one.task, one.metric) == (task, metric))
                ends = [end if end is not None else most for end in (row.equivalent, row.low, row.high)]
                value, low, high = (end / row.labels for end in ends)
                found = Span(value, min(low, value), max(high, value))
                return Compared("labels", PAPER["labels"], found, True, row.labels)
    needs = Missing("photos with masks or depth, and a retraining that learns from a part of them", RETRAIN)
    return Compared("labels", PAPER["labels"], needs, True, 0)
