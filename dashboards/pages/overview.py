"""Overview: whether to go on spending, on one page. Stage, one sentence, the next step, what changed, five numbers."""

from __future__ import annotations

from datetime import date
from functools import partial
from math import isfinite

import streamlit as st

from annotate import since_yesterday
from annotate.pages import since_yesterday as since_panel
from annotate.pages.elements import Opened, empty, heading, note, opened, shows_errors, simulated_badge
from annotate.pages.jobs_strip import live_strip
from annotate.pages.lead import locked
from annotate.roles import is_job_of_leads
from dashboards import alignment_words, charts, effects, figures, kept, metric_words, report, words
from dashboards.alignment import ALIGNMENT_SQL
from dashboards.figures import Counted, Missing
from dashboards.pages import cards
from dashboards.pages.cards import LastRun
from dashboards.pages.elements import counted_at, draw, folded, how, show_command
from dashboards.pages.pilot import stage_name
from dashboards.standing import standing
from data import jobs
from data.messages import number
from training.pilot import stage

TARGETS = {
    "promote": "runs",
    "sign": "runs",
    "correct": "queue",
    "judge": "queue",
}  # where a person acts, by action


@shows_errors
def page() -> None:
    """The managers' first page."""
    at = opened()
    _ = at.translate
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(_("Overview"), anchor=False, width="content")
        _stage(at)
        _report(at)
    with st.spinner(_("Counting ...")):
        last = _last_run(at)
        fixed = kept.fixed_by_day(at.site)
        stands = standing(at.site)
        step = words.next_step(stands, at.language)
    sentence = words.run_words(last.found, last.simulated, at.language) if last.run_id else None
    st.text(sentence or words.last_run_sentence(at.site, at.language))
    if fell := words.falls_sentence(stands, at.language):
        st.text(fell)
    _next_step(step, at)
    live_strip()
    since_panel.show(at, stands.waiting, more=lambda: _how_changed(at))
    cards.show(last, fixed, at)
    counted_at(at)
    for pair in (
        (lambda: _gain(last, at), lambda: _alignment(at)),
        (lambda: _by_day(fixed, at), lambda: _risk(at)),
    ):
        for column, show in zip(st.columns(2, gap="small"), pair, strict=True):
            with column, st.container(border=True, height="stretch"):
                show()
    _pairs(at)


def _stage(at: Opened) -> None:
    """Pilot, template or automation; the page Pilot says what that means and who decided it."""
    _ = at.translate
    name = stage_name(stage(at.site).name, at)
    with st.container(width="stretch"):
        page = st.session_state.get("pages", {}).get("pilot")
        text = _("Stage: {stage}").format(stage=name)
        if page is not None:
            st.page_link(page, label=text, icon=":material/location_on:", width="content")
        else:
            st.badge(text, icon=":material/location_on:", color="blue")


def _how_changed(at: Opened) -> None:
    _ = at.translate
    formula = _(
        "Counted since the beginning of the last day before today on which a real person answered, in this machine's "
        "time zone: on a Monday that is the Friday. What waits is of now. Answers that were taken back are left out."
    )
    how(_("How is this computed?"), formula, since_yesterday.SQL, popover=True)


