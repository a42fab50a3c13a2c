"""The meeting report: one page to decide on, composed from the same figures and words as the managers' pages.

    report = compose(gather(site), "ja")        # every sentence and number, as text
    write(site, Path("report.pdf"), "ja")       # .html, .pdf or .pptx

`gather` reads the store; `compose` is pure. No sentence claims a gain whose interval includes zero: the words for a
gain are reached only through `Effect.verdict`. What the simulated crew of the demo did is never added to what people
did, and is marked wherever it stands.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dashboards import effects, figures, metric_words, report_money, words
from dashboards.effects import Effect
from dashboards.figures import Cost, Missing, Remaining, Work
from dashboards.report_money import Money
from dashboards.report_spans import by_unit
from dashboards.standing import Standing, standing
from data.errors import GenbaError
from data.messages import Translate, duration, moment, number, translator, yen
from data.site import Site
from data.store import now

EFFECTS_SHOWN = 8  # rows of evidence that fit on the page
RISKS_SHOWN = 5


@dataclass(frozen=True)
class Facts:
    """What the report rests on, read at one time."""

    site: str
    at: datetime  # UTC
    is_demo: bool
    work: Work
    cost: Cost
    remaining: Remaining | Missing
    run_id: str | None
    effects: list[Effect]  # of the last finished run
    simulated: tuple[int, int]  # (simulated, all) fixed captions behind that run
    standing: Standing
    money: Money


@dataclass(frozen=True)
class Figure:
    """One number as the overview shows it. simulated: the simulated crew's, "" where there is none."""

    label: str
    value: str
    notes: tuple[str, ...] = ()
    simulated: str = ""


@dataclass(frozen=True)
class Evidence:
    """One measured effect in words; `effect` for drawing it."""

    metric: str
    change: str
    interval: str
    verdict: str
    effect: Effect


@dataclass(frozen=True)
class Report:
    """Everything that stands in the report, as plain text: whoever renders it escapes it."""

    language: str
    title: str
    subtitle: str
    marks: tuple[str, ...]  # what is simulated
    headline: str
    conclusion: str
    next_what: str
    next_why: str
    figures: tuple[Figure, ...]
    contrast: str
    columns: tuple[str, ...]  # of the evidence: measure, change, interval, verdict
    evidence: tuple[Evidence, ...]
    more: str  # what of the evidence stands elsewhere
    money: tuple[str, ...]
    assumptions: tuple[str, ...]
    risks: tuple[str, ...]
    sentences: tuple[str, ...]  # five, to be said aloud
    footer: str


def gather(site: Site) -> Facts:
    """Read what the report needs, by the functions that the overview uses."""
    run_id = effects.last_run(site)
    return Facts(
        site=site.settings.site.name, at=now(), is_demo=site.settings.site.demo, work=figures.work(site),
        cost=figures.cost(site), remaining=figures.remaining(site), run_id=run_id,
        effects=effects.effects(site, run_id) if run_id else [],
        simulated=effects.simulated_share(site, run_id) if run_id else (0, 0), standing=standing(site),
        money=report_money.gather(site),
    )  # fmt: skip


def compose(facts: Facts, language: str) -> Report:
    """The report in words. Pure."""
    _ = translator(language)
    step = words.next_step(facts.standing, language)
    measured = effects.same_contrast(facts.effects)
    shown = _shown(measured)
    main = effects.main_effect(facts.effects)
    at = moment(facts.at, language)
    return Report(
        language=language,
        title=_("Captions: what the corrections brought"),
        subtitle=f"{facts.site} · {at}",
        marks=_marks(facts, language),
        headline=_headline(main, facts, language),
        conclusion=_conclusion(facts, language),
        next_what=step.what,
        next_why=step.why,
        figures=_figures(facts, main, language),
        contrast=_contrast(shown[0] if shown else None, language),
        columns=(_("Measure"), _("Change"), _("95 % interval"), _("Verdict")),
        evidence=tuple(_evidence(effect, language) for effect in shown),
        more=_more([effect for effect in measured if effect not in shown], language),
        money=report_money.lines(facts.cost, facts.money, language),
        assumptions=report_money.assumed(facts.cost, facts.money, language),
        risks=_risks(facts, measured, language),
        sentences=_sentences(facts, step, language),
        footer=_("Made by Genba from the site's records. Formula and query of each number: page Overview; of benefits "
                 "and net: ROI; of other measures: Retrainings."),
    )  # fmt: skip


def _shown(measured: list[Effect]) -> list[Effect]:
    """The measures that the overview's chart shows; where a run has none of them, the first ones.

    The linear probe and the search by kinds of captions come last, so that they push out no other task."""
    headline = [effect for effect in measured if metric_words.is_headline(effect.metric)]
    headline.sort(key=lambda effect: (not effect.is_primary, metric_words.headline_place(effect.task)))
    return by_unit((headline or measured)[:EFFECTS_SHOWN])


def _unbroken(name: str) -> str:
    """A metric's name whose number stays on the line of its word: top 1."""
    return re.sub(r" (\d+)\b", "\N{NO-BREAK SPACE}\\1", name)


