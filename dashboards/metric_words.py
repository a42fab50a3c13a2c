"""Names in words of what a retraining measures beyond retrieval; what this file does not know keeps its own name."""

from __future__ import annotations

import re

from data.messages import translator

HEADLINE = re.compile(r"recall_at_1_\w+|miou|rmse|macro_f1|accuracy|miss_rate[\w.:]*")


def is_headline(metric: str) -> bool:
    """Whether it stands in the charts at first sight; recall at 5 and 10, single classes and items do not."""
    return bool(HEADLINE.fullmatch(metric))


def of_style(task: str, name: str, language: str) -> str:
    """A retrieval metric's name with the captions that it is about: all, those right before, those of the template."""
    _ = translator(language)
    text = {
        "retrieval_legacy": _("{name}, legacy"),
        "retrieval_template": _("{name}, template"),
        "general": _("{name}, general"),
    }.get(task, "{name}")
    return text.format(name=name)


def metric_words(task: str, metric: str, language: str) -> str:
    """slots/macro_f1_defect -> "Items named right (F1): defect"."""
    _ = translator(language)
    if metric.startswith("median_rank"):
        name = _("Place of the right photo (median)")
        if "image_to_text" in metric:
            name = _("Place of the right words (median)")
        return of_style(task, name, language)
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
            return text.format(name=of_task[task]) + (f": {item}" if item else "")
    if metric.startswith("iou_"):
        return _("Regions found: {name}").format(name=metric.removeprefix("iou_"))
    return f"{task}: {metric}"
