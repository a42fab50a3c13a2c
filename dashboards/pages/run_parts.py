"""Parts of one retraining on its page: effects, arms, label efficiency, items of the template, slices, lineage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from annotate.pages.elements import Opened, empty, heading, note
from dashboards import charts, effects, metric_words, run_charts, run_figures, run_words, words
from dashboards.effects import FRACTIONS, MAIN_CONTRAST, REWORDED, Effect, Run
from dashboards.pages.elements import download, folded, how, plot, table
from data.messages import number
from data.records import Metric
from training.label_efficiency import fewest
from training.slices import ENOUGH, FEWEST_PEOPLE

FIRST_MEASURES = 4  # of the arms side by side, before the fold
FIRST_CONTRASTS = (MAIN_CONTRAST, (MAIN_CONTRAST[0], REWORDED))


def show_effects(run: Run, found: list[Effect], at: Opened) -> None:
    """The two contrasts that a claim rests on as charts; all others, and all measures, in a table."""
    _ = at.translate
    by_contrast: dict[tuple[str, str], list[Effect]] = {}
    for effect in found:
        by_contrast.setdefault((effect.arm, effect.versus), []).append(effect)
    shown = [one for one in FIRST_CONTRASTS if one in by_contrast] or list(by_contrast)[:1]
    for arm, versus in shown:
        group = by_contrast[arm, versus]
        chosen = [e for e in group if metric_words.is_headline(e.metric)] or group
        heading(_("{arm} against {versus}").format(arm=words.arm_name(arm, at.language),
                                                   versus=words.arm_name(versus, at.language)))  # fmt: skip
        said = charts.alternative_text(chosen, at.language)
        for place, chart in enumerate(charts.gain_chart(chosen, at.language)):
            plot(chart, f"effect-{arm}-{versus}-{place}", said)
    if any(e.task != "retrieval" and e.task.startswith("retrieval") for e in found):
        note(_("Legacy: captions that a person found right as they stood. Template: captions that a person wrote with "
               "the template."))  # fmt: skip
    table(lambda: effects_table(found, at), f"effects-{run.run_id}", at, _("All measures and all comparisons"),
          lambda: effects_numbers(found, at))  # fmt: skip
    formula = _(
        "Metric of one arm minus metric of the other, mean over the seeds. Interval: paired bootstrap over the "
        "held-out test items, within their strata, and over the seeds. p: permutation test, results of the two arms "
        "exchanged at random. Could be shown: the smallest true effect that this test set and these seeds find in four "
        "of five cases, from the interval's width; one seed does not tell it. Stated before: the same, as it was "
        "stated before the first arm trained. An interval that includes zero proves nothing, whichever side the point "
        "lies on. Each interval stands alone: of twenty measures without any effect about one lies off zero by chance."
    )
    how(_("How is this computed?"), formula, effects.EFFECTS_SQL)
    _arms(run, at)


def effects_table(found: list[Effect], at: Opened) -> object:
    """A pandas.DataFrame, one row for each effect."""
    import pandas

    _ = at.translate
    return pandas.DataFrame(
        {
            _("Arm"): words.arm_name(e.arm, at.language),
            _("Against"): words.arm_name(e.versus, at.language),
            _("Measure"): words.metric_name(e.task, e.metric, at.language),
            _("Change"): words.difference(e.value, e, at.language),
            _("95 % interval"): words.interval(e, at.language),
            _("Verdict"): run_words.verdict_name(e.verdict, at.language),
            "p": run_words.chance(e, at.language),
            _("Could be shown"): run_words.could_detect(e, at.language),
            _("Stated before"): run_words.stated_before(e, at.language),
            _("Test items"): e.n,
            _("Seeds"): e.seeds,
        }
        for e in found
    )


def effects_numbers(found: list[Effect], at: Opened) -> object:
    """The same as numbers, for the file; shares in points, all else in its unit. A pandas.DataFrame."""
    import pandas

    _ = at.translate

    def scaled(value: float | None, effect: Effect) -> float | None:
        return _digits(value, effect.is_fraction)

    return pandas.DataFrame(
        {
            _("Arm"): words.arm_name(e.arm, at.language),
            _("Against"): words.arm_name(e.versus, at.language),
            _("Measure"): words.metric_name(e.task, e.metric, at.language),
            _("Unit"): words.unit_name(e, at.language),
            _("Change"): scaled(e.value, e),
            _("from"): scaled(e.low, e),
            _("to"): scaled(e.high, e),
            _("Verdict"): run_words.verdict_name(e.verdict, at.language),
            "p": e.p_value,
            _("Could be shown"): scaled(effects.detectable(e), e),
            _("Stated before"): scaled(e.detectable or None, e),  # 0 was stated where nothing could be told
            _("Test items"): e.n,
            _("Seeds"): e.seeds,
        }
        for e in found
    )


def _digits(value: float | None, is_fraction: bool) -> float | None:
    """Shares times 100; six digits, so that a file shows no 0.30000000000000004."""
    return None if value is None else float(f"{value * (100 if is_fraction else 1):.6g}")


def _arms(run: Run, at: Opened) -> None:
    """Arms side by side, one small chart for each main metric; every dot is one seed."""
    _ = at.translate
    groups = effects.metrics(at.site, run.run_id)
    if not groups:
        return
    heading(_("Arms side by side"))
    note(_("Each dot is one seed, the line is their mean. Values on held-out photos with checked captions."))
    chosen = [group for group in groups if metric_words.is_headline(group[0].metric)] or groups
    _side_by_side(chosen[:FIRST_MEASURES], at)
    if chosen[FIRST_MEASURES:]:
        more = _("More measures side by side")
        folded(
            more, ":material/bar_chart:", "more-measures", lambda: _side_by_side(chosen[FIRST_MEASURES:], at)
        )

    def frame() -> object:
        import pandas

        return pandas.DataFrame(
            {_("Measure"): words.metric_name(m.task, m.metric, at.language),
             _("Arm"): words.arm_name(m.arm, at.language),
             _("Seed"): m.seed, _("Value"): m.value * (100 if m.unit in FRACTIONS else 1),
             _("Unit"): "%" if m.unit in FRACTIONS else words.unit_word(m.unit, at.language), _("Test items"): m.n}
            for group in groups for m in group
        )  # fmt: skip

    download(frame, f"metrics-{run.run_id}", at)
    how(
        _("How is this computed?"),
        _("The metric of each arm and seed, as the evaluation wrote it."),
        effects.METRICS_SQL,
    )


def _side_by_side(groups: list[list[Metric]], at: Opened) -> None:
    for first in range(0, len(groups), 2):
        for column, group in zip(st.columns(2, gap="medium"), groups[first : first + 2], strict=False):
            with column:
                plot(charts.arms_chart(group, at.language), f"arms-{group[0].task}-{group[0].metric}")


def show_efficiency(run: Run, at: Opened) -> None:
    """Curves by the number of labels, and how many labels the corrections are worth."""
    import pandas

    _ = at.translate
    found = run_figures.efficiency(at.site, run.run_id)
    if not found:
        empty(
            _("No label efficiency"),
            _("It is measured where photos have masks or depth: genba ingest SITE FOLDER --as masks|depth."),
            icon=":material/show_chart:",
        )
        return
    worth = run_figures.equivalents(at.site, run.run_id)
    for (task, metric), points in found.items():
        heading(words.metric_name(task, metric, at.language))
        left, right = st.columns(2, gap="medium")
        with left:
            plot(run_charts.efficiency_chart(points, at.language), f"curve-{task}-{metric}")
        against = [e for e in worth if (e.task, e.metric, e.arm, e.versus) == (task, metric, *MAIN_CONTRAST)]
        if against:
            with right:
                plot(run_charts.equivalents_chart(against, at.language), f"worth-{task}-{metric}")
                for one in against:
                    note(run_words.equivalent_sentence(one, at.language, fewest(worth, task, metric)))
        else:
            right.text(_("The run did not compare the two arms here."))
    rows = [point.__dict__ for points in found.values() for point in points]
    download(pandas.DataFrame(rows), f"efficiency-{run.run_id}", at)
    if worth:
        download(
            pandas.DataFrame([one.__dict__ for one in worth]),
            f"label-equivalents-{run.run_id}",
            at,
            _("Label-equivalents as CSV"),
        )
    formula = _(
        "Each arm's features learn the masks or the depth from 1/16, 1/8, 1/4, 1/2 and all of the labels; the smaller "
        "sets lie within the larger ones. Dot: mean over the seeds; bar: from the lowest to the highest seed. "
        "Label-equivalent: how many labels the other arm needs for the same value, read off its curve (made monotone, "
        "linear in the logarithm of the labels); interval by bootstrap over test photos and seeds. Beyond all labels "
        "nothing is guessed: then it is not reached."
    )
    how(_("How is this computed?"), formula, run_figures.EFFICIENCY_SQL, run_figures.EQUIVALENTS_SQL)


def show_slots(run: Run, at: Opened) -> None:
    """What each item of the template brought, where the run was a pilot."""
    import pandas

    _ = at.translate
    found = run_figures.slot_effects(at.site, run.run_id)
    if not found:
        empty(
            _("No items compared"),
            _("A pilot trains with one item of the template left out at a time: genba pilot SITE."),
            icon=":material/checklist:",
        )
        return
    template = at.site.template()
    names = {slot.id: _in_words(slot.label, at.language) for slot in template.slots}
    chosen = {name: group for name, group in found.items() if metric_words.is_headline(name[1])} or found
    for (task, metric), group in chosen.items():
        plot(run_charts.slots_chart(group, names, at.language), f"slots-{task}-{metric}")
    rows = pandas.DataFrame([one.__dict__ for group in found.values() for one in group])
    download(rows, f"items-{run.run_id}", at)
    formula = _(
        "Metric with the item minus metric without it: the corrected captions compiled again by the template without "
        "it, same photos, steps and seeds. Interval: paired bootstrap over test items and seeds. Seconds: what writing "
        "the item took in the corrections so far."
    )
    how(_("How is this computed?"), formula, run_figures.SLOTS_SQL)


def _in_words(label: Mapping[Any, str], language: str) -> str:
    return label.get(language) or next(iter(label.values()))


def show_slices(run: Run, at: Opened) -> None:
    """Whom the model serves better or worse: each part of each slice against the rest."""
    _ = at.translate
    found = run_figures.gaps(at.site, run.run_id)
    if not found:
        empty(
            _("No slices"),
            _(
                "Captions need columns (site, line, shift, author) or two languages among the checked test captions."
            ),
            icon=":material/groups:",
        )
        return
    by_name = {words.metric_name(task, metric, at.language): group for (task, metric), group in found.items()}
    picked = st.selectbox(_("Measure"), list(by_name), key=f"gap-metric-{run.run_id}")
    group = by_name[picked or next(iter(by_name))]
    arms = list(dict.fromkeys(gap.arm for gap in group))
    preferred = next((arm for arm in ("candidate", "corrected") if arm in arms), arms[0])
    arm = st.segmented_control(
        _("Arm"), arms, default=preferred, required=True, key=f"gap-arm-{run.run_id}",
        format_func=lambda one: words.arm_name(one, at.language),
    )  # fmt: skip
    shown = [gap for gap in group if gap.arm == (arm or preferred)]
    plot(run_charts.gaps_chart(shown, at.language), "gaps")
    if any(not gap.is_enough for gap in shown):
        note(_("* too few test items to say anything"))
    table(lambda: gaps_table(shown, at), f"slices-{run.run_id}", at, _("All parts"),
          lambda: gaps_numbers(shown, at))  # fmt: skip
    how(_("How is this computed?"), gaps_formula(at), run_figures.GAPS_SQL)


def gaps_formula(at: Opened) -> str:
    """How a gap is measured, in words."""
    _ = at.translate
    return _(
        "Metric in the part minus metric in the rest of the test items, mean over the seeds; change: the same part, "
        "against the model before. Interval: bootstrap over groups of photos, the same draw for both sides. Parts of "
        "fewer than {n} items are shown, and decide nothing. Fewer than {people} authors are not compared by name, "
        "unless [review] show_names allows it."
    ).format(n=number(ENOUGH, at.language), people=number(FEWEST_PEOPLE, at.language))


def gaps_table(shown: list[run_figures.Gap], at: Opened) -> object:
    """A pandas.DataFrame, one row for each part."""
    import pandas

    _ = at.translate

    def change(gap: run_figures.Gap) -> str:
        if gap.change is None or gap.change_low is None or gap.change_high is None:
            return "—"
        span = run_words.span(gap.change_low, gap.change_high, gap.unit, at.language)
        return f"{run_words.amount(gap.change, gap.unit, at.language)} ({span})"

    return pandas.DataFrame(
        {
            _("Slice"): run_words.part_name(gap, at.language),
            _("There"): run_words.value(gap.value, gap.unit, at.language),
            _("Elsewhere"): run_words.value(gap.rest, gap.unit, at.language),
            _("Difference"): run_words.amount(gap.gap, gap.unit, at.language),
            _("95 % interval"): run_words.span(gap.low, gap.high, gap.unit, at.language),
            _("Change against the model before"): change(gap),
            _("Test items"): gap.n,
            _("Enough data"): _("yes") if gap.is_enough else _("no"),
        }
        for gap in shown
    )


def gaps_numbers(shown: list[run_figures.Gap], at: Opened) -> object:
    """The same as numbers, for the file; shares in per cent and points, all else in its unit. A pandas.DataFrame."""
    import pandas

    _ = at.translate

    def scaled(value: float | None, gap: run_figures.Gap) -> float | None:
        return _digits(value, gap.is_fraction)

    return pandas.DataFrame(
        {
            _("Slice"): run_words.part_name(gap, at.language),
            _("Unit"): "%" if gap.is_fraction else run_words.unit(gap.unit, at.language),
            _("There"): scaled(gap.value, gap),
            _("Elsewhere"): scaled(gap.rest, gap),
            _("Difference"): scaled(gap.gap, gap),
            _("from"): scaled(gap.low, gap),
            _("to"): scaled(gap.high, gap),
            _("Change against the model before"): scaled(gap.change, gap),
            _("Change, from"): scaled(gap.change_low, gap),
            _("Change, to"): scaled(gap.change_high, gap),
            _("Test items"): gap.n,
            _("Enough data"): _("yes") if gap.is_enough else _("no"),
        }
        for gap in shown
    )


def show_lineage(run: Run, at: Opened) -> None:
    """Where the run and its model come from."""
    _ = at.translate
    found = run_figures.lineage(at.site, run.run_id)
    if found.lost:
        st.badge(_("The model's files are gone"), color="red", icon=":material/error:")
        st.text(found.lost)
    facts = run_words.lineage_facts(found, at.language)
    facts[_("By")] = run.requested_by or "—"
    for name, value in facts.items():
        left, right = st.columns([1, 3], gap="small")
        with left:
            note(name)
        right.text(value)
    with st.expander(_("All settings"), icon=":material/data_object:"):
        st.json(run.config)
