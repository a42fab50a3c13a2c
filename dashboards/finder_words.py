"""The page Finder in words: what makes the risk, from where on a look pays, and the names of the signals."""

from __future__ import annotations

from dashboards.finder import Answered, Learning, Line
from dashboards.words import joined
from data.messages import duration, number, translator, yen
from scoring.learned import FEWEST_ANSWERS, FEWEST_OF_A_KIND


def signal_name(signal: str, language: str) -> str:
    """A signal in words; one that this file does not know keeps its own name."""
    _ = translator(language)
    return {
        "cosine": _("Poor fit of photo and caption"),
        "neg_clip_loss": _("Poor fit beside other pairs"),
        "caption_rank": _("Other captions suit the photo better"),
        "image_rank": _("The caption suits other photos better"),
        "lemon": _("Neighbouring pairs differ"),
        "lemon_images": _("Captions of similar photos differ"),
        "site_fit": _("Unusual for such photos here"),
        "other_captions": _("Other captions of the photo differ"),
        "contradicting_slots": _("Contradicts the photo in an item"),
        "out_of_domain": _("Photo unlike all others"),
        "caption_reuse": _("Same words on unlike photos"),
        "missing_slots": _("Items not stated"),
        "vagueness": _("Vague words"),
        "length": _("Short caption"),
        "language_unread": _("Language not read"),
        "unknown_tokens": _("Words the encoder does not know"),
    }.get(signal, signal)


def risk_name(found: Learning, language: str) -> str:
    """How the risk in use is made, in a word or two."""
    _ = translator(language)
    if found.current is None:
        return _("Label-free")
    return _("Learned") if found.current.kind == "learned" else _("Label-free, calibrated")


def learning_sentence(found: Learning, language: str) -> str:
    """How the risk is made now, and what it was worth to learn."""
    _ = translator(language)
    fit = found.current
    if fit is None and found.answered.is_enough:
        return _(
            "The risk is made of the signals alone. There are enough answers to learn from, "
            "and the next scoring does so."
        )
    if fit is None:
        return _("The risk is made of the signals alone: too few answers to learn from yet.")
    if fit.kind == "learned":
        text = _(
            "The risk has learned from {n} answers. In {ours} of 100 comparisons it ranks a bad caption above a right "
            "one; without the answers it would do so in {theirs}."
        )
    else:
        text = _(
            "What {n} answers teach does not rank better than the signals alone ({ours} of 100 comparisons right, "
            "against {theirs}). So the order stays as it was, and the answers only calibrate it."
        )
    share = {
        "ours": number(100 * fit.auroc, language),
        "theirs": number(100 * fit.auroc_label_free, language),
    }
    return text.format(n=number(fit.answers, language), **share)


def needed_sentence(answered: Answered, language: str) -> str:
    """What the risk needs before it can learn, and what there is."""
    _ = translator(language)
    needed = _(
        "It needs {answers} answers, {each} bad captions and {each} right ones among them. "
        "So far: {n} answers, {bad} bad, {right} right."
    ).format(
        answers=FEWEST_ANSWERS, each=FEWEST_OF_A_KIND, n=number(answered.answers, language),
        bad=number(answered.bad, language), right=number(answered.right, language),
    )  # fmt: skip
    if answered.right >= FEWEST_OF_A_KIND or answered.bad < FEWEST_OF_A_KIND:
        return needed
    return joined(
        [needed, _("The queue brings mostly bad ones: a blind audit brings right ones too.")], language
    )


def line_sentences(found: Line, language: str) -> list[str]:
    """From which probability on a look pays, and how many captions that are."""
    _ = translator(language)
    if found.probability > 1:
        return [
            _("At that price no look pays: looking and mending cost {cost} for a bad caption.").format(
                cost=yen(found.look_jpy + found.mend_jpy, language)
            )
        ]
    first = _("A look pays from a probability of {line} on: {above} of {waiting} waiting captions.").format(
        line=percent(found.probability, language), above=number(found.above, language),
        waiting=number(found.waiting, language),
    )  # fmt: skip
    if not found.above:
        return [first]
    work = _("Going through them takes about {time} and costs {cost}.")
    return [first, work.format(time=duration(found.seconds, language), cost=yen(found.cost_jpy, language))]


def advice(found: Line, language: str) -> str:
    """Whether to go on, by the line: single captions may be worth a look where the next hundred together are not."""
    _ = translator(language)
    if found.above:
        return _("Go on with the {n} captions above the line, and stop there.").format(
            n=number(found.above, language)
        )
    return _("Stop: no caption that waits is worth a look.")


def percent(share: float, language: str) -> str:
    """0.123 -> "12 %"; below ten with one decimal."""
    return f"{number(100 * share, language, 1 if share < 0.1 else 0)} %"
