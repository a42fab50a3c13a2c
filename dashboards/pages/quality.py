"""Quality: how many captions are wrong and how that changes, where they are, what they lack, when to stop, and whether
corrected ones fit their photos better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from annotate import stopping
from annotate.estimate import AUDITED
from annotate.pages.elements import (
    Opened,
    empty,
    escaped,
    heading,
    note,
    opened,
    shows_errors,
    simulated_badge,
)
from dashboards import (
    alignment,
    alignment_charts,
    alignment_words,
    figures,
    kept,
    quality,
    quality_charts,
    words,
)
from dashboards.alignment import ALIGNMENT_SQL, Alignment
from dashboards.figures import Missing
from dashboards.pages.elements import (
    bad_left,
    counted_at,
    draw,
    folded,
    how,
    missing,
    plot,
    stop_words,
    table,
)
from dashboards.run_words import part_value, slice_name
from data.messages import moment, number

FELL_SHOWN = 10  # captions whose alignment fell most


@shows_errors
def page() -> None:
    """The page Quality."""
    at = opened()
    _ = at.translate
    st.title(_("Quality"), anchor=False)
    with st.spinner(_("Counting ...")):
        points, left = kept.error_over_time(at.site), kept.remaining(at.site)
        slices, lacking = kept.by_slice(at.site), kept.lacking(at.site)
        aligned = kept.alignment(at.site)
    counted_at(at)
    simulated = 0 if isinstance(left, Missing) else left.simulated_judged
    rows = (
        (lambda: _over_time(points, simulated, at), lambda: _left(left, at)),
        (lambda: _slices(slices, at), lambda: _lacking(lacking, at)),
        (lambda: _aligned(aligned, at), lambda: _aligned_parts(aligned, at)),
    )
    for row in rows:
        for column, show in zip(st.columns(len(row), gap="small"), row, strict=True):
            with column, st.container(border=True, height="stretch", gap="small"):
                show()


def _over_time(points: list[quality.Point], simulated: int, at: Opened) -> None:
    _ = at.translate
    heading(_("Audited error over time"))
    if not points:
        empty(
            _("Not yet measurable"),
            _("It needs {what}.").format(what=_("verdicts on the drawn audit captions")),
        )
        return
    last = points[-1]
    note(
        _(
            "Draw of {when}: {share} ({interval}) of the captions that nobody had judged then, {n} of them judged"
        ).format(
            when=moment(last.at, at.language),
            share=quality_charts.percent(last.rate, at.language),
            interval=quality_charts.interval(last.low, last.high, at.language),
            n=number(last.judged, at.language),
        )
    )
    note(
        _(
            "Corrections made since then are not in it: what is left now stands beside, and a new draw adds a point."
        )
    )
    if simulated:
        simulated_badge(at, simulated)
    plot(quality_charts.error_chart(points, at.language), "error")
    table(
        [
            {_("Drawn"): moment(p.at, at.language), _("Judged"): p.judged, _("Bad"): p.bad,
             _("Share"): quality_charts.percent(p.rate, at.language),
             _("95 % interval"): quality_charts.interval(p.low, p.high, at.language)}
            for p in points
        ],
        "error", at, file=lambda: _numbers(points, _("Drawn"), [p.at.isoformat(" ", "seconds") for p in points], at),
    )  # fmt: skip
    formula = _(
        "Of each blind draw: the share of bad captions among the judged ones of each stratum, weighed by how many "
        "captions the stratum stands for. Captions mixed into the queue are put together twenty at a time. Exact 95 % "
        "interval. It says how many were bad in the pile at that time, which shrinks as bad ones are corrected."
    )
    how(_("How is this computed?"), formula, AUDITED)


def _numbers(
    found: Sequence[quality.Point | quality.Part], name: str, called: Sequence[str], at: Opened
) -> list[dict[str, str | float]]:
    """Shares with their intervals as numbers, for a file. name: of the column that tells them apart, `called`."""
    _ = at.translate
    return [
        {
            name: one,
            _("Judged"): p.judged,
            _("Bad"): p.bad,
            _("Share"): p.rate,
            _("from"): p.low,
            _("to"): p.high,
        }
        for one, p in zip(called, found, strict=True)
    ]


def _left(found: figures.Remaining | Missing, at: Opened) -> None:
    _ = at.translate
    heading(_("When to stop"))
    label = _("Bad captions left")
    if isinstance(found, Missing):
        missing(label, found, at)
    else:
        bad_left(label, found.estimate, at)
    price = at.site.settings.cost.bad_caption_jpy or None
    left = None if isinstance(found, Missing) else found.estimate
    for sentence in stop_words(kept.next_hundred(at.site, left, price), at):
        st.text(sentence)
    formula = _(
        "The next hundred captions of the queue are expected to hold as many bad ones as their calibrated risks add up "
        "to, times what the last hundred corrections held for each unit of their risk, and no more than the audit's "
        "upper bound of what is left."
    )
    how(_("How is this computed?"), formula, figures.AUDIT_SQL, stopping.LAST)


def _slices(found: dict[str, list[quality.Part]], at: Opened) -> None:
    _ = at.translate
    heading(_("Where bad captions are"))
    if not found:
        empty(
            _("Not yet measurable"),
            _("It needs judged audit captions in at least two parts of a column, such as line or shift."),
        )
        return
    names = {column: slice_name(column, at.language) for column in found}
    chosen = st.segmented_control(
        _("Compare by"), list(found), default=next(iter(found)), format_func=lambda one: escaped(names[one]),
        key="quality-slice",
    )  # fmt: skip
    column = chosen or next(iter(found))
    parts = [replace(part, value=part_value(column, part.value, at.language)) for part in found[column]]
    plot(quality_charts.slice_chart(parts, at.language), "slices")
    note(
        _("Parts whose intervals overlap may well be alike: a difference is shown only where they lie apart.")
    )
    table(
        [
            {names[column]: p.value, _("Judged"): p.judged, _("Bad"): p.bad,
             _("Share"): quality_charts.percent(p.rate, at.language),
             _("95 % interval"): quality_charts.interval(p.low, p.high, at.language)}
            for p in parts
        ],
        "slices", at, file=lambda: _numbers(found[column], names[column], [p.value for p in parts], at),
    )  # fmt: skip
    formula = _(
        "Blind audit captions alone, each weighed by 1 / its chance of being drawn. Interval: Clopper and Pearson's "
        "with the effective number of answers (Korn and Graubard 1998)."
    )
    how(_("How is this computed?"), formula, quality.SLICES_SQL)


def _lacking(found: dict[str, int], at: Opened) -> None:
    _ = at.translate
    heading(_("What waiting captions lack"))
    if kept.risk_distribution(at.site).empty:
        empty(_("Nothing scored yet"), _("What each caption does not state is found by the scoring."))
        return
    if not found:
        empty(_("Nothing is lacking"), _("Every scored caption that waits states all required items."))
        return
    called = words.slot_labels(at.site.template(), at.language)
    labels = {called.get(slot, slot): captions for slot, captions in found.items()}
    draw(quality_charts.lacking_chart(labels, at.language), "lacking", at)
    formula = _(
        "Captions that wait in the queue, by the required items of the template that their words do not state."
    )
    how(_("How is this computed?"), formula, quality.LACKING_SQL)


def _aligned(found: Alignment | Missing, at: Opened) -> None:
    """Did corrected captions fit their photos better, by how much, how many worse."""
    _ = at.translate
    heading(_("Alignment before and after"))
    if isinstance(found, Missing):
        empty(_("Not yet measurable"), _("It needs {what}.").format(what=_(found.needs)))
        return
    st.text(alignment_words.sentence(found, at.language))
    note(
        _(
            "Mean {before} before, {after} after; 1 would be a perfect fit. The dashed line is the mean change, the "
            "grey band its interval. A hint: the proof is the retraining."
        ).format(
            before=alignment_words.cosine(found.mean_before, at.language),
            after=alignment_words.cosine(found.mean_after, at.language),
        )
    )
    if found.knows_corrections:
        note(alignment_words.encoder_notes(found, at.language)[-1])
    if found.simulated:
        simulated_badge(at, found.simulated)
    draw(alignment_charts.change_chart(found, at.language), "change", at,
         alignment_words.sentence(found, at.language))  # fmt: skip
    if found.worse:
        folded(_("Those whose fit fell most"), ":material/trending_down:", "fell", lambda: _fell(found, at))
    formula = _(
        "Change: cosine of the photo and the new caption in the same language, less the cosine of the same photo and "
        "the old caption, by the same encoder. Photos that had no caption are left out. Mean with the paired t "
        "interval: mean ± t(0.975, n − 1) × s / √n. Fits worse: a change below zero; exact interval of the share "
        "(Clopper and Pearson). The queue shows what fits badly first, so this says nothing about captions that nobody "
        "corrected."
    )
    encoder = "\n".join(alignment_words.encoder_notes(found, at.language))
    how(_("How is this computed?"), formula, ALIGNMENT_SQL, more=lambda: st.text(encoder))


def _fell(found: Alignment, at: Opened) -> None:
    """A fall may be a wrong correction, or a right one that the encoder does not understand: somebody should look."""
    _ = at.translate
    line = _("{item}: {text}")
    note(_("A wrong correction, or a right one that the encoder does not understand: look at them."))
    for one in alignment.fell_most(at.site, found.encoder, FELL_SHOWN):
        change = alignment_words.signed(one["after"] - one["before"], at.language)
        note(f"{one['photo']} · {line.format(item=_('Change'), text=change)}")
        st.text(
            line.format(item=_("Before the correction"), text=one["old"])
            + "\n"
            + line.format(item=_("After the correction"), text=one["new"])
        )


def _aligned_parts(found: Alignment | Missing, at: Opened) -> None:
    _ = at.translate
    heading(_("Where corrections changed the alignment"))
    if isinstance(found, Missing) or not found.parts:
        empty(
            _("Not yet measurable"),
            _("It needs corrected captions in at least two parts of a column, such as line, shift or week."),
        )
        return
    names = {column: alignment_words.column_name(column, at.language) for column in found.parts}
    chosen = st.segmented_control(
        _("Compare by"),
        list(names),
        default=next(iter(names)),
        format_func=lambda one: escaped(names[one]),
        key="aligned-by",
    )
    column = chosen or next(iter(names))
    parts = found.parts[column]
    plot(alignment_charts.part_chart(column, parts, at.language), "changed")
    note(
        _("Parts whose intervals overlap may well be alike: a difference is shown only where they lie apart.")
    )
    table(
        [
            {names[column]: alignment_words.part_name(column, p.value, at.language), _("Captions"): p.n,
             _("Mean before"): alignment_words.cosine(p.before, at.language),
             _("Mean after"): alignment_words.cosine(p.after, at.language),
             _("Mean change"): alignment_words.signed(p.change, at.language),
             _("95 % interval"): alignment_words.ends(p, at.language), _("Fit worse"): p.worse}
            for p in parts
        ],
        "changed", at,
        file=lambda: [
            {names[column]: p.value, _("Captions"): p.n, _("Mean before"): p.before, _("Mean after"): p.after,
             _("Mean change"): p.change, _("from"): p.low, _("to"): p.high, _("Fit worse"): p.worse}
            for p in parts
        ],
    )  # fmt: skip
    formula = _(
        "The same change, for the corrected captions of each part: mean with the paired t interval. Weeks begin on "
        "Monday, in this machine's time zone, the newest 26; line, shift and other columns are those of the old "
        "caption."
    )
    how(_("How is this computed?"), formula, ALIGNMENT_SQL)
