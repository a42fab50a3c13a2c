"""Finder: how bad captions are found, how well, from which risk on a look pays, and how many are left."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from annotate import audit, stopping
from annotate.estimate import AUDITED, JUDGED, REST
from annotate.pages.elements import (
    Opened,
    empty,
    heading,
    note,
    opened,
    show_error,
    shows_errors,
    simulated_badge,
)
from annotate.pages.jobs_strip import live_strip
from annotate.pages.lead import locked
from annotate.seconds import PRIOR, TIMES
from dashboards import charts, figures, finder, finder_charts, finder_words, kept, words
from dashboards.figures import Missing, Remaining
from dashboards.finder import Learning, Line
from dashboards.pages.elements import bad_left, draw, how, missing, stop_words
from data import jobs
from data.errors import GenbaError
from data.messages import moment, number, yen
from scoring import refit


@shows_errors
def page() -> None:
    """The page Finder."""
    at = opened()
    _ = at.translate
    st.title(_("Finder"), anchor=False)
    with st.spinner(_("Counting ...")):
        found = finder.learning(at.site)
        line, left = finder.line(at.site, found), kept.remaining(at.site)
    st.text(finder_words.learning_sentence(found, at.language))
    live_strip()
    for row in (
        (lambda: _risk(found, at), lambda: _ranking(found, at), lambda: _worth(found, line, at)),
        (lambda: _reliability(found, at), lambda: _leanings(found, at)),
        (lambda: _line(line, at), lambda: _left(left, line, at)),
    ):
        for column, show in zip(st.columns(len(row), gap="small"), row, strict=True):
            with column, st.container(border=True, height="stretch", gap="small"):
                show()


def _risk(found: Learning, at: Opened) -> None:
    """What the risk in use is made of, and from how many answers."""
    _ = at.translate
    answered = found.answered
    st.metric(_("Risk in use"), finder_words.risk_name(found, at.language))
    note(
        _("{n} answers: {audited} from the blind audit, {queue} from the queue").format(
            n=number(answered.answers, at.language),
            audited=number(answered.audited, at.language),
            queue=number(answered.from_queue, at.language),
        )
    )
    if found.current is not None:
        note(_("Fitted {when}").format(when=moment(found.fits[0][1], at.language)))
    if answered.simulated:
        simulated_badge(at, answered.simulated)
    if found.is_due and answered.is_enough:
        note(_("There are answers that it has not learned from yet."))
        if st.button(_("Score now"), key="learn", icon=":material/play_arrow:"):
            _enqueue_score(at)
    formula = _(
        "Label-free: how badly the caption fits its photo among the site's captions, and what its words lack. Learned: "
        "a logistic regression on top of that, from the ranks of all signals. The answers of the blind audit stand for "
        "everything that nobody has judged, those from the queue for themselves alone. It is used only where it ranks "
        "better on answers that it did not learn from. It is fitted anew at the end of every scoring."
    )
    how(_("How is this computed?"), formula, finder.ANSWERED_SQL, popover=True)


def _enqueue_score(at: Opened) -> None:
    with at.site.connect() as db:
        jobs.enqueue(db, "score", {}, at.person)
        db.event(at.person, "job.queued", {"name": "score", "arguments": {}})
    st.toast(at.translate("Queued. The progress appears on this page."), icon=":material/check:")
    st.rerun()


def _ranking(found: Learning, at: Opened) -> None:
    """How well the risk ranks, and how that grew."""
    _ = at.translate
    label, fit = _("Ranking (AUROC, cross-validated)"), found.current
    if fit is None:
        missing(label, finder.not_learned(found), at)
    else:
        best = max(fit.auroc, fit.auroc_label_free)
        st.metric(label, number(best, at.language, 3))
        note(
            _("Learned {ours}, label-free {theirs}, on the same {n} answers").format(
                ours=number(fit.auroc, at.language, 3), theirs=number(fit.auroc_label_free, at.language, 3),
                n=number(fit.answers, at.language),
            )
        )  # fmt: skip
        if len(found.fits) > 1:
            draw(finder_charts.fits_chart(found.fits, at.language), "fits", at)
    formula = _(
        "The chance that a bad caption gets a higher risk than a right one: 1 is perfect, 0.5 is guessing. Each answer "
        "is judged by a model that has not seen it nor its near-duplicates (five folds), and weighed as in the fit."
    )
    how(_("How is this computed?"), formula, refit.FITS, popover=True)


def _worth(found: Learning, line: Line | Missing, at: Opened) -> None:
    _ = at.translate
    label = _("Waiting captions worth a look")
    if isinstance(line, Missing):
        missing(label, line, at)
        if found.current is not None:
            note(_("You can set that price further down."))
    else:
        st.metric(label, number(line.above, at.language))
        note(_("of {n} that wait").format(n=number(line.waiting, at.language)))
    how(_("How is this computed?"), _line_formula(at), finder.WAITING_SQL, popover=True)


def _reliability(found: Learning, at: Opened) -> None:
    _ = at.translate
    heading(_("Predicted and seen"))
    fit = found.current
    if fit is None:
        _not_learned(found, at)
        return
    note(_("Points are groups of answers, bars 95 % intervals; on the dashed line a risk keeps its word"))
    words_of = "; ".join(
        f"{finder_words.percent(b.predicted, at.language)} → {finder_words.percent(b.seen, at.language)}"
        for b in fit.curve
    )
    chart = finder_charts.reliability_chart(fit.curve, at.language)
    draw(chart, "reliability", at, words_of)
    formula = _(
        "Answers in groups of about equal size by their predicted risk: the mean prediction against the share that "
        "needed a correction, both weighed as in the fit. Predictions before calibration are out of fold; the "
        "calibration (Platt 1999) is fitted to the same answers. Interval: Wilson (1927), with the effective number of "
        "answers."
    )
    how(_("How is this computed?"), formula, refit.FITS)


def _not_learned(found: Learning, at: Opened) -> None:
    """What learning needs, and the way there."""
    _ = at.translate

    def next_step() -> None:
        queue = st.session_state.get("pages", {}).get("queue")  # app.py puts its pages there
        if found.answered.is_enough:
            if st.button(_("Score now"), key="learn-empty", icon=":material/play_arrow:"):
                _enqueue_score(at)
        elif queue is not None:
            st.page_link(queue, label=_("Go to the queue"), icon=":material/arrow_forward:")

    text = finder_words.needed_sentence(found.answered, at.language)
    if found.answered.is_enough:
        text = finder_words.learning_sentence(found, at.language)
    empty(_("Not learned yet"), text, icon=":material/school:", more=next_step)


def _leanings(found: Learning, at: Opened) -> None:
    _ = at.translate
    heading(_("What the risk leans on"))
    weighed = finder.leanings(found.current) if found.current else []
    if not weighed:
        empty(
            _("No learned weights"),
            _("The signals that weigh most appear here once a learned risk is in use."),
            icon=":material/balance:",
        )
        return
    note(_("On top of the label-free risk, from which it starts"))
    named = [(finder_words.signal_name(name, at.language), weight) for name, weight in weighed]
    alternative = "; ".join(f"{name} {weight:+.2f}" for name, weight in named)
    chart = finder_charts.leanings_chart(named, at.language)
    draw(chart, "leanings", at, alternative)
    formula = _(
        "Coefficients of the logistic regression for the signals' ranks among the site's captions, each turned so that "
        "higher is worse and scaled to variance 1; the six largest. Signals that say nearly the same share their "
        "weight, so one alone does not say how useful a signal is."
    )
    how(_("How is this computed?"), formula, refit.FITS)


def _line(line: Line | Missing, at: Opened) -> None:
    """The price of a bad caption that stays, and the risk from which a look pays."""
    _ = at.translate
    heading(_("From where on a look pays"))
    price = at.site.settings.cost.bad_caption_jpy
    with st.form("price", border=False):
        given, button = st.columns([3, 2], vertical_alignment="bottom")
        yen_given = given.number_input(
            _("Yen that a bad caption costs when it stays"), 0.0, value=price, step=10.0, format="%.0f",
            help=_("0: nobody has said"),
        )  # fmt: skip
        if button.form_submit_button(_("Set the price"), width="stretch", disabled=locked(at)):
            finder.say_bad_caption_cost(at.site, yen_given, at.person)
            st.rerun()
    if not price:
        st.badge(_("nobody has said"), icon=":material/info:", color="orange")
    if isinstance(line, Missing):
        note(_("Not yet measurable: needs {what}.").format(what=_(line.needs)))
    else:
        for sentence in finder_words.line_sentences(line, at.language):
            st.text(sentence)
    rows = kept.risk_distribution(at.site)
    if rows.empty:
        empty(_("Nothing scored yet"), _("The risk of every caption appears here after the first scoring."))
    else:
        drawn = None if isinstance(line, Missing) or line.probability > 1 else line.probability
        draw(charts.risk_chart(rows, at.language, drawn), "line", at)
    how(
        _("How is this computed?"), _line_formula(at), TIMES, finder.WAITING_SQL, figures.RISK_SQL,
        more=lambda: _prices(line, at),
    )  # fmt: skip


def _line_formula(at: Opened) -> str:
    _ = at.translate
    return _(
        "A look pays where risk x (price of a bad caption that stays − mending it) is at least the price of looking. "
        "Prices are the median seconds of the site's own answers (while they are few, drawn towards {ok} s for a "
        "caption that is right and {fix} s for one that is mended) times the wage."
    ).format(**{verdict: number(seconds, at.language) for verdict, seconds in PRIOR.items()})


def _prices(line: Line | Missing, at: Opened) -> None:
    _ = at.translate
    if isinstance(line, Line):
        st.text(
            _("Looking {look}, mending {mend} more, a bad caption that stays {price}").format(
                look=yen(line.look_jpy, at.language), mend=yen(line.mend_jpy, at.language),
                price=yen(line.bad_caption_jpy, at.language),
            )
        )  # fmt: skip


def _left(left: Remaining | Missing, line: Line | Missing, at: Opened) -> None:
    """Bad captions at the beginning and now, the advice on stopping, and the next audit."""
    _ = at.translate
    heading(_("How many are left"))
    label = _("Bad captions left")
    if isinstance(left, Missing):
        missing(label, replace(left, command=""), at)  # the audit is drawn below
    else:
        estimate = left.estimate
        bad_left(label, estimate, at)
        note(
            _("{before} at the beginning, {found} found so far").format(
                before=_("about {n}").format(n=number(estimate.before, at.language)),
                found=number(estimate.found, at.language),
            )
        )
        if left.simulated_judged:
            simulated_badge(at, left.simulated_judged)
        draw(finder_charts.left_chart(estimate, at.language), "left", at)
    price = at.site.settings.cost.bad_caption_jpy or None
    estimated = None if isinstance(left, Missing) else left.estimate
    ahead = kept.next_hundred(at.site, estimated, price)
    sentences = stop_words(ahead, at)
    if isinstance(line, Line) and ahead.advice in ("go_on", "stop"):
        sentences[-1] = finder_words.advice(line, at.language)
    for sentence in sentences:
        st.text(sentence)
    _audit(at)
    formula = _(
        "From blind random captions alone. What each draw says of the pile it was drawn from (share of bad ones in "
        "each stratum x captions in it, Horvitz and Thompson 1952), less the bad ones found in that pile since; "
        "several draws are weighted by how exact they are. Interval: exact, by inverting a test over the strata. At "
        "the beginning = found + left. Next hundred: the sum of their risks, corrected by what the last hundred held; "
        "before the risk is calibrated, scaled so that the risks of all that waits add up to what the audit leaves."
    )
    how(_("How is this computed?"), formula, AUDITED, JUDGED, REST, stopping.LAST)


def _audit(at: Opened) -> None:
    """Draw the next audit at once: it takes no time."""
    _ = at.translate
    waiting = audit.waiting(at.site)
    if waiting:
        note(
            _(
                "Drawn captions that wait for a verdict: {n}. They come up in the form between the others."
            ).format(n=number(waiting, at.language))
        )
    with st.form("audit", border=False):
        given, button = st.columns([3, 2], vertical_alignment="bottom")
        n = given.number_input(_("Captions to draw for a blind audit"), 1, 10_000, words.AUDIT_SIZE)
        if button.form_submit_button(
            _("Draw the audit"), width="stretch", icon=":material/casino:", disabled=locked(at)
        ):
            try:
                drawn = audit.draw(at.site, int(n), actor=at.person)
            except GenbaError as error:
                show_error(error)
            else:
                st.toast(_("Drawn: {n}").format(n=number(drawn, at.language)), icon=":material/check:")
                st.rerun()
