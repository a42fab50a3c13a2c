"""Sentences that a manager can say aloud, composed from the data, and what to do next and why.

No sentence here claims a gain, or a loss, whose interval includes zero: the words for them are reached only through
`Effect.verdict`, and a property test holds it over random effects.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from dashboards import effects as measured
from dashboards.effects import Effect
from dashboards.metric_words import metric_words, of_style
from dashboards.standing import Standing
from data.messages import number, translator
from data.site import Site
from data.template_schema import Option, Slot
from data.templates import Template
from training import gate_words

CORRECTIONS_BEFORE_RETRAIN = (
    100  # when genba.toml sets no policy: fewer than this rarely show above the noise
)
AUDIT_SIZE = 100
RANK = "rank"  # the unit of a median rank
MOST_DIGITS = 6


def metric_name(task: str, metric: str, language: str, labels: Mapping[str, str] | None = None) -> str:
    """A metric in words; one that this file does not know keeps its own name. labels: of `slot_labels`."""
    _ = translator(language)
    recall = re.search(r"recall(?:_at_|@)(\d+)", metric)
    where = f"{task}_{metric}"
    if recall:
        if "text_to_image" in where or "t2i" in where:
            text = _("Photo found from words, top {k}")
        elif "image_to_text" in where or "i2t" in where:
            text = _("Words found from a photo, top {k}")
        else:
            text = _("Found, top {k}")
        spoken = re.search(r"(?:^|_)(ja|en)(?:_|$)", where)
        name = text.format(k=recall.group(1))
        if spoken:
            name = {"ja": _("{name} (in Japanese)"), "en": _("{name} (in English)")}[spoken.group(1)].format(
                name=name
            )
        return of_style(task, name, language)
    if "miou" in metric.lower():
        return _("Regions found in the photo (mIoU)")
    if "rmse" in metric.lower():
        return _("Error of depth (RMSE)")
    return metric_words(task, metric, language, labels)


def slot_labels(template: Template, language: str) -> dict[str, str]:
    """Id -> what the template calls the item, or the answer, in this language, else in the first one that it has."""
    found: dict[str, str] = {}
    options = [option for slot in template.slots for option in slot.options]
    items: list[Slot | Option] = [*template.slots, *options]
    for one in items:
        called = {str(spoken): label for spoken, label in one.label.items()}
        found.setdefault(one.id, called.get(language) or next(iter(called.values()), one.id))
    return found


def unit_name(effect: Effect, language: str) -> str:
    """The unit of a difference: points for shares, else the metric's own."""
    _ = translator(language)
    return _("points") if effect.is_fraction else unit_word(effect.unit, language)


def unit_word(unit: str, language: str) -> str:
    """A unit that has a word: a median rank is counted in places; metres stay m."""
    _ = translator(language)
    return _("places") if unit == RANK else unit


def digits_of(value: float, unit: str, *beside: float) -> int:
    """Decimals of a number. beside: the ends of its interval.

    A rank is whole, or half where the median lies between two or the seeds differ. Metres have three, more where all of
    them would be zeros."""
    if unit == RANK:
        return 0 if round(value, 1) == round(value) else 1
    largest = max(abs(one) for one in (value, *beside))
    return 3 if largest >= 0.001 or not largest else min(1 - math.floor(math.log10(largest)), MOST_DIGITS)


def difference(value: float, effect: Effect, language: str, unit: bool = True) -> str:
    """A signed difference with unit: +9.8 points, -0.021 m, ±0 places. Shares are shown times 100."""
    shown = value * 100 if effect.is_fraction else value
    digits = 1 if effect.is_fraction else digits_of(shown, effect.unit, effect.low, effect.high)
    sign = "+" if shown > 0 else "−" if round(shown, digits) < 0 else "±"
    text = f"{sign}{number(abs(shown), language, digits)}"
    space = "" if language == "ja" and (effect.is_fraction or effect.unit == RANK) else " "
    return f"{text}{space}{unit_name(effect, language)}" if unit else text


def interval(effect: Effect, language: str) -> str:
    """The 95 % interval of an effect, e.g. "+4.1 to +15.2"."""
    _ = translator(language)
    low, high = (difference(v, effect, language, unit=False) for v in (effect.low, effect.high))
    return _("{low} to {high}").format(low=low, high=high)


