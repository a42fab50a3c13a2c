"""Names in words of what a retraining measures beyond retrieval; what this file does not know keeps its own name."""

from __future__ import annotations

import re
from collections.abc import Mapping

from data.messages import translator

HEADLINE = re.compile(r"recall_at_1_\w+|miou|rmse|macro_f1|accuracy|miss_rate[\w.:]*")


def is_headline(metric: str) -> bool:
    """Whether it stands in the charts at first sight; recall at 5 and 10, single classes and items do not."""
    return bool(HEADLINE.fullmatch(metric))


def is_by_captions(task: str) -> bool:
    """Whether it is the search with one kind of captions, beside the search with all."""
    return task in ("retrieval_legacy", "retrieval_template")


def headline_place(task: str) -> int:
    """The tasks first; then the linear probe, which is an aid beside them; then the search by kinds of captions."""
    return 2 if is_by_captions(task) else int(task == "classification")


def of_style(task: str, name: str, language: str) -> str:
    """A retrieval metric's name with the captions that it is about: all, those right before, those of the template."""
    _ = translator(language)
    text = {
        "retrieval_legacy": _("{name}, legacy"),
        "retrieval_template": _("{name}, template"),
        "general": _("{name}, general"),
    }.get(task, "{name}")
    return text.format(name=name)


def metric_words(task: str, metric: str, language: str, labels: Mapping[str, str] | None = None) -> str:
    """slots/macro_f1_defect -> "Items named right (F1): defect". labels: what the template calls its items."""
    _ = translator(language)
    if metric.startswith("median_rank"):
        name = _("Place of the right photo (median)")
        if "image_to_text" in metric:
            name = _("Place of the right words (median)")
        return of_style(task, name, language)
    called = labels or {}
    if metric.startswith("miss_rate"):
        return _("Defects missed (miss rate)")
    known = {
        "delta_1_25": _("Depth within 25 %"),
        "abs_rel": _("Relative error of depth"),
    }
    if metric in known:
        return known[metric]
    of_task = {
        "slots": _("Items named without training"),
        "classification": _("Items named by a linear probe"),
    }
    kinds = {"accuracy": _("{name} (accuracy)"), "macro_f1": _("{name} (F1)")}
    for kind, text in kinds.items():
        if task in of_task and (metric == kind or metric.startswith(f"{kind}_")):
            item = metric.removeprefix(kind).removeprefix("_")
            name = text.format(name=of_task[task])
            return _("{item}: {text}").format(item=name, text=called.get(item, item)) if item else name
    if metric.startswith("iou_"):
        item = metric.removeprefix("iou_")
        return _("Regions found: {name}").format(name=called.get(item, item))
    return f"{task}: {metric}"
