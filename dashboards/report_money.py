"""Cost, benefit and what they assume, in the words of the meeting report: those of the pages Overview and ROI.

People's work alone is counted; what the simulated crew did is named and never added. A benefit without evidence is no
number, but what it needs.
"""

from __future__ import annotations

from dataclasses import dataclass

from dashboards import assumptions, roi_site, roi_words
from dashboards.assumptions import Assumptions
from dashboards.figures import Cost, Missing
from dashboards.roi import Result
from dashboards.words import joined
from data.messages import number, translator, yen
from data.site import Site


@dataclass(frozen=True)
class Money:
    """The sum of the page ROI under the assumptions in use."""

    result: Result
    assumed: Assumptions


def gather(site: Site) -> Money:
    """The sum for people's work, as the page ROI does it."""
    found = roi_site.gather(site, assumptions.in_use(site))
    return Money(found.result, found.assumed)


def lines(cost: Cost, money: Money, language: str) -> tuple[str, ...]:
    """What was spent and what came back, one statement a line; whether it pays comes last."""
    _ = translator(language)
    found = [
        _("People: {hours} hours x {wage} an hour = {sum}.").format(
            hours=number(cost.hours.people, language, 2), wage=yen(cost.wage_jpy_per_hour, language),
            sum=yen(cost.people_jpy, language)),
        _("Compute: {hours} hours of jobs x {rate} an hour = {sum}.").format(
            hours=number(cost.compute_hours, language, 2), rate=yen(cost.compute_jpy_per_hour, language),
            sum=yen(cost.compute_jpy, language)),
    ]  # fmt: skip
    if cost.simulated_jpy:
        text = _("Simulated work, not added: {hours} hours, which would have cost {sum}.")
        hours = number(cost.hours.simulated, language, 2)
        found.append(text.format(hours=hours, sum=yen(cost.simulated_jpy, language)))
    return (*found, *_benefits(money, language), verdict(money, language))


def _benefits(money: Money, language: str) -> list[str]:
    """Each kind of benefit in the words of the page ROI; those that lack the same stand in one line."""
    _ = translator(language)
    lacking: dict[str, list[str]] = {}
    measured = []
    for kind, one in money.result.benefits.items():
        name = roi_words.benefit_name(kind, language)
        if isinstance(one, Missing):
            lacking.setdefault(one.needs, []).append(name)
        else:
            measured.append(
                _("{name}: {text}").format(name=name, text=roi_words.benefit_words(one, language))
            )
    comma = "、" if language == "ja" else ", "
    for needs, names in lacking.items():
        told = _("Not yet measurable: needs {what}.").format(what=_(needs))
        measured.append(_("{name}: {text}").format(name=comma.join(names), text=told))
    return measured


def verdict(money: Money, language: str) -> str:
    """Whether it pays, in the words of the page ROI."""
    _ = translator(language)
    net = money.result.net
    if isinstance(net, Missing):
        return _("Whether it pays is not yet measurable: needs {what}.").format(what=_(net.needs))
    return roi_words.net_words(money.result, language)


def assumed(cost: Cost, money: Money, language: str) -> tuple[str, ...]:
    """What the sums rest on, and whether anybody stands behind it."""
    _ = translator(language)

    def stated(text: str, rate: float, is_default: bool) -> str:
        state = _("a default that nobody has confirmed") if is_default else _("confirmed")
        return text.format(rate=yen(rate, language), state=state)

    found = [
        stated(_("An hour of work costs {rate} ({state})."), cost.wage_jpy_per_hour, cost.wage_is_default),
        stated(_("An hour of computing costs {rate} ({state})."), cost.compute_jpy_per_hour, cost.compute_is_default),
    ]  # fmt: skip
    if money.assumed.author:
        text = _("Benefits by the assumptions “{name}” of {author}.")
        found.append(text.format(name=money.assumed.name, author=money.assumed.author))
    else:
        found.append(_("Benefits by default assumptions, which nobody has confirmed."))
    return tuple(found)


def sentence(cost: Cost, money: Money, language: str) -> str:
    """Cost and benefit, to be said aloud."""
    _ = translator(language)
    spent = _("So far it has cost {sum}.").format(sum=yen(cost.total_jpy, language))
    if cost.wage_is_default or cost.compute_is_default:
        spent = _("So far it has cost {sum}, at rates that nobody has confirmed yet.").format(
            sum=yen(cost.total_jpy, language)
        )
    return joined([spent, verdict(money, language)], language)
