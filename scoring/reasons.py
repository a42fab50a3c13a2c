"""Why a pair stands where it stands: codes with numbers in the store, words for a person, in Japanese and English.

    reasons(...)  ->  [{"code": "missing_slots", "slots": ["place"], "labels": {"ja": ["位置"], "en": ["Place"]}}, …]
    words({"code": "fits_worse", "percent": 93}, "en")  ==  "Fits its photo worse than 93 % of the captions"

The strongest reason comes first. A new code is a line in WORDS and its Japanese in scoring/ja.po.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from data.messages import Translate, translator

Reason = dict[str, Any]
CLEARLY_WORSE = 0.1  # of the captions: so much further back by the second signal that it is worth telling


@dataclass(frozen=True)
class Findings:
    """What was found about one pair. Shares are in [0, 1], None when they are not known."""

    misfit: float | None  # share of the captions that fit their photos better
    cosine_rank: float | None
    neg_clip_loss_rank: float | None
    unlike_photos: float  # that carry the same words
    missing: tuple[tuple[str, dict[str, str]], ...] = ()  # slot id, its label by language
    vague: tuple[tuple[str, str], ...] = ()  # word, what to write instead
    doubts: tuple[tuple[str, float], ...] = ()  # signal, how much it weighs
    unread: tuple[str, str] | None = None  # language of the caption, encoder that does not read it


def reasons(found: Findings) -> list[Reason]:
    """The reasons of one pair, the strongest first; never empty."""
    doubt = dict(found.doubts)
    weighed: list[tuple[float, Reason]] = []
    reason: Reason
    if found.unread:
        weighed.append(
            (2.0, {"code": "language_not_read", "language": found.unread[0], "encoder": found.unread[1]})
        )
    if found.missing:
        labels: dict[str, list[str]] = {}
        for _, label in found.missing:
            for language, text in label.items():
                labels.setdefault(language, []).append(text)
        reason = {"code": "missing_slots", "slots": [slot for slot, _ in found.missing], "labels": labels}
        weighed.append((doubt.get("missing_slots", 0.0), reason))
    if found.vague:
        named = [{"word": word, "instead": instead} for word, instead in found.vague]
        weighed.append((doubt.get("vagueness", 0.0), {"code": "vague_words", "words": named}))
    if round(found.unlike_photos) >= 2:
        reason = {"code": "caption_reuse", "photos": round(found.unlike_photos)}
        weighed.append((doubt.get("caption_reuse", 0.0), reason))
    weighed += _fit(found)
    return [reason for _, reason in sorted(weighed, key=lambda pair: -pair[0])]


def _fit(found: Findings) -> list[tuple[float, Reason]]:
    if found.misfit is None or found.cosine_rank is None or found.neg_clip_loss_rank is None:
        return []
    percent = min(99, max(1, round(100 * found.misfit)))
    if found.misfit < 0.5:
        return [(-1.0, {"code": "fits_better", "percent": 100 - percent})]
    said = [(found.misfit, {"code": "fits_worse", "percent": percent})]
    if found.neg_clip_loss_rank > found.cosine_rank + CLEARLY_WORSE:
        percent = min(99, max(1, round(100 * found.neg_clip_loss_rank)))
        said.append((found.misfit - 0.01, {"code": "fits_others", "percent": percent}))
    return said


def words(reason: Reason, language: str) -> str:
    """One reason as a sentence without a full stop, in "ja" or "en". Raises KeyError for an unknown code."""
    return WORDS[reason["code"]](reason, translator(language), language)


def _missing(reason: Reason, _: Translate, language: str) -> str:
    labels = reason["labels"]
    named = labels.get(language) or next(
        iter(labels.values())
    )  # a template in one language has its own words only
    return _("Does not state: {items}").format(items=_listed(named, language))


def _vague(reason: Reason, _: Translate, language: str) -> str:
    named = [
        (_("“{word}” (better: {instead})") if one["instead"] else _("“{word}”")).format(**one)
        for one in reason["words"]
    ]
    return _("Says little: {words}").format(words=_listed(named, language))


def _unread(reason: Reason, _: Translate, language: str) -> str:
    names = {"ja": _("Japanese"), "en": _("English")}
    return _(
        "The encoder does not read {language}: ranked by the words alone, without a look at the photo"
    ).format(language=names.get(reason["language"], reason["language"]))


def _listed(items: Sequence[str], language: str) -> str:
    return ("、" if language == "ja" else ", ").join(items)


WORDS: dict[str, Callable[[Reason, Translate, str], str]] = {
    "missing_slots": _missing,
    "vague_words": _vague,
    "language_not_read": _unread,
    "caption_reuse": lambda reason, _, language: _("The same words stand on {photos} unlike photos").format(
        **reason
    ),
    "fits_worse": lambda reason, _, language: _(
        "Fits its photo worse than {percent} % of the captions"
    ).format(**reason),
    "fits_better": lambda reason, _, language: _(
        "Fits its photo better than {percent} % of the captions"
    ).format(**reason),
    "fits_others": lambda reason, _, language: _(
        "Would suit other photos too: says less of this one than {percent} % of the captions"
    ).format(**reason),
}