def _marks(facts: Facts, language: str) -> tuple[str, ...]:
    _ = translator(language)
    found = []
    if facts.is_demo:
        found.append(_("Demo site: the photos are rendered."))
    if facts.work.fixed.simulated or facts.simulated[0]:
        found.append(_("Contains simulated work: numbers marked “simulated” are not people's."))
    return tuple(found)


def _headline(main: Effect | None, facts: Facts, language: str) -> str:
    """The conclusion in one line."""
    _ = translator(language)
    if main is None:
        return _("No effect of the corrections is measured yet.")
    some = bool(facts.simulated[0])
    return {
        "none": _("No effect of the corrections is proven yet."),
        "style": _("No effect of the corrections beyond the template's wording is proven yet."),
        "untold": _("No effect of the corrections beyond the template's wording is proven yet."),
        "gain": _("A gain from simulated corrections is measured.") if some else _(
            "A gain from the corrections is measured."),
        "loss": _("A loss from simulated corrections is measured.") if some else _(
            "A loss from the corrections is measured."),
    }[effects.claim(facts.effects)]  # fmt: skip


def _conclusion(facts: Facts, language: str) -> str:
    _ = translator(language)
    if facts.run_id is None:
        return _("No retraining has finished yet, so no gain is measured.")
    return words.run_words(facts.effects, facts.simulated, language)


def _counted(label: str, counted: figures.Counted, shown: Callable[[float], str], *notes: str) -> Figure:
    return Figure(label, shown(counted.people), notes, shown(counted.simulated) if counted.simulated else "")


def _figures(facts: Facts, main: Effect | None, language: str) -> tuple[Figure, ...]:
    """The five cards of the overview, in the same words."""
    _ = translator(language)
    done, spent = facts.work, facts.cost
    judged = _("{ok} confirmed right, {other} set aside").format(
        ok=number(done.confirmed.total, language), other=number(done.other.total, language)
    )
    default = [_("default rates")] if spent.wage_is_default or spent.compute_is_default else []
    return (
        _gain(main, facts, language),
        _left(facts.remaining, language),
        _counted(_("Captions fixed"), done.fixed, lambda n: number(n, language), judged),
        _counted(_("Hours of work"), done.hours, lambda hours: duration(hours * 3600, language)),
        Figure(_("Cost so far"), yen(spent.total_jpy, language), tuple(default),
               yen(spent.simulated_jpy, language) if spent.simulated_jpy else ""),
    )  # fmt: skip


def _missing(label: str, found: Missing, _: Translate) -> Figure:
    return Figure(label, "—", (_("Not yet measurable: needs {what}.").format(what=_(found.needs)),))


def _gain(main: Effect | None, facts: Facts, language: str) -> Figure:
    _ = translator(language)
    label = _("Effect of the last retraining")
    if main is None:
        needs = Missing("a finished retraining with a control arm")
        if facts.effects:
            needs = Missing(
                "a finished retraining that measures the primary metric ([retrain] primary in genba.toml)"
            )
        return _missing(label, needs, _)
    simulated = facts.simulated[0]
    behind = [_("includes {n} simulated").format(n=number(simulated, language))] if simulated else []
    bounds = _("95 % interval {interval}; {metric}").format(
        interval=words.interval(main, language),
        metric=_unbroken(words.metric_name(main.task, main.metric, language)),
    )
    return Figure(
        label, words.difference(main.value, main, language),
        (words.claim_name(facts.effects, language), bounds, *behind),
    )  # fmt: skip


def _left(found: Remaining | Missing, language: str) -> Figure:
    _ = translator(language)
    label = _("Bad captions left")
    if isinstance(found, Missing):
        return _missing(label, found, _)
    estimate = found.estimate
    bounds = _("95 % interval {low} to {high}; {bad} of {n} audited were wrong").format(
        low=number(estimate.bad_left_low, language), high=number(estimate.bad_left_high, language),
        bad=estimate.bad, n=estimate.judged,
    )  # fmt: skip
    simulated = found.simulated_judged
    behind = [_("includes {n} simulated").format(n=number(simulated, language))] if simulated else []
    return Figure(label, _("about {n}").format(n=number(estimate.bad_left, language)), (bounds, *behind))


def _contrast(first: Effect | None, language: str) -> str:
    _ = translator(language)
    if first is None:
        return _("Each measure appears here with its interval after the first retraining.")
    text = _("{arm} against {versus}; seeds: {seeds}; points are means, bars 95 % intervals")
    return text.format(
        arm=words.arm_name(first.arm, language),
        versus=words.arm_name(first.versus, language),
        seeds=first.seeds,
    )


def _evidence(effect: Effect, language: str) -> Evidence:
    _ = translator(language)
    verdict = {"better": _("gain"), "worse": _("loss"), "undecided": _("undecided")}
    name = words.metric_name(effect.task, effect.metric, language)
    return Evidence(
        _unbroken(name), words.difference(effect.value, effect, language),
        words.interval(effect, language), verdict[effect.verdict], effect,
    )  # fmt: skip


