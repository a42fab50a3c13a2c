"""Agreement: how far people agree who answer the same pair blind, slot by slot, and what they confuse; for leads."""

from __future__ import annotations

from typing import Any

import streamlit as st

from annotate import adjudication, agreement
from annotate.agreement import GOOD, TENTATIVE, VERDICT, Agreement, Confusion
from annotate.pages.adjudicate import may_decide
from annotate.pages.answers import verdict_name
from annotate.pages.elements import Opened, empty, escaped, go_to, heading, note, opened, shows_errors
from annotate.review_board import FEWEST, leaderboard
from data.messages import number
from data.templates import Template


@shows_errors
def page() -> None:
    """The page of leads that shows where people do not mean the same by the same word."""
    at = opened()
    _ = at.translate
    states, waiting = _states(at)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title(_("Agreement"), anchor=False, width="content")
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            open_ones = number(states.get("open", 0) + states.get("claimed", 0), at.language)
            st.badge(
                _("Second opinions to come: {n}").format(n=open_ones), icon=":material/group:", color="blue"
            )
            if waiting and st.button(
                _("To decide: {n}").format(n=number(waiting, at.language)), icon=":material/balance:"
            ):
                go_to("adjudicate")
    if not may_decide(at):
        return
    note(_shares(at))
    found = agreement.opinions(at.site)
    template = at.site.template()
    if found:
        _table(agreement.by_slot(found, template), template, at)
        _confusions(agreement.confusions(found, template), template, at)
    else:
        empty(_("No second opinion yet"), _("They come up in the form between the other captions, without the first "
              "answer; one person alone gets none."), ":material/group:")  # fmt: skip
    _leaderboard(at)


def _states(at: Opened) -> tuple[dict[str, int], int]:
    with at.site.connect() as db:
        rows = db.rows("SELECT state, count(*) AS n FROM reviews GROUP BY state")
        return {str(row["state"]): int(row["n"]) for row in rows}, adjudication.count(db)


def _shares(at: Opened) -> str:
    """Which corrections a second person answers too, as the settings say."""
    _ = at.translate
    section = at.site.settings.review

    def percent(share: float) -> str:
        return number(100 * share, at.language)

    parts = [
        _("Drawn: {n} % of all corrections").format(n=percent(section.share)),
        _("{n} % of a person's first {first}").format(
            n=percent(section.new_staff_share), first=number(section.new_staff_corrections, at.language)
        ),
        _("{n} % where agreement is poor").format(n=percent(section.low_agreement_share)),
    ]
    if section.slices:
        named = ", ".join(section.slices)
        parts.append(_("{n} % of {slices}").format(n=percent(section.slice_share), slices=named))
    return ("、" if at.language == "ja" else ", ").join(parts)


def _table(measured: list[Agreement], template: Template, at: Opened) -> None:
    _ = at.translate
    few = _("too few")

    def shown(value: float | None, one: Agreement) -> str:
        if not one.is_enough:
            return few
        return "—" if value is None else number(value, at.language, 2)

    rows = [
        {
            _("Item"): slot_label(one.slot, template, at),
            _("Answered by two"): one.n,
            _("Same answer"): f"{number(100 * one.same, at.language)} %",
            _("Cohen's kappa"): shown(one.kappa, one),
            _("Krippendorff's alpha"): shown(one.alpha, one),
            _("95 % interval of alpha"): _between(one, few, at),
            _("Reads as"): reading(one, at),
        }
        for one in measured
    ]
    st.dataframe(rows, hide_index=True, width="stretch")
    words = _(
        "1 is full agreement, 0 what chance alone would give. From {good}: rely on it; from {fair}: with care; "
        "below: talk about what the words mean, or change the template. New people and hard items are drawn more "
        "often, so the values are rather too low than too high."
    )
    note(words.format(good=number(GOOD, at.language, 2), fair=number(TENTATIVE, at.language, 2)))


def _between(one: Agreement, few: str, at: Opened) -> str:
    if not one.is_enough:
        return few
    if one.low is None or one.high is None:
        return "—"
    return at.translate("{low} to {high}").format(
        low=number(one.low, at.language, 2), high=number(one.high, at.language, 2)
    )


def reading(one: Agreement, at: Opened) -> str:
    """What a value says, by Krippendorff's bounds; "" where there is none."""
    _ = at.translate
    if one.alpha is None:
        return ""
    if one.is_skewed:
        return _("nearly all the same answer")
    return (
        _("reliable")
        if one.alpha >= GOOD
        else _("with care")
        if one.alpha >= TENTATIVE
        else _("not reliable")
    )


def slot_label(slot: str, template: Template, at: Opened) -> str:
    """The item's name in the reader's language."""
    if slot == VERDICT:
        return at.translate("Verdict")
    known = template.slot(slot)
    language = at.language if at.language in template.languages else template.languages[0]
    return known.label[language] if known else slot


def value_label(slot: str, value: Any, template: Template, at: Opened) -> str:
    """An answer in words: an option's label, several of them, a verdict; "(empty)" where there was none."""
    if slot == VERDICT:
        return verdict_name(value, at)
    if value == "":
        return at.translate("(empty)")
    known = template.slot(slot)
    language = at.language if at.language in template.languages else template.languages[0]
    if known is None or not known.options:
        return str(value)
    labels = {option.id: option.label[language] for option in known.options}
    return " + ".join(labels.get(one, one) for one in str(value).split(", "))


def _confusions(found: list[Confusion], template: Template, at: Opened) -> None:
    _ = at.translate
    if not found:
        return
    heading(_("What is confused most"))
    for one in found:
        label = slot_label(one.slot, template, at)
        both = " / ".join(value_label(one.slot, value, template, at) for value in (one.one, one.other))
        times = _("{n} ×").format(n=number(one.times, at.language))
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge(escaped(label), color="gray")
            st.text(both, width="content")
            note(times)


def _leaderboard(at: Opened) -> None:
    """Only where the site wants one."""
    _ = at.translate
    board = leaderboard(at.site)
    if not at.site.settings.review.leaderboard:
        return
    heading(_("Last 30 days"))
    if not board:
        note(_("Nobody has given {n} answers yet.").format(n=FEWEST))
        return
    rows = [
        {
            _("Name"): row.name + (f" ({_('simulated')})" if row.simulated else ""),
            _("Answers"): row.answers,
            _("Answered by two"): row.reviewed,
            _("Agreed or upheld"): _("too few")
            if row.agreed is None
            else f"{number(100 * row.agreed, at.language)} %",
        }
        for row in board
    ]
    st.dataframe(rows, hide_index=True, width="stretch")
    note(_("People with fewer than {n} answers are not listed. Speed is not shown.").format(n=FEWEST))