def _report(at: Opened) -> None:
    """The meeting report, made when somebody asks for it, in the page's language."""
    _ = at.translate
    kinds = {
        ".html": (_("HTML, one file"), "text/html"),
        ".pdf": (_("PDF, one page A4"), "application/pdf"),
        ".pptx": (_("PowerPoint, three slides"),
                  "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    }  # fmt: skip
    with st.popover(_("Meeting report"), icon=":material/summarize:"):
        st.text(_("One page to take to a meeting, in the language of this page."))
        for ending, (name, kind) in kinds.items():
            st.download_button(
                name, partial(report.render, at.site, ending, at.language), f"genba-report{ending}", kind,
                key=f"report{ending}", on_click="ignore", icon=":material/download:", width="stretch",
            )  # fmt: skip


def _next_step(step: words.Step, at: Opened) -> None:
    _ = at.translate
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="next"):
        st.badge(_("What to do next"), icon=":material/flag:", color="blue")
        with st.container(width="stretch", gap=None):
            st.text(step.what)
            note(step.why)
            if step.command:
                show_command(step.command, at)
        if step.job:
            is_locked = is_job_of_leads(step.job) and locked(at)
            if st.button(
                step.button, type="primary", key="next-step", icon=":material/play_arrow:", disabled=is_locked
            ):
                _enqueue(step, at)
        elif step.button:
            page = st.session_state.get("pages", {}).get(TARGETS[step.action])  # app.py puts its pages there
            if page is not None:
                st.page_link(page, label=step.button, icon=":material/arrow_forward:")


def _enqueue(step: words.Step, at: Opened) -> None:
    with at.site.connect() as db:
        jobs.enqueue(db, step.job, step.arguments, at.person)
        db.event(at.person, "job.queued", {"name": step.job, "arguments": step.arguments})
    st.toast(at.translate("Queued. The progress appears on this page."), icon=":material/check:")
    st.rerun()


def _last_run(at: Opened) -> LastRun:
    """Read once for the whole page: a question to the store of a large site takes some hundredths of a second."""
    run_id = effects.last_run(at.site)
    if run_id is None:
        return LastRun(None, [], (0, 0))
    return LastRun(run_id, effects.effects(at.site, run_id), effects.simulated_share(at.site, run_id))


def _gain(last: LastRun, at: Opened) -> None:
    _ = at.translate
    heading(_("What the corrections brought"))
    shown = [one for one in effects.same_contrast(last.found) if metric_words.is_headline(one.metric)]
    if not shown:
        empty(
            _("No retraining yet"),
            _("Each measure appears here with its interval after the first retraining."),
        )
        return
    main = shown[0]
    note(
        _("{arm} against {versus}; seeds: {seeds}; points are means, bars 95 % intervals").format(
            arm=words.arm_name(main.arm, at.language),
            versus=words.arm_name(main.versus, at.language),
            seeds=main.seeds,
        )
    )
    if last.simulated[0]:
        simulated_badge(at, last.simulated[0])
    for place, chart in enumerate(charts.gain_chart(shown, at.language)):
        draw(chart, f"gain-{place}", at, charts.alternative_text(shown, at.language))
    formula = _(
        "Metric of one arm minus metric of the other, mean over the seeds. Interval: paired bootstrap over the "
        "held-out test items. An interval that includes zero proves nothing, whichever side the point lies on. "
        "Each interval stands alone: of twenty measures without any effect about one lies off zero by chance."
    )
    how(_("How is this computed?"), formula, effects.EFFECTS_SQL)


def _alignment(at: Opened) -> None:
    _ = at.translate
    heading(_("Alignment before and after"))
    found = kept.alignment(at.site)
    if isinstance(found, Missing):
        empty(_("Not yet measurable"), _("It needs {what}.").format(what=_(found.needs)))
        return
    means = _("Mean {before} before, {after} after: change {change}, {n} captions").format(
        before=number(found.mean_before, at.language, 3), after=number(found.mean_after, at.language, 3),
        change=f"{found.change:+.3f}", n=number(found.n, at.language),
    )  # fmt: skip
    if isfinite(found.low):
        bounds = _("95 % interval of the change {low} to {high}").format(
            low=f"{found.low:+.3f}", high=f"{found.high:+.3f}"
        )
        means = f"{means} · {bounds}"
    note(means)
    if found.simulated:
        simulated_badge(at, found.simulated)
    draw(charts.alignment_chart(found, at.language), "alignment", at)
    formula = _(
        "Cosine of photo and old caption against cosine of the same photo and the new caption in the same language, "
        "by the same encoder. Interval: paired t. A higher cosine says that the caption fits the photo better in the "
        "encoder's eyes; whether that helps is measured by the retraining."
    )
    encoder = "\n".join(alignment_words.encoder_notes(found, at.language))
    how(_("How is this computed?"), formula, ALIGNMENT_SQL, more=lambda: st.text(encoder))


def _by_day(days: dict[date, Counted], at: Opened) -> None:
    _ = at.translate
    heading(_("Captions fixed by day"))
    if not days:
        empty(_("No correction yet"), _("Every day's corrections appear here."))
        return
    draw(charts.by_day_chart(days, at.language), "by-day", at)
    formula = _("Captions fixed, by the calendar day of this machine's time zone.")
    how(_("How is this computed?"), formula, figures.BY_DAY_SQL)


def _risk(at: Opened) -> None:
    _ = at.translate
    heading(_("Where the risk lies"))
    rows = kept.risk_distribution(at.site)
    if rows.empty:
        empty(_("Nothing scored yet"), _("The risk of every caption appears here after the first scoring."))
        return
    draw(charts.risk_chart(rows, at.language), "risk", at)
    formula = _(
        "Captions by the risk that ranks the queue, in steps of 0.05; judged ones are those with a verdict."
    )
    how(_("How is this computed?"), formula, figures.RISK_SQL)


def _pairs(at: Opened) -> None:
    """What the site holds, by state, language and origin."""
    _ = at.translate
    rows = kept.pairs_by_kind(at.site)
    if rows.empty:
        st.text(_("The site has no captions yet."))
        return
    names = {
        "captioned": _("with caption"), "missing": _("without caption"),
        "ja": _("Japanese"), "en": _("English"), "und": _("no known language"),
        "legacy": _("from the archive"), "draft": _("draft"), "correction": _("correction"),
        "lot_approved": _("approved as a lot"),
    }  # fmt: skip
    titles = {
        "state": _("State"),
        "language": _("Language"),
        "origin": _("Origin"),
        "pairs": _("Captions"),
    }

    def show() -> None:
        for column in ("state", "language", "origin"):
            rows[column] = [names.get(value, value) for value in rows[column]]
        st.dataframe(rows.rename(columns=titles), hide_index=True, width="stretch")
        how(
            _("How is this computed?"),
            _("Captions by state, language and origin."),
            figures.PAIRS_SQL,
            popover=True,
        )

    folded(_("What the site holds"), ":material/database:", "pairs", show)