def _more(others: list[Effect], language: str) -> str:
    """The measures that are not shown, so that none is dropped silently: also how they came out."""
    _ = translator(language)
    rest = [effect.verdict for effect in others]
    if not rest:
        return ""
    return _("{n} more measures stand on the page Retrainings: {worse} of them worse, {undecided} undecided.").format(
        n=len(rest), worse=rest.count("worse"), undecided=rest.count("undecided")
    )  # fmt: skip


def _risks(facts: Facts, shown: list[Effect], language: str) -> tuple[str, ...]:
    """What speaks against relying on the numbers, the heaviest first."""
    _ = translator(language)
    simulated, fixed = facts.simulated
    worse = [effect for effect in shown if effect.verdict == "worse"]
    found = []
    if simulated:
        text = _(
            "{m} of the {n} corrections behind the effect are simulated: real staff may do better or worse."
        )
        found.append(text.format(m=number(simulated, language), n=number(fixed, language)))
    if fell := words.falls_sentence(facts.standing, language):
        found.append(fell)
    if worse:
        names = [words.metric_name(effect.task, effect.metric, language) for effect in worse]
        found.append(
            _("Measured worse: {names}.").format(names=("、" if language == "ja" else ", ").join(names))
        )
    main = effects.main_effect(facts.effects)
    if main is not None and main.verdict == "undecided":
        found.append(words.detectable_sentence(main, language))
    if isinstance(facts.remaining, Missing):
        found.append(_("Nobody knows how many bad captions are left: that needs {what}.").format(
            what=_(facts.remaining.needs)))  # fmt: skip
    if facts.cost.wage_is_default or facts.cost.compute_is_default:
        found.append(_("These rates are defaults that nobody has confirmed yet."))
    if len(shown) > 1:
        found.append(_("Each interval stands alone: of twenty measures without any effect about one lies off zero by "
                       "chance."))  # fmt: skip
    found.append(
        _("Everything was measured on this site's own held-out photos and says nothing about other sites.")
    )
    return tuple(found[:RISKS_SHOWN])


def _sentences(facts: Facts, step: words.Step, language: str) -> tuple[str, ...]:
    """Five sentences that can be said aloud: work, what is left, effect, cost and benefit, next step."""
    _ = translator(language)
    return (
        _work_sentence(facts.work, language),
        _left_sentence(facts.remaining, language),
        _conclusion(facts, language),
        report_money.sentence(facts.cost, facts.money, language),
        words.joined([_("Next: {what}").format(what=step.what), step.why], language),
    )


def _work_sentence(done: Work, language: str) -> str:
    _ = translator(language)

    def told(text: str, side: str) -> str:
        return text.format(
            fixed=number(getattr(done.fixed, side), language), ok=number(getattr(done.confirmed, side), language),
            time=duration(getattr(done.hours, side) * 3600, language),
        )  # fmt: skip

    some = done.fixed.people or done.confirmed.people
    people = (
        told(_("So far people have fixed {fixed} captions and confirmed {ok}, in {time} of work."), "people")
        if some
        else _("So far people have not corrected a caption.")
    )
    if not (done.fixed.simulated or done.confirmed.simulated):
        return people
    crew = told(_("A simulated crew has fixed {fixed} and confirmed {ok}, in {time}."), "simulated")
    return words.joined([people, crew], language)


def _left_sentence(found: Remaining | Missing, language: str) -> str:
    _ = translator(language)
    if isinstance(found, Missing):
        text = _("How many bad captions are left is not yet measurable: that needs {what}.")
        return text.format(what=_(found.needs))
    estimate = found.estimate
    return _("Of {n} captions that nobody has judged, about {left} still need a correction (95 % interval {low} to "
             "{high}).").format(
        n=number(estimate.unjudged, language), left=number(estimate.bad_left, language),
        low=number(estimate.bad_left_low, language), high=number(estimate.bad_left_high, language),
    )  # fmt: skip


def _renderers() -> dict[str, Callable[[Report], bytes]]:
    from dashboards.report_html import html
    from dashboards.report_pdf import pdf
    from dashboards.report_pptx import pptx

    return {".html": lambda report: html(report).encode(), ".pdf": pdf, ".pptx": pptx}


ENDINGS = (".html", ".pdf", ".pptx")


def render(site: Site, ending: str, language: str) -> bytes:
    """The report as a file's bytes; `ending`: one of ENDINGS."""
    return _renderers()[ending](compose(gather(site), language))


def write(site: Site, path: Path, language: str) -> None:
    """Write the report, whole or not at all. Raises GenbaError for an unknown ending and a folder that is not there."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise GenbaError(
            f"The report cannot be written as '{path.name}'.", choices=ENDINGS, next="-o report.html"
        )
    if not path.parent.is_dir():
        raise GenbaError(f"There is no folder {path.parent}.", next=f"mkdir -p {path.parent}")
    content = render(site, ending, language)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(3)}.part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise GenbaError(f"{path} cannot be written: {error.strerror}.", next="-o another path") from error
    finally:
        temporary.unlink(missing_ok=True)
