"""What the gate says, in words, in both languages: one sentence for each Check.

against(checks, "ja")       # only what stands against the model
sentence(check, "en")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from data.messages import Translate, number, translator
from training.checklist import questions
from training.gate import CANDIDATE, FORGETTING, GENERAL, SHARES, Check

MetricName = Callable[[str, str, str], str]
Row = dict[str, Any]
MOST_NAMED = 3


def plain_name(task: str, metric: str, language: str) -> str:
    """A metric as the store calls it. Pages give words in its place (dashboards/words.py)."""
    return metric


def against(checks: Iterable[Check], language: str, name: MetricName = plain_name) -> list[str]:
    """The sentences of the checks that stand against the model."""
    return [sentence(check, language, name) for check in checks if check.stands_against]


def told(check: Check, language: str, name: MetricName = plain_name) -> Row:
    """A check as --json gives it: name, state, title, text."""
    return {
        "name": check.name,
        "state": check.state,
        "title": title(check, language),
        "text": sentence(check, language, name),
    }


def title(check: Check, language: str) -> str:
    """What the check is about, in a few words."""
    _ = translator(language)
    return {
        "primary": _("Gain over the original captions"),
        "reworded": _("Gain beyond the wording"),
        "in_use": _("Against the model in use"),
        "general": _("General photos"),
        "forgetting": _("What was right before"),
        "slices": _("Slices"),
        "others": _("Other measures"),
        "checklist": _("Signed checklist"),
    }[check.name]


def sentence(check: Check, language: str, name: MetricName = plain_name) -> str:
    """One check in a sentence that says what was found, passed or not."""
    _ = translator(language)
    if check.state == "not_asked":
        return _not_asked(check, _)
    if check.state == "not_measured":
        return _not_measured(check, _, language, name)
    if check.name == "checklist":
        return _checklist(check, _, language)
    if check.name in ("primary", "reworded"):
        return _gain(check, _, language, name)
    if check.name in ("slices", "others"):
        return _many(check, _, language, name)
    text = {
        ("in_use", "passed"): _("Against the model in use it does not fall: {change}."),
        ("in_use", "refused"): _("It falls behind the model in use: {change}."),
        ("general", "passed"): _("On the general set it forgets nothing that matters: {change}."),
        ("general", "refused"): _("On the general set it forgets: {change}."),
        ("forgetting", "passed"): _("On captions that were right before it forgets nothing that matters: {change}."),
        ("forgetting", "refused"): _("On captions that were right before it forgets: {change}."),
    }[check.name, check.state]  # fmt: skip
    return text.format(change=changes(check.falls or (check.facts,), language, name))


def _not_asked(check: Check, _: Translate) -> str:
    return {
        "reworded": _("The run has no reworded arm, so style is not told apart from content."),
        "general": _(
            "The site names no general set (retrain.general_set in genba.toml), so none is guarded."
        ),
        "slices": _("The checked test captions all lie in one part, so there are no slices to guard."),
        "checklist": _("No checklist is needed: an earlier promotion was signed."),
    }[check.name]


def _not_measured(check: Check, _: Translate, language: str, name: MetricName) -> str:
    facts = check.facts
    if check.name in ("primary", "reworded"):
        text = _("Not measured: the run did not compare {metric} with the arm “{versus}”.")
        return text.format(metric=name(facts["task"], facts["metric"], language), versus=facts["versus"])
    if check.name == "in_use" and facts:
        text = _("Not measured: the run compared it with {then}, and {now} is in use now.")
        return text.format(then=facts["measured_against"] or "—", now=facts["in_use"])
    return {
        "in_use": _("Not measured: the run did not compare the model itself with the one in use."),
        "general": _("Not measured: the run did not measure the general set that the site names."),
        "forgetting": _("Not measured: the run compared no held-out captions that were found right as they stand."),
        "slices": _("Not measured: the run did not compare the slices of the site."),
        "checklist": _("The first promotion needs a checklist that a lead has signed."),
    }[check.name]  # fmt: skip


def _checklist(check: Check, _: Translate, language: str) -> str:
    refused = check.facts["objections"]
    if not refused:
        return _("A lead has signed the checklist.")
    asked = {one.key: one.text for one in questions(language)}
    first = " / ".join(asked[key] for key in refused)
    return _("The signed checklist says no to: {questions}").format(questions=first)


def _gain(check: Check, _: Translate, language: str, name: MetricName) -> str:
    text = {
        ("primary", "passed"): _("The gain over the original captions is proven: {change}."),
        ("primary", "refused"): _("No gain over the original captions is proven: {change}."),
        ("reworded", "passed"): _("The gain goes beyond the wording: {change}, against the reworded captions."),
        ("reworded", "refused"): _("No gain beyond the wording is proven: {change}, against the reworded captions."),
    }[check.name, check.state]  # fmt: skip
    return text.format(change=change(check.facts, language, name))


def _many(check: Check, _: Translate, language: str, name: MetricName) -> str:
    facts = check.facts
    if check.name == "slices":
        if check.falls:
            return _("It is worse for some: {change}.").format(change=changes(check.falls, language, name))
        text = _(
            "In none of the {n} parts with enough captions it is proven worse; {thin} have too few to say."
        )
        return text.format(n=number(facts["enough"], language), thin=number(facts["thin"], language))
    if check.falls:
        first = _("Other measures are proven worse: {change}.").format(
            change=_of_whom(check.falls, language, name)
        )
    else:
        text = _("None of the {n} other comparisons is proven worse by more than the margin.")
        first = text.format(n=number(facts["n"], language))
    if not facts["details"]:
        return first
    text = _("Single items that are worse, which do not decide: {change}.")
    second = text.format(change=_of_whom(facts["details"], language, name))
    return first + ("" if language == "ja" else " ") + second


def _of_whom(rows: Iterable[Row], language: str, name: MetricName) -> str:
    """Falls of the model itself and those of its arm, whose value is the mean over the seeds, told apart."""
    _ = translator(language)
    found = list(rows)
    groups = (
        (_("the model itself: {change}"), [row for row in found if row["arm"] == CANDIDATE]),
        (_("its arm, mean of the seeds: {change}"), [row for row in found if row["arm"] != CANDIDATE]),
    )
    told = [text.format(change=changes(group, language, name)) for text, group in groups if group]
    return ("。" if language == "ja" else ". ").join(told)


def changes(rows: Iterable[Row], language: str, name: MetricName = plain_name) -> str:
    """The first MOST_NAMED changes, and how many more there are."""
    _ = translator(language)
    found = list(rows)
    named = ("、" if language == "ja" else "; ").join(
        change(row, language, name) for row in found[:MOST_NAMED]
    )
    more = len(found) - MOST_NAMED
    return named if more <= 0 else _("{named} and {n} more").format(named=named, n=more)


def change(row: Row, language: str, name: MetricName = plain_name) -> str:
    """A change with its interval: "recall_at_1 +8.1 points (95 % interval +4.3 to +12.0, n = 338)"."""
    _ = translator(language)
    where = f"{row['slice']} = {row['part']}" if "slice" in row else ""
    task = {GENERAL: _("general set"), FORGETTING: _("right before")}.get(row["task"])
    metric = name(row["task"], row["metric"], language)
    if name is not plain_name:  # names in words say of which captions they are
        task = None
    metric = _("{name} ({what})").format(name=metric, what=task) if task else metric
    text = _("{metric} {value} (95 % interval {low} to {high}, n = {n})")
    told = text.format(
        metric=metric, value=_amount(row["value"], row["unit"], language),
        low=_amount(row["low"], row["unit"], language, with_unit=False),
        high=_amount(row["high"], row["unit"], language, with_unit=False), n=number(row["n"], language),
    )  # fmt: skip
    return _("{item}: {text}").format(item=where, text=told) if where else told


def _amount(value: float, unit: str, language: str, with_unit: bool = True) -> str:
    """+8.1 points, −0.021 m."""
    _ = translator(language)
    is_share = unit in SHARES
    shown, digits = (value * 100, 1) if is_share else (value, 1 if unit == "rank" else 3)
    sign = "+" if shown > 0 else "−" if round(shown, digits) < 0 else "±"
    text = f"{sign}{number(abs(shown), language, digits)}"
    name = _("points") if is_share else _("places") if unit == "rank" else unit
    space = "" if language == "ja" and (is_share or unit == "rank") else " "
    return f"{text}{space}{name}" if with_unit else text
