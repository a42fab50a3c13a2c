"""The assumptions of the ROI: shown with who stands behind them, edited, saved as named sets, compared side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from annotate.pages.elements import Opened, escaped, heading, note, show_error
from annotate.pages.lead import locked
from dashboards import assumptions, roi, roi_words
from dashboards.assumptions import ERROR_TASKS, KEYS, Assumptions, Range
from dashboards.figures import Missing
from dashboards.pages.elements import download, how, table
from dashboards.roi_evidence import Found
from data.errors import GenbaError
from data.messages import moment, translator

MOST_COMPARED = 4


def show(assumed: Assumptions, found: Found, at: Opened) -> None:
    """The set in use, the button that edits it, and the comparison of saved ones."""
    import pandas

    _ = at.translate
    with st.container(horizontal=True, vertical_alignment="center"):
        heading(_("Assumptions"))
        if st.button(
            _("Edit and save as a set"), icon=":material/edit:", key="roi-edit", disabled=locked(at)
        ):
            _edit(assumed, at)
    if assumed.saved_at is not None:
        st.text(_("In use: {name}").format(name=assumed.name))
        note(
            _("saved by {author}, {when}").format(
                author=assumed.author, when=moment(assumed.saved_at, at.language)
            )
        )
        if assumed.note:
            st.text(assumed.note)
    unconfirmed = roi_words.default_keys(assumed, at.language)
    if unconfirmed:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(_("default until confirmed"), icon=":material/info:", color="orange")
            note(unconfirmed)
    frame = pandas.DataFrame(
        {
            _("Assumption"): roi_words.assumption_name(key, at.language),
            _("Value"): roi_words.assumption_value(key, one.value, at.language),
            _("Range"): f"{roi_words.exact(one.low, at.language)} – {roi_words.exact(one.high, at.language)}",
            _("State"): _("default, not confirmed") if assumed.is_default(key) else _("confirmed"),
        }
        for key, one in assumed.ranges.items()
    )
    note(
        _("Task whose errors are priced: {task}").format(
            task=roi_words.task_name(assumed.error_task, at.language)
        )
    )
    table(frame, "roi-assumptions", at, _("All assumptions"))
    _compare(found, at)
    formula = _(
        "Given by people, never measured. A set is saved whole with its author and date and is never changed; "
        "the one saved last is in use. A price of zero means that nobody has said one. Until somebody has "
        "confirmed a number it is marked as a default."
    )
    how(_("How is this computed?"), formula, assumptions.SETS_SQL)


def _compare(found: Found, at: Opened) -> None:
    """Saved sets beside each other: the same evidence, other assumptions."""
    import pandas

    _ = at.translate
    saved = assumptions.sets(at.site)
    if not saved:
        return
    known = {one.set_id: one for one in [*saved, assumptions.defaults(at.site)]}
    chosen = st.multiselect(
        _("Compare sets"), list(known), default=list(known)[:2], max_selections=MOST_COMPARED, key="roi-compare",
        format_func=lambda one: _label(known[one], at),
    )  # fmt: skip
    if not chosen:
        return
    columns = {_label(known[one], at): _column([known[one]], found, at) for one in chosen}
    names = [*_outcomes(at), *(roi_words.assumption_name(key, at.language) for key in KEYS)]
    frame = pandas.DataFrame({_("Assumption or result"): names, **columns})
    st.dataframe(frame, hide_index=True, width="stretch", key="roi-table-compare")
    download(frame, "roi-sets", at)


def _label(one: Assumptions, at: Opened) -> str:
    name = roi_words.set_name(one, at.language)
    if one.saved_at is None:
        return name
    return f"{name} · {one.author} · {moment(one.saved_at, at.language)}"


def _outcomes(at: Opened) -> list[str]:
    _ = at.translate
    return [_("Net"), _("Benefit for each yen of cost"), _("Paid back on"), _("Break-even a month")]


def _column(of: Sequence[Assumptions], found: Found, at: Opened) -> list[str]:
    """Results, then assumptions, of one set."""
    (one,) = of
    _ = at.translate
    language = at.language
    result = roi.roi(found.evidence, one.values)
    absent = _("not yet measurable")
    with_interval = "{} ({})"
    cells = [absent, absent, absent]
    if not isinstance(result.net, Missing):
        cells[0] = with_interval.format(
            roi_words.amount(result.net.value, language), roi_words.between(result.net, language)
        )
    if not isinstance(result.ratio, Missing):
        cells[1] = with_interval.format(*roi_words.ratio_words(result.ratio, language))
    if not isinstance(result.payback_months, Missing):
        cells[2] = with_interval.format(
            *roi_words.payback_words(result.payback_months, found.in_use_since, language)
        )
    even = result.break_even
    cells.append(
        with_interval.format(roi_words.amount(even.value, language), roi_words.between(even, language))
    )
    mark = {True: f" · {_('default')}", False: ""}
    return cells + [
        roi_words.assumption_value(key, item.value, language) + mark[one.is_default(key)]
        for key, item in one.ranges.items()
    ]


def _edit(assumed: Assumptions, at: Opened) -> None:
    """The form, in a dialog: it is built only when somebody asks for it."""
    _ = at.translate

    @st.dialog(_("Assumptions"), width="large")
    def dialog() -> None:
        # The hint "Press Enter to submit form" would be English everywhere and cover the next field.
        with st.form("roi-assumptions", border=False, enter_to_submit=False):
            name = st.text_input(
                _("Name of the set"), assumed.name, max_chars=assumptions.LONGEST_NAME, key="roi-name"
            )
            beside_name = st.empty()
            task = st.selectbox(
                _("Task whose errors are priced"), ERROR_TASKS, ERROR_TASKS.index(assumed.error_task),
                format_func=lambda one: roi_words.task_name(one, at.language), key="roi-task",
            )  # fmt: skip
            note(_("A range that is left as it was follows its value, half of it to either side."))
            note(_("Each number from 0 on; “from” is no more than the value, and “to” no less."))
            ranges, confirmed = _fields(assumed, at)
            text = st.text_input(_("Notes"), assumed.note, key="roi-note")
            problems = st.container()  # in view of who has just pressed the button
            signed = _("Save in the name of {name}").format(name=escaped(at.person))
            if st.form_submit_button(signed, type="primary"):
                if not name.strip():
                    beside_name.error(_("Give the set a name."))
                if told := refused(name, ranges, at.language):
                    problems.error(escaped("\n".join(told)).replace("\n", "\n\n"))
                    return
                try:
                    assumptions.save(at.site, name, ranges, confirmed, at.person, task, text)
                except GenbaError as error:
                    show_error(error)
                else:
                    st.rerun()

    dialog()


def refused(name: str, ranges: Mapping[str, Range], language: str) -> list[str]:
    """What cannot be saved, with what is allowed, in words; nothing where all is well."""
    _ = translator(language)
    found = [] if name.strip() else [_("Give the set a name.")]
    for key, one in ranges.items():
        try:
            assumptions.require_range(key, one)
        except GenbaError:
            text = _("{name}: {value} with the range {low} – {high} is not allowed. Allowed are numbers from {least} "
                     "to {most}, and the value must lie in its range.")  # fmt: skip
            value, low, high = (roi_words.exact(end, language) for end in (one.value, one.low, one.high))
            found.append(text.format(
                name=roi_words.assumption_name(key, language), value=value, low=low, high=high,
                least=int(key == "horizon"), most=roi_words.exact(assumptions.limit(key), language),
            ))  # fmt: skip
    return found


def followed(before: Range, given: Range, unit: str) -> Range:
    """The range as it was typed; one that was left as it was goes along with a changed value."""
    is_left = (given.low, given.high) == (before.low, before.high)
    return assumptions.spread(given.value, unit) if is_left and given.value != before.value else given


def _fields(assumed: Assumptions, at: Opened) -> tuple[dict[str, Range], list[str]]:
    """Value, range and "I stand behind it" of every assumption."""
    _ = at.translate
    ranges, confirmed = {}, []
    for key, one in assumed.ranges.items():
        title = f"{roi_words.assumption_name(key, at.language)} ({roi_words.unit_name(key, at.language)})"
        columns = st.columns([5, 2, 2, 2], vertical_alignment="bottom", gap="small")
        ends = []
        for column, seen, value, part in zip(
            columns[:3], (title, _("from"), _("to")), (one.value, one.low, one.high), ("value", "low", "high"),
            strict=True,
        ):  # fmt: skip
            # Each field has its own accessible name; what is seen above it is short. No bounds: Streamlit says nothing
            # when it holds back a number beyond them (`refused` does).
            label = title if part == "value" else _("{item}: {text}").format(item=title, text=seen)
            with column:
                note(seen)
                ends.append(st.number_input(
                    escaped(label), None, None, value, format="%.15g", key=f"roi-{key}-{part}",
                    label_visibility="collapsed",
                ))  # fmt: skip
        ranges[key] = followed(one, Range(*(float(end) for end in ends)), KEYS[key][1])
        label = _("{item}: {text}").format(item=title, text=_("confirmed"))
        with columns[3]:
            note(_("confirmed"))
            if st.checkbox(
                escaped(label),
                not assumed.is_default(key),
                key=f"roi-{key}-confirmed",
                label_visibility="collapsed",
            ):
                confirmed.append(key)
    return ranges, confirmed