def effect_sentence(found: list[Effect], language: str, is_last: bool = True) -> str:
    """What a run showed: its main effect, and how the other measures between the same arms came out.

    found: all effects of the run. is_last: speak of "the last retraining", else of "this retraining".
    """
    _ = translator(language)
    subject = _("The last retraining") if is_last else _("This retraining")
    main = measured.main_effect(found)
    if main is None and found:
        return _("{subject} did not measure the primary metric, so no gain is claimed.").format(
            subject=subject
        )
    if main is None:
        return _("{subject} ended without a comparison, so no gain is measured.").format(subject=subject)
    text = {
        "gain": _("{subject} brought a gain: “{metric}” changed by {value} (95 % interval {interval})."),
        "loss": _("{subject} brought a loss: “{metric}” changed by {value} (95 % interval {interval})."),
        "none": _(
            "{subject} proves no effect: “{metric}” changed by {value}, "
            "and the 95 % interval, {interval}, includes zero."
        ),
        "style": _(
            "{subject} improved “{metric}” by {value} (95 % interval {interval}) over the original captions, but not "
            "provenly over the same content in the template's words: no gain is claimed."
        ),
        "untold": _(
            "{subject} improved “{metric}” by {value} (95 % interval {interval}) over the original captions, but it "
            "has no reworded arm to tell content from wording: no gain is claimed."
        ),
    }[measured.claim(found)]
    first = text.format(
        subject=subject,
        metric=metric_name(main.task, main.metric, language),
        value=difference(main.value, main, language),
        interval=interval(main, language),
    )
    return joined([first, _others(found, main, language)], language)


def claim_name(found: list[Effect], language: str) -> str:
    """What may be claimed of a run, in two or three words: for a badge."""
    _ = translator(language)
    return {
        "gain": _("proven gain"),
        "loss": _("proven loss"),
        "none": _("not proven"),
        "style": _("not proven beyond the wording"),
        "untold": _("wording not ruled out"),
    }[measured.claim(found)]


def joined(sentences: list[str], language: str) -> str:
    """Sentences one after the other; Japanese puts no space between them."""
    return ("" if language == "ja" else " ").join(filter(None, sentences))


def listed(notes: Sequence[str], language: str) -> str:
    """Notes that are no sentences, one after the other."""
    return ("、" if language == "ja" else "; ").join(notes)


def _others(found: list[Effect], main: Effect, language: str) -> str:
    """How the measures beside the main one came out; a word for gain or loss only when there is one."""
    _ = translator(language)
    others = [effect.verdict for effect in measured.same_contrast(found) if effect != main]
    if not others:
        return ""
    parts = {
        "better": _("{n} better"),
        "worse": _("{n} worse"),
        "undecided": _("{n} undecided"),
    }
    counted = [text.format(n=others.count(verdict)) for verdict, text in parts.items() if verdict in others]
    return _("The other {n} measures: {counted}.").format(
        n=len(others), counted=("、" if language == "ja" else ", ").join(counted)
    )


def arm_name(arm: str, language: str) -> str:
    """An arm in words; one that this file does not know keeps its own name."""
    _ = translator(language)
    known = {
        "original": _("Original captions (control)"),
        "corrected": _("Corrected captions"),
        "dropped": _("Bad pairs left out (control)"),
        "reworded": _("Reworded, nothing corrected (control)"),
        "drafts": _("Machine drafts, no person"),
        "random": _("Corrections spent at random (control)"),
        "ranked": _("As many corrections from the queue"),
        "candidate": _("The model itself"),
        "base": _("Before the retraining"),
        "champion": _("Model in use"),
    }
    if arm.startswith("without:"):  # of a pilot
        return _("Without the item {item}").format(item=arm.removeprefix("without:"))
    return known.get(arm, arm)


def run_sentence(site: Site, run_id: str, language: str) -> str:
    """One run in words, with the share of simulated corrections behind it."""
    is_last = run_id == measured.last_run(site)
    found = measured.effects(site, run_id)
    return run_words(found, measured.simulated_share(site, run_id), language, is_last)


def run_words(found: list[Effect], simulated_of: tuple[int, int], language: str, is_last: bool = True) -> str:
    """The same from its effects and (simulated, all) corrections behind them."""
    _ = translator(language)
    text = effect_sentence(found, language, is_last)
    simulated, fixed = simulated_of
    if not simulated:
        return text
    behind = _("Of the {n} corrections behind it {m} are simulated.")
    counts = {"n": number(fixed, language), "m": number(simulated, language)}
    return joined([text, behind.format(**counts)], language)


def last_run_sentence(site: Site, language: str) -> str:
    """The last finished retraining in words, or that there is none."""
    _ = translator(language)
    run_id = measured.last_run(site)
    if run_id:
        return run_sentence(site, run_id, language)
    return _("No retraining has finished yet, so no gain is measured.")


def detectable_sentence(effect: Effect, language: str) -> str:
    """How small an effect a run like this one can show, from its own interval."""
    _ = translator(language)
    smallest = measured.detectable(effect)
    if smallest is None:
        return _(
            "How small an effect it could show cannot be told: that takes two seeds or more and arms that differ."
        )
    text = _(
        "A run like the last one (n = {n}, {seeds} seeds) shows effects from about {value} in four of five cases."
    )
    value = difference(smallest, effect, language).removeprefix("+")
    return text.format(n=number(effect.n, language), seeds=effect.seeds, value=value)


