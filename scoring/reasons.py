"""Why a pair stands where it stands: codes with numbers in the store, words for a person, in Japanese and English.

    reasons(...)  ->  [{"code": "missing_slots", "slots": ["place"], "labels": {"ja": ["位置"], "en": ["Place"]}}, …]
    words({"code": "fits_worse", "percent": 93}, "en")  ->  "All signs together, fits its photo worse than 93 % of …"

The strongest reason comes first. A new code is a line in WORDS and its Japanese in scoring/ja.po.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data.messages import Translate, translator

Reason = dict[str, Any]
CLEARLY_WORSE = 0.1  # of the captions: so much further back by another signal that it is worth telling
TOLD = (
    "cosine",
    "neg_clip_loss",
    "site_fit",
    "other_captions",
    "out_of_domain",
)  # signals whose ranks are told
TELLING = 0.9  # a share of the captions from which on a second look at the same thing is told
FEW_WORDS = {"ja": 8, "en": 3}  # a caption this short is told to be short


@dataclass(frozen=True)
class Findings:
    """What was found about one pair. Shares are in [0, 1], None when they are not known."""

    language: str
    encoder: str
    is_read: bool  # whether the encoder reads the language
    misfit: float | None = None  # share of the captions that fit their photos better
    ranks: Mapping[str, float] = field(default_factory=dict)  # the same by each signal alone
    unlike_photos: float = 1.0  # that carry the same words
    words: int = 0  # of the caption, in Japanese characters
    unknown_tokens: float = 0.0  # share of them that the encoder does not know
    missing: tuple[tuple[str, dict[str, str]], ...] = ()  # slot id, its label by language
    vague: tuple[tuple[str, str], ...] = ()  # word, what to write instead
    contradictions: tuple[Reason, ...] = ()  # slot, stated, seen: labels by language; the surest first
    doubts: Mapping[str, float] = field(default_factory=dict)  # signal, how much it weighs


def reasons(found: Findings) -> list[Reason]:
    """The reasons of one pair, the strongest first; never empty."""
    weighed = [*_of_words(found), *_fit(found)]
    if not found.is_read:
        weighed.append(
            (2.0, {"code": "language_not_read", "language": found.language, "encoder": found.encoder})
        )
    return [reason for _, reason in sorted(weighed, key=lambda pair: -pair[0])]


def _of_words(found: Findings) -> Iterator[tuple[float, Reason]]:
    """What is wrong with the words themselves, each with its weight."""
    doubt = found.doubts
    if found.missing:
        labels: dict[str, list[str]] = {}
        for _, label in found.missing:
            for language, text in label.items():
                labels.setdefault(language, []).append(text)
        slots = [slot for slot, _ in found.missing]
        yield doubt.get("missing_slots", 0.0), {"code": "missing_slots", "slots": slots, "labels": labels}
    if found.vague:
        named = [{"word": word, "instead": instead} for word, instead in found.vague]
        yield doubt.get("vagueness", 0.0), {"code": "vague_words", "words": named}
    if round(found.unlike_photos) >= 2:
        yield doubt.get("caption_reuse", 0.0), {"code": "caption_reuse", "photos": round(found.unlike_photos)}
    if 0 < found.words <= FEW_WORDS.get(found.language, FEW_WORDS["en"]):
        yield doubt.get("length", 0.0), {"code": "short", "words": found.words, "language": found.language}
    if found.unknown_tokens > 0:
        percent = max(1, round(100 * found.unknown_tokens))
        yield found.unknown_tokens, {"code": "unknown_words", "percent": percent}
    for one in found.contradictions[:1]:
        yield 0.5 + doubt.get("contradicting_slots", 0.0), {"code": "contradicts", **one}


def _fit(found: Findings) -> Iterator[tuple[float, Reason]]:
    """How well the words fit the photo."""
    if found.misfit is None:
        return
    percent = _percent(found.misfit)
    if found.misfit < 0.5:
        yield -1.0, {"code": "fits_better", "percent": 100 - percent}
        return
    yield found.misfit, {"code": "fits_worse", "percent": percent}
    for place, (code, signal) in enumerate(
        (
            ("unlike_other_captions", "other_captions"),
            ("unlike_site", "site_fit"),
            ("fits_others", "neg_clip_loss"),
        ),
        1,
    ):
        share, of_cosine = found.ranks.get(signal, 0.0), found.ranks.get("cosine", 0.0)
        if share >= TELLING or (code == "fits_others" and share > of_cosine + CLEARLY_WORSE):
            yield found.misfit - place / 100, {"code": code, "percent": _percent(share)}
    if found.ranks.get("out_of_domain", 0.0) >= 0.99:
        yield 0.01, {"code": "unlike_photos"}


def _percent(share: float) -> int:
    """Never all and never none of them."""
    return min(99, max(1, round(100 * share)))


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


def _contradicts(reason: Reason, _: Translate, language: str) -> str:
    named = {
        key: reason[key].get(language) or next(iter(reason[key].values()))
        for key in ("slot", "stated", "seen")
    }
    return _("{slot}: the caption states “{stated}”, the photo looks like “{seen}”").format(**named)


def _listed(items: Sequence[str], language: str) -> str:
    return ("、" if language == "ja" else ", ").join(items)


def _sent(reason: Reason, _: Translate, language: str) -> str:
    what = {
        "term": _("a term that should not be there"), "name": _("the name of a person"), "phone": _("a phone number"),
        "email": _("an e-mail address"), "plate": _("a number plate"),
    }[reason["what"]]  # fmt: skip
    return _("A lead asks to correct this: it may hold {what}").format(what=what)


WORDS: dict[str, Callable[[Reason, Translate, str], str]] = {
    "sent_by_lead": _sent,
    "missing_slots": _missing,
    "vague_words": _vague,
    "language_not_read": _unread,
    "caption_reuse": lambda reason, _, language: _("The same words stand on {photos} unlike photos").format(
        **reason
    ),
    "fits_worse": lambda reason, _, language: _(
        "All signs together, fits its photo worse than {percent} % of the captions"
    ).format(**reason),
    "fits_better": lambda reason, _, language: _(
        "All signs together, fits its photo better than {percent} % of the captions"
    ).format(**reason),
    "fits_others": lambda reason, _, language: _(
        "Would suit other photos too: says less of this one than {percent} % of the captions"
    ).format(**reason),
    "unlike_other_captions": lambda reason, _, language: _(
        "Says something else than the other captions of this photo: more so than {percent} % of the captions"
    ).format(**reason),
    "unlike_site": lambda reason, _, language: _(
        "Photos like this one are usually described otherwise here: more so than {percent} % of the captions"
    ).format(**reason),
    "unlike_photos": lambda reason, _, language: _(
        "Unlike every other photo of the site: the ranking knows little about it"
    ),
    "short": lambda reason, _, language: _(
        "Very short: {words} characters" if reason.get("language") == "ja" else "Very short: {words} words"
    ).format(**reason),
    "unknown_words": lambda reason, _, language: _(
        "The encoder does not know {percent} % of the words"
    ).format(**reason),
    "contradicts": _contradicts,
}
