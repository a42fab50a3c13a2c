"""The page ROI in words: names of assumptions and parts, amounts with intervals, what is counted and what is not.

No sentence calls a gain what is not proven: the words for it hang on `Change.claim` and on the interval of the net.
"""

from __future__ import annotations

from datetime import date
from math import isfinite

from dashboards.assumptions import KEYS, Assumptions
from dashboards.figures import Missing
from dashboards.paper import Compared
from dashboards.roi import Benefit, Change, Result, Span
from dashboards.roi_site import payback_dates
from dashboards.words import joined, metric_name
from data.messages import number, translator, yen


def assumption_name(key: str, language: str) -> str:
    """An assumption in words; "effect:search" is the measured effect behind a benefit."""
    _ = translator(language)
    if key.startswith("effect:"):
        return _("Measured effect: {benefit}").format(
            benefit=benefit_name(key.removeprefix("effect:"), language)
        )
    return {
        "wage_staff": _("Wage: correcting"), "wage_review": _("Wage: second opinions"),
        "wage_audit": _("Wage: audits"), "wage_lead": _("Wage: leads' decisions and lot checks"),
        "compute": _("Computing"), "fixed_once": _("Fixed cost, once"), "fixed_month": _("Fixed cost, running"),
        "label": _("Cost of a label (a mask or depth map)"), "items": _("Items that the task judges"),
        "error": _("Cost of an error of the task"), "searches": _("Searches"),
        "search_seconds": _("Saved when a search finds its photo at once"),
        "wage_search": _("Wage: those who search"), "horizon": _("Months that are counted"),
    }[key]  # fmt: skip


def unit_name(key: str, language: str) -> str:
    """The unit of an assumption."""
    _ = translator(language)
    if key.startswith("effect:"):
        return _("labels") if key == "effect:labels" else _("points")
    return {
        "yen_hour": _("yen an hour"), "yen": _("yen"), "yen_month": _("yen a month"), "a_month": _("a month"),
        "seconds": _("seconds"), "months": _("months"),
    }[KEYS[key][1]]  # fmt: skip


def assumption_value(key: str, value: float, language: str) -> str:
    """A value with its unit: "2,500 yen an hour"."""
    if key.startswith("effect:"):
        return change_text(key.removeprefix("effect:"), value, language)
    return f"{exact(value, language)} {unit_name(key, language)}"


def exact(value: float, language: str) -> str:
    """A number as it was given, with as many decimals as it has, up to six: 1,234,567; 123,456.78."""
    text = number(value, language, 6)
    return text.rstrip("0").rstrip(".")


def part_name(key: str, language: str) -> str:
    """A part of the cost."""
    _ = translator(language)
    return {
        "staff": _("Correcting"), "review": _("Second opinions"), "audit": _("Audits"),
        "lead": _("Leads' decisions and lot checks"), "compute": _("Computing"), "fixed_once": _("Fixed cost, once"),
        "fixed_month": _("Fixed cost, running"),
    }[key]  # fmt: skip


def benefit_name(kind: str, language: str) -> str:
    """One kind of benefit."""
    _ = translator(language)
    return {"labels": _("Labels saved"), "errors": _("Errors avoided"), "search": _("Search time saved")}[
        kind
    ]


def task_name(task: str, language: str) -> str:
    """A task whose error may be priced."""
    _ = translator(language)
    return {
        "inspection": _("Inspection: share of defects missed"),
        "classification": _("Classification: share of wrong answers"),
        "slots": _("Items of the template: share of wrong answers"),
    }[task]


def amount(value: float, language: str) -> str:
    """Yen with a sign that is a minus, not a hyphen."""
    text = yen(abs(value), language)
    return f"−{text}" if round(value) < 0 else text


def between(span: Span, language: str) -> str:
    """The 95 % interval of an amount in yen."""
    _ = translator(language)
    return _("{low} to {high}").format(low=amount(span.low, language), high=amount(span.high, language))


def change_text(kind: str, value: float, language: str) -> str:
    """A measured improvement: +3.2 points, +120 labels."""
    _ = translator(language)
    shown, digits = (value, 0) if kind == "labels" else (100 * value, 1)
    sign = "+" if shown > 0 else "−" if round(shown, digits) < 0 else "±"
    space = "" if language == "ja" else " "
    unit = _("labels") if kind == "labels" else _("points")
    return f"{sign}{number(abs(shown), language, digits)}{space}{unit}"


def direction(better: Span, language: str) -> str:
    """In words, of a change that is better above zero: better or worse, and whether its interval holds zero."""
    _ = translator(language)
    if not better.value:
        return _("no change")
    if better.low <= 0 <= better.high:
        return _("better, but not proven") if better.value > 0 else _("worse, but not proven")
    return _("that is better") if better.value > 0 else _("that is worse")


def change_words(kind: str, change: Change, language: str) -> str:
    """What was measured, with its interval: the metric's own change, and whether that is better or worse."""
    _ = translator(language)
    found = change.of_metric
    text = _("{metric}: {value}, {direction} (95 % interval {low} to {high}; n = {n})")
    if kind == "labels":
        text = _("{metric}: the difference is worth {value} (95 % interval {low} to {high}; n = {n}; above zero is "
                 "better)")  # fmt: skip
    return text.format(
        metric=metric_name(change.task, change.metric, language), n=number(change.n, language),
        direction=direction(change.span, language),
        value=change_text(kind, found.value, language), low=change_text(kind, found.low, language),
        high=change_text(kind, found.high, language),
    )  # fmt: skip


