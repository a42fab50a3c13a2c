"""Slots from the captions of near photos: what most of the nearest say, the nearer and the checked ones counting more.

    drafted = near_photos(view)            # Drafted: one Proposal a case

Weighted votes of the k nearest neighbours (Dudani 1976, doi 10.1109/TSMC.1976.5408784): a photo's weight falls with its
distance, and a caption that a person has said or confirmed counts TRUSTED times. Photos of the asked one's own group
are no neighbours. A slot that too few of the neighbours state is left open. What the old caption says is weighed too,
once people's answers say how far it can be believed (annotate/draft_weigh.py).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np

from annotate.draft_view import Drafted, Floats, Ints, Proposal, View
from annotate.draft_weigh import weigh
from annotate.draft_zero_shot import is_asked
from data.template_schema import Slot
from scoring.neighbours import nearest

CODE = 1
NEAREST = 15  # photos
TRUSTED = 3.0
FEWEST_SAY = 3  # neighbours that state a slot
WIDTH = 0.05  # of the cosine: that much farther than the nearest counts 1/e
MOST_ANSWERS = 64  # of a slot, those that the site's captions state most often
Votes = list[tuple[dict[str, Any], float]]


def near_photos(view: View) -> Drafted:
    """The captions of the NEAREST photos that have any."""
    version = f"{CODE}-{view.encoder.fingerprint[:8]}"
    votes = _votes(view)
    slots: list[dict[str, Any]] = [{} for _ in view.cases]
    raw: list[dict[str, float]] = [{} for _ in view.cases]
    for slot in view.template.slots:
        answers = _answers(slot, view)
        share = _shares(slot, answers, votes)
        asked = [
            at
            for at, values in enumerate(slots)
            if len(answers) > 1 and not np.isnan(share[at, 0]) and is_asked(view.template, slot, values)
        ]
        if not asked:
            continue
        rows = np.array(asked, dtype=np.int64)
        weighed = weigh([share[rows]], view.said(slot, answers, rows), view.truth(slot, answers, rows))
        for at, row in zip(asked, weighed, strict=True):
            slots[at][slot.id], raw[at][slot.id] = answers[int(row.argmax())], float(row.max())
    return Drafted(version, [Proposal(*both) for both in zip(slots, raw, strict=True)])


def _votes(view: View) -> list[Votes]:
    """What the neighbours of each case say, each with its weight."""
    photos = np.unique(view.examples.place)
    if not len(photos):
        return [[] for _ in view.cases]
    said_of: dict[int, list[int]] = defaultdict(list)
    for example, place in enumerate(view.examples.place):
        said_of[int(place)].append(example)
    near = nearest(
        view.images.array, photos, view.place, NEAREST, view.groups[photos], view.groups[view.place]
    )
    return [
        _of_one(view, photos, places, cosines, said_of)
        for places, cosines in zip(near.place, near.cosine, strict=True)
    ]


def _of_one(view: View, photos: Ints, places: Ints, cosines: Floats, said_of: dict[int, list[int]]) -> Votes:
    found = []
    for place, cosine in zip(places, cosines, strict=True):
        if place < 0:
            continue
        weight = float(np.exp((cosine - cosines[0]) / WIDTH))
        examples = said_of[int(photos[place])]
        checked = [one for one in examples if view.examples.trusted[one]]
        for one in checked or examples:
            trust = TRUSTED if checked else 1.0
            found.append((view.examples.values[one], weight * trust / len(checked or examples)))
    return found


def _answers(slot: Slot, view: View) -> list[Any]:
    """What the site's captions state for the slot; a text is never taken over from another photo."""
    if slot.type == "text":
        return []
    stated = Counter(
        tuple(said[slot.id]) if isinstance(said[slot.id], list) else said[slot.id]
        for said in view.examples.values
        if slot.id in said
    )
    most = sorted(value for value, _ in stated.most_common(MOST_ANSWERS))
    return [list(value) if isinstance(value, tuple) else value for value in most]


def _shares(slot: Slot, answers: list[Any], votes: list[Votes]) -> Floats:
    """(n, K) shares of the votes, each answer one half of a vote ahead (Jeffreys); NaN where too few neighbours say."""
    found = np.full((len(votes), max(len(answers), 1)), np.nan)
    for at, cast in enumerate(votes):
        said = [(values[slot.id], weight) for values, weight in cast if slot.id in values]
        if len(said) < FEWEST_SAY or not answers:
            continue
        found[at] = 0.5
        for value, weight in said:
            if value in answers:
                found[at, answers.index(value)] += weight
        found[at] /= found[at].sum()
    return found