def before_sentence(known: Effect | None, seeds: int, language: str) -> str:
    """How small an effect a retraining with so many seeds can show, before it starts. known: effects.telling."""
    _ = translator(language)
    smallest = measured.detectable(known, seeds) if known else None
    if known is None or smallest is None:
        return _(
            "The smallest effect that it can show is stated as it starts, and better known after a first retraining "
            "with two seeds or more."
        )
    text = (
        _("With the seeds at {seeds} it shows effects from about {value} in four of five cases, judging by "
          "the retraining {run} (n = {n}, seeds: {had}).")
        if seeds == known.seeds
        else _("With the seeds at {seeds} it shows effects from about {value}, perhaps smaller ones, in four "
               "of five cases, judging by the retraining {run} (n = {n}, seeds: {had}).")
    )  # fmt: skip
    return text.format(
        seeds=seeds, value=difference(smallest, known, language).removeprefix("+"), run=known.run_id,
        n=number(known.n, language), had=known.seeds,
    )  # fmt: skip


Action = Literal["ingest", "wait", "score", "correct", "audit", "judge", "retrain", "sign", "promote"]


@dataclass(frozen=True)
class Step:
    """What to do next. `job`: what the button enqueues; "" when a person must act (correct, judge, sign, promote).
    command: what is typed where no page does it; SITE stands for the site's folder."""

    action: Action
    what: str
    why: str
    button: str = ""
    job: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    command: str = ""


def _proven(at: Standing, language: str) -> str:
    """That a gain is proven and falls are too; "" where nothing fell."""
    _ = translator(language)
    text = _("Its gain is proven; falls against the encoder in use are proven too: {n}.")
    return text.format(n=number(len(at.falls), language)) if at.falls else ""


def falls_sentence(at: Standing, language: str) -> str:
    """What of the model that is to be promoted is proven worse, by the gate; "" where nothing is."""
    if not at.falls or at.template is None:
        return ""
    _ = translator(language)
    text = _("The model that is to be promoted is proven worse than the encoder in use: {change}.")
    named = partial(metric_name, labels=slot_labels(at.template, language))
    return text.format(change=gate_words.changes(at.falls, language, named))


def next_step(at: Standing, language: str) -> Step:
    """The first rule that applies."""
    _ = translator(language)
    threshold = at.after_corrections or CORRECTIONS_BEFORE_RETRAIN

    def count(value: int) -> str:
        return number(value, language)

    if not at.pairs:
        return Step("ingest", _("Read in photos and captions."),
                    _("The site has no captions yet. SOURCE is a table or folder with the photos' captions."),
                    command="genba ingest SITE SOURCE")  # fmt: skip
    if "score" in at.active_jobs and not at.scored:
        return Step("wait", _("Wait for the scoring."), _("It finds the captions that most need a person."))
    if not at.scored:
        return Step("score", _("Score the captions."),
                    _("{n} captions are in, and none is scored: nobody knows yet which ones need a person.").format(
                        n=count(at.pairs)), _("Score now"), "score")  # fmt: skip
    if "retrain" in at.active_jobs:
        return Step("wait", _("Wait for the retraining."),
                    _("It runs, or waits its turn. Its effect appears here when it has finished."))  # fmt: skip
    if at.gate == "open":
        return Step("promote", _("Promote the retrained model."),
                    _proven(at, language) or _("Its gain is proven, and no measure is proven worse."),
                    _("Go to the retrainings"))  # fmt: skip
    if at.gate == "sign":
        return Step("sign", _("Go through the checklist of the retrained model."),
                    joined([_proven(at, language) or _("Its gain is proven."),
                            _("Before it is used, a lead signs for fairness, privacy and safety.")], language),
                    _("Go to the retrainings"))  # fmt: skip
    if not at.judged:
        return Step("correct", _("Correct the first captions."),
                    _("{n} captions wait in the queue, the most doubtful first; none has been judged yet.").format(
                        n=count(at.waiting)), _("Go to the queue"))  # fmt: skip
    if not at.drawn:
        return Step("audit", _("Draw a blind audit of {n} captions.").format(n=AUDIT_SIZE),
                    _("Only a random draw says how many bad captions are left; corrections from the queue cannot."),
                    _("Draw the audit"), "audit", {"n": AUDIT_SIZE})  # fmt: skip
    if at.since_last_run >= threshold:
        return Step("retrain", _("Retrain on the corrections."),
                    _("{n} captions have been fixed since the last retraining.").format(n=count(at.since_last_run)),
                    _("Retrain now"), "retrain")  # fmt: skip
    if at.audit_waiting:
        return Step("judge", _("Judge the audit captions."),
                    _("Drawn captions that wait for a verdict: {n}. They come up in the form between the others.")
                    .format(n=count(at.audit_waiting)), _("Go to the queue"))  # fmt: skip
    if at.waiting:
        due = count(max(threshold - at.since_last_run, 0))
        return Step("correct", _("Correct more captions."),
                    _("{n} wait in the queue; {m} more fixed captions until the next retraining is due.").format(
                        n=count(at.waiting), m=due), _("Go to the queue"))  # fmt: skip
    return Step("audit", _("Draw another blind audit."),
                _("The queue is empty; an audit shows whether you can stop."),
                _("Draw the audit"), "audit", {"n": AUDIT_SIZE})  # fmt: skip
