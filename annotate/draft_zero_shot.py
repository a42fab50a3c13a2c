"""Slots by the encoder: the photo against the words for each answer, and against what the site calls such photos.

    drafted = zero_shot(view)              # Drafted: one Proposal a case

Two opinions are weighed (annotate/draft_weigh.py): the encoder's own softmax over the prompts of the options (Radford
et al. 2021, arXiv 2103.00020, section 3.1), and a linear discriminant learned from the captions of photos of other
groups (scoring/site_fit.py), where enough of them state the item. The share of the likeliest answer is raw: it becomes
a probability only by calibration on people's answers (annotate/draft_calibration.py). Choices and numbers are proposed;
texts, ratings and lists of several options are left to people.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from annotate.draft_view import FOLDS, Drafted, Floats, Ints, Proposal, Vectors2D, View, fold_of
from annotate.draft_weigh import LEAST, softmax, weigh
from data.template_schema import Slot
from data.templates import Template
from scoring.site_fit import FEWEST_STATED, SLOT_PAIRS, discriminant

CODE = 1  # raised when the same inputs give other drafts
FEWEST_OF_NUMBER = 5  # captions that state a number before it is proposed
MOST_NUMBERS = 12
Key = tuple[tuple[str, Any], ...]


def zero_shot(view: View) -> Drafted:
    """Slots in the order of the template, so that what decides whether a slot is asked is known before it."""
    slots: list[dict[str, Any]] = [{} for _ in view.cases]
    raw: list[dict[str, float]] = [{} for _ in view.cases]
    photos = view.vectors(view.place)
    folds = np.array([fold_of(int(group)) for group in view.groups[view.place]], dtype=np.int64)
    for slot in view.template.slots:
        answers = candidates(slot, view.examples.values)
        asked = [at for at, values in enumerate(slots) if is_asked(view.template, slot, values)]
        if len(answers) < 2 or not asked:
            continue
        rows = np.array(asked, dtype=np.int64)
        by_words = _by_words(view, slot, answers, photos[rows], [slots[at] for at in asked])
        by_site = _by_site(view, slot, answers, photos[rows], folds[rows])
        opinions = [by_words] if by_site is None else [by_words, by_site]
        share = weigh(opinions, view.said(slot, answers, rows), view.truth(slot, answers, rows))
        best = share.argmax(axis=1)
        for at, one, row in zip(asked, best, share, strict=True):
            slots[at][slot.id], raw[at][slot.id] = answers[one], float(row[one])
    version = f"{CODE}-{view.encoder.fingerprint[:8]}"
    return Drafted(version, [Proposal(*both) for both in zip(slots, raw, strict=True)])


def candidates(slot: Slot, values: list[dict[str, Any]]) -> list[Any]:
    """The answers to choose from: a choice's options; of a number, those that the site's captions state often."""
    if slot.type == "choice":
        return [option.id for option in slot.options]
    if slot.type != "number":
        return []
    stated = Counter(said[slot.id] for said in values if slot.id in said)
    return sorted(value for value, n in stated.most_common(MOST_NUMBERS) if n >= FEWEST_OF_NUMBER)


def is_asked(template: Template, slot: Slot, values: dict[str, Any]) -> bool:
    """Whether the form asks this slot, given the answers to those before it."""
    return slot.show_when is None or any(one.id == slot.id for one in template.visible(values))


def _by_words(
    view: View, slot: Slot, answers: list[Any], photos: Vectors2D, values: list[dict[str, Any]]
) -> Floats:
    """(n, K) the encoder's softmax. A number is asked within what is known already: "three steel bolts"."""
    language = view.language
    temperature = view.encoder.source.temperature
    if slot.type == "choice":
        prompts = view.template.prompts(slot.id, language)
        words = view.encoder.encode_texts([prompts[answer] for answer in answers])
        return softmax(photos.astype(np.float64) @ words.T / temperature)
    found = np.zeros((len(photos), len(answers)))
    contexts = [_context(view.template, slot, one) for one in values]
    for context in dict.fromkeys(contexts):
        at = [place for place, one in enumerate(contexts) if one == context]
        texts = [view.template.caption({**dict(context), slot.id: answer}, language) for answer in answers]
        words = view.encoder.encode_texts(texts)
        found[at] = softmax(photos[at].astype(np.float64) @ words.T / temperature)
    return found


def _context(template: Template, slot: Slot, values: dict[str, Any]) -> Key:
    """What a number is asked beside: the choice that it counts."""
    counted = [other.id for other in template.slots if other.counted_by == slot.id]
    return tuple((one, values[one]) for one in counted if one in values)


def _by_site(view: View, slot: Slot, answers: list[Any], photos: Vectors2D, folds: Ints) -> Floats | None:
    """(n, K) the discriminant's shares, each photo by what photos of the other folds taught; None where too few do."""
    code = {answer: at for at, answer in enumerate(answers)}
    said = np.array([code.get(values.get(slot.id), -1) for values in view.examples.values], dtype=np.int64)
    of_fold = np.array([fold_of(int(group)) for group in view.groups[view.examples.place]], dtype=np.int64)
    found = np.full((len(photos), len(answers)), np.nan)
    order = np.random.default_rng(0).permutation(len(said))
    order = order[np.argsort(~view.examples.trusted[order], kind="stable")]  # what people said comes first
    for fold in range(FOLDS):
        mine = folds == fold
        usable = order[(said[order] >= 0) & (of_fold[order] != fold)][:SLOT_PAIRS]
        options = np.unique(said[usable])
        if not mine.any():
            continue
        if len(usable) < FEWEST_STATED or len(options) < 2:
            return None
        fit = discriminant(view.vectors(view.examples.place[usable]), said[usable], options)
        logits = photos[mine].astype(np.float64) @ fit["weights"].T.astype(np.float64) + fit["offsets"]
        share = np.full((int(mine.sum()), len(answers)), LEAST)
        share[:, options] = softmax(logits)
        found[mine] = share
    return found