def benefit_words(found: Benefit, language: str) -> str:
    """What it is worth, or why nothing is counted."""
    _ = translator(language)
    facts = {"value": amount(found.amount.value, language), "interval": between(found.amount, language)}
    return {
        "gain": _("Counted: {value} (95 % interval {interval}). The gain is proven."),
        "loss": _("Counted: {value} (95 % interval {interval}). It is a proven loss."),
        "none": _(
            "Counted: nothing. No gain is proven; what was measured would be worth {interval} (95 % interval)."
        ),
        "style": _(
            "Counted: nothing. It is not proven that more than the template's wording made the difference; what was "
            "measured would be worth {interval} (95 % interval)."
        ),
    }[found.change.claim].format(**facts)


def net_words(result: Result, language: str) -> str:
    """The conclusion in one sentence."""
    _ = translator(language)
    months = number(result.horizon, language)
    net = result.net
    if isinstance(net, Missing):
        return _("Not yet measurable: needs {what}.").format(what=_(net.needs))
    facts = {"months": months, "value": amount(net.value, language), "interval": between(net, language)}
    if net.low > 0:
        text = _(
            "It pays: over {months} months the benefit exceeds the cost by {value} (95 % interval {interval})."
        )
    elif net.high < 0:
        text = _("It does not pay: over {months} months the net is {value} (95 % interval {interval}).")
    else:
        text = _(
            "Whether it pays is not proven: over {months} months the net is {value}, and the 95 % interval, "
            "{interval}, includes zero."
        )
    unproven = [one for one in result.benefits.values() if isinstance(one, Benefit) and not one.is_counted]
    more = (
        _("Effects that are not proven count nothing in the net and widen its interval.") if unproven else ""
    )
    return joined([text.format(**facts), more], language)


def ratio_words(span: Span, language: str) -> tuple[str, str]:
    """(value, interval) of benefit / cost: "2.10", "1.30 to 3.00"."""
    _ = translator(language)
    value, low, high = (
        number(one, language, 2).replace("-", "−") for one in (span.value, span.low, span.high)
    )
    return value, _("{low} to {high}").format(low=low, high=high)


def day(value: date | None, language: str) -> str:
    """A date, or that it never comes."""
    from babel.dates import format_date

    _ = translator(language)
    return _("never") if value is None else format_date(value, format="medium", locale=language)


def payback_words(span: Span, in_use_since: date | None, language: str) -> tuple[str, str]:
    """(date, interval) of the day on which the cost has come in."""
    _ = translator(language)
    value, low, high = payback_dates(span, in_use_since)
    return day(value, language), _("{low} to {high}").format(low=day(low, language), high=day(high, language))


def default_keys(assumed: Assumptions, language: str) -> str:
    """The names of the numbers that nobody has confirmed, or nothing."""
    names = [assumption_name(key, language) for key in KEYS if assumed.is_default(key)]
    return ("、" if language == "ja" else ", ").join(names)


def set_name(assumed: Assumptions, language: str) -> str:
    """The name of a set; the defaults have none of their own."""
    _ = translator(language)
    return assumed.name or _("Defaults")


def stop_words(stop: Span | None, language: str) -> str:
    """After how many more corrections finding a bad caption costs more than it is worth."""
    _ = translator(language)
    if stop is None:
        return _(
            "When to stop is not yet measurable: needs what a bad caption costs that stays (cost.bad_caption_jpy)."
        )
    if stop.value == 0:
        return _("Stop now: by the history, the next bad caption costs more to find than it is worth.")

    def count(value: float) -> str:
        return _("no end in sight") if not isfinite(value) else number(value, language)

    if not isfinite(stop.value):
        return _(
            "By the history, going on pays with no end in sight (95 % interval from {low} more corrections)."
        ).format(low=count(stop.low))
    return _("By the history, stop after about {n} more corrections (95 % interval {low} to {high}).").format(
        n=count(stop.value), low=count(stop.low), high=count(stop.high)
    )


def paper_name(measure: str, language: str) -> str:
    """A measure of the paper."""
    _ = translator(language)
    return {
        "miou": _("Regions found in the photo (mIoU), relative change"),
        "rmse": _("Error of depth (RMSE), relative change"),
        "labels": _("Labels that the original captions would need, times"),
    }[measure]


def paper_value(measure: str, value: float, language: str) -> str:
    """+12.0 %, or 10.0 times."""
    _ = translator(language)
    if measure == "labels":
        return _("{n} times").format(n=number(value, language, 1))
    sign = "+" if value > 0 else "−" if round(100 * value, 1) < 0 else "±"
    return f"{sign}{number(abs(100 * value), language, 1)} %"


def paper_site(row: Compared, language: str) -> str:
    """The site's own value with its interval, and whether it is proven; or what it needs."""
    _ = translator(language)
    if isinstance(row.site, Missing):
        return _("Not yet measurable: needs {what}.").format(what=_(row.site.needs))
    low, high = (paper_value(row.measure, end, language) for end in (row.site.low, row.site.high))
    text = _("{value} (95 % interval {low} to {high})").format(
        value=paper_value(row.measure, row.site.value, language), low=low, high=high
    )
    return text if row.is_proven else _("{text}, no gain proven").format(text=text)


def count_text(span: Span, language: str) -> tuple[str, str]:
    """(value, interval) of a number of captions."""
    _ = translator(language)
    low, high = (number(end, language) for end in (span.low, span.high))
    return number(span.value, language), _("{low} to {high}").format(low=low, high=high)
