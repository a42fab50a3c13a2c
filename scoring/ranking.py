"""From stored vectors and captions to a Score for each pair: signals, risk and reasons, language by language. No model,
no database.

    scores = rank(pairs, images, captions, source, template)

Captions in a language that the encoder does not read are ranked by their words alone; pairs of photos without a vector
(the file cannot be read any more) get no score.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.records import Score
from scoring.reasons import Findings, reasons
from scoring.risk import label_free
from scoring.signals import Floats, Pairs, compute_signals
from scoring.vectors import Vectors

if TYPE_CHECKING:
    from data.templates import Template
    from scoring.encoder_files import EncoderSource

NO_LETTERS = "und"


@dataclass(frozen=True)
class CaptionedPair:
    """A pair as scoring sees it. `original`: from the site's archive or a draft, not a person's correction."""

    pair_id: str
    image_id: str
    group_id: str
    caption_id: str
    caption: str
    language: str
    original: bool


@dataclass(frozen=True)
class Wording:
    """What the template finds in a caption's words."""

    missing: tuple[tuple[str, dict[str, str]], ...] = ()  # slot id, its label by language
    vague: tuple[tuple[str, str], ...] = ()  # word, what to write instead


def rank(
    pairs: Sequence[CaptionedPair],
    images: Vectors,
    captions: Vectors,
    source: EncoderSource,
    template: Template | None,
) -> list[Score]:
    """The scores of all pairs whose photo has a vector, in the order of `pairs`. Signals that are not known are NaN.

    template: None gives no signals from a template.
    """
    scorable = [pair for pair in pairs if pair.image_id in images.place]
    wording = _wordings(scorable, template)
    found: dict[str, Score] = {}
    for language, members in _by_language(scorable, source).items():
        unread = None if source.reads(language) else (language, source.id)
        batch = _as_arrays(members, images, captions, source, wording, template is not None, unread is None)
        for score in _scores(batch, members, wording, source.id, unread):
            found[score.pair_id] = score
    return [found[pair.pair_id] for pair in scorable]


def _by_language(pairs: Sequence[CaptionedPair], source: EncoderSource) -> dict[str, list[CaptionedPair]]:
    """Captions without letters ("???") are too few to be ranked among themselves: they join the main language."""
    sizes = Counter(
        pair.language for pair in pairs if pair.language != NO_LETTERS and source.reads(pair.language)
    )
    main = min(sizes, key=lambda language: (-sizes[language], language)) if sizes else NO_LETTERS
    groups: dict[str, list[CaptionedPair]] = {}
    for pair in pairs:
        groups.setdefault(main if pair.language == NO_LETTERS else pair.language, []).append(pair)
    return groups


def _wordings(pairs: Sequence[CaptionedPair], template: Template | None) -> dict[tuple[str, str], Wording]:
    """(caption_id, language) -> what the template finds; each distinct caption is searched once."""
    if template is None:
        return {}
    labels = {
        slot.id: {str(language): text for language, text in slot.label.items()} for slot in template.slots
    }
    found: dict[tuple[str, str], Wording] = {}
    for pair in pairs:
        key = (pair.caption_id, pair.language)
        if key not in found:
            missing = template.missing(pair.caption, pair.language)
            vague = template.vague_words(pair.caption, pair.language)
            found[key] = Wording(
                tuple((slot, labels[slot]) for slot in missing),
                tuple((one.word, one.instead) for one in vague),
            )
    return found


def _as_arrays(
    pairs: Sequence[CaptionedPair],
    images: Vectors,
    captions: Vectors,
    source: EncoderSource,
    wording: dict[tuple[str, str], Wording],
    has_template: bool,
    is_read: bool,
) -> Pairs:
    def count(part: str) -> Floats | None:
        counts = (
            [len(getattr(wording[pair.caption_id, pair.language], part)) for pair in pairs]
            if has_template
            else []
        )
        return np.array(counts, dtype=np.float64) if has_template else None

    captions_at = (
        [captions.place[p.caption_id] for p in pairs] if is_read else _codes([p.caption_id for p in pairs])
    )
    return Pairs(
        image_of=np.array([images.place[pair.image_id] for pair in pairs], dtype=np.int64),
        caption_of=np.array(captions_at, dtype=np.int64),
        group_of=np.array(_codes([pair.group_id for pair in pairs]), dtype=np.int64),
        images=images.array if is_read else None,
        captions=captions.array if is_read else None,
        missing_slots=count("missing"),
        vague_words=count("vague"),
        original=np.array([pair.original for pair in pairs], dtype=bool),
        temperature=source.temperature,
    )


def _codes(names: Sequence[str]) -> list[int]:
    known: dict[str, int] = {}
    return [known.setdefault(name, len(known)) for name in names]


def _scores(
    batch: Pairs,
    pairs: Sequence[CaptionedPair],
    wording: dict[tuple[str, str], Wording],
    encoder_id: str,
    unread: tuple[str, str] | None,
) -> list[Score]:
    signals = compute_signals(batch)
    found = label_free(signals, batch.counted)
    scores = []
    for row, pair in enumerate(pairs):
        words = wording.get((pair.caption_id, pair.language), Wording())
        told = Findings(
            misfit=_share(found.misfit, row),
            cosine_rank=_share(found.ranks["cosine"], row),
            neg_clip_loss_rank=_share(found.ranks["neg_clip_loss"], row),
            unlike_photos=float(signals["caption_reuse"][row]),
            missing=words.missing,
            vague=words.vague,
            doubts=tuple((name, float(values[row])) for name, values in found.doubts.items()),
            unread=unread,
        )
        numbers = {name: float(values[row]) for name, values in signals.items()}
        scores.append(Score(pair.pair_id, encoder_id, numbers, float(found.risk[row]), reasons(told)))
    return scores


def _share(values: NDArray[np.floating], row: int) -> float | None:
    return None if math.isnan(values[row]) else float(values[row])
