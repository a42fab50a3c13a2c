"""Lots, plans and alarms in words, for the page and for the command line, in either language."""

from __future__ import annotations

from annotate.alarms import ALPHA, Alarm
from annotate.draft_plan import Plan
from annotate.lots import Lot
from data.messages import number, translator


def plan_words(plan: Plan, language: str) -> list[str]:
    """What is checked, when the lot passes, and what that is worth."""
    _ = translator(language)
    return [
        _(
            "Lot of {size} drafts: {sample} drawn at random are checked, at most {accept} may be wrong."
        ).format(
            size=number(plan.size, language),
            sample=number(plan.sample, language),
            accept=number(plan.accept_number, language),
        ),
        _(
            "A lot with {bad} or more wrong drafts (over {share} %) passes with a chance of {risk} % at most."
        ).format(
            bad=number(plan.fewest_bad, language),
            share=number(100 * plan.wrong_share, language, 1),
            risk=number(100 * plan.risk, language, 1),
        ),
    ]


def state_words(state: str, language: str) -> str:
    """The state of a lot."""
    _ = translator(language)
    return {
        "open": _("open"),
        "accepted": _("accepted"),
        "rejected": _("rejected"),
        "withdrawn": _("dissolved"),
    }[state]


def lot_words(lot: Lot, language: str) -> str:
    """One line: how far the check is, what it has found."""
    _ = translator(language)
    parts = [
        state_words(lot.state, language),
        _("{n} of {all} checked").format(n=number(lot.checked, language), all=number(lot.to_check, language)),
        _("{n} wrong, {accept} accepted at most").format(
            n=number(lot.wrong, language), accept=number(lot.plan.accept_number, language)
        ),
    ]
    if lot.state != "open":
        parts.append(_("{n} captions approved").format(n=number(lot.approved, language)))
    return " · ".join(parts)


def alarm_words(alarm: Alarm, language: str) -> str:
    """What was seen, by whom, with its numbers."""
    _ = translator(language)
    given = {"person": alarm.person, "n": number(alarm.n, language), "all": number(alarm.of, language)}
    if alarm.kind == "fast":
        text = _("{person}: {n} of {all} approvals came faster than the caption can be read ({seconds} s).")
        return text.format(**given, seconds=number(alarm.expected or 0, language, 1))
    if alarm.kind == "planted":
        return _("{person}: {n} of {all} planted wrong drafts were called right.").format(**given)
    words = {
        "approves_more": _(
            "{person} approved {n} of {all} drafts; the blind audit finds only {share} % right (p = {p}, alarm below "
            "{alpha})."
        ),
        "approves_less": _(
            "{person} approved only {n} of {all} drafts; the blind audit finds {share} % right (p = {p}, alarm below "
            "{alpha})."
        ),
    }[alarm.kind]
    return words.format(
        **given,
        share=number(100 * (alarm.expected or 0), language),
        p=number(alarm.p or 0, language, 4),
        alpha=number(ALPHA, language, 2),
    )
