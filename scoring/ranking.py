"""From stored vectors and captions to scores: signals, label-free risk and reasons, language by language. No model, no
database.

    for ranked in rank(pairs, images, captions, source, template):     # one Ranked for each language
        table = ranked.scores(0, len(ranked))                          # Arrow: what the table `scores` holds

`pairs` is an Arrow table (see captioned): a million rows of Python objects would not fit beside a model. Captions in a
language that the encoder does not read are ranked by their words alone; pairs of photos without a vector (the file
cannot be read any more) get no score.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scoring.pairs import BLOCK, FOLDS, Floats, Ints, Pairs
from scoring.reasons import TOLD, Findings, Reason, reasons
from scoring.risk import Risk, label_free
from scoring.signals import SIGNALS, compute_signals
from scoring.site_fit import SiteFit, learn, slot_odds
from scoring.vectors import Vectors
from scoring.wording import SlotNames, Wording, Words, joined, wordings

if TYPE_CHECKING:
    import pyarrow

    from data.templates import Template
    from scoring.encoder_files import EncoderSource

NO_LETTERS = "und"
UnknownShare = Callable[[Sequence[str]], Floats]
SAID = ["pair_id", "caption_id", "caption", "language"]  # what the words of a caption are found from
TELLING_ODDS = math.log(4)  # a contradiction is told when the other option is so much likelier


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
class Before:
    """What an earlier run has found of a language, and what therefore need not be computed again."""

    reference: Mapping[str, Floats]  # signals of its counted pairs, (R,) each
    fit: SiteFit | None  # what they taught; None: the encoder does not read the language


def captioned(pairs: Sequence[CaptionedPair]) -> pyarrow.Table:
    """The pairs as a table with the fields of CaptionedPair."""
    import pyarrow

    text = [(name, pyarrow.string()) for name in CaptionedPair.__dataclass_fields__ if name != "original"]
    schema = pyarrow.schema([*text, ("original", pyarrow.bool_())])
    return pyarrow.Table.from_pylist([asdict(pair) for pair in pairs], schema=schema)


@dataclass(frozen=True)
class Ranked:
    """The asked pairs of one language: every array (M,)."""

    language: str
    encoder: str
    pair_ids: pyarrow.Array
    signals: dict[str, Floats]
    risk: Risk
    words: Words
    likeliest: (
        Ints  # (M, S) option of each choice of the template that the photo most likely shows, -1 = unknown
    )
    odds: Floats  # (M, S) for it, against the stated option; NaN = not known
    template: Template | None
    fit: SiteFit | None  # what the counted pairs taught
    is_read: bool

    def __len__(self) -> int:
        return len(self.pair_ids)

    def scores(self, start: int, stop: int, fingerprint: str, at: Any) -> pyarrow.Table:
        """Rows start to stop of the table `scores`; what is not known is null."""
        import pyarrow

        part = slice(start, min(stop, len(self)))
        n = part.stop - part.start
        values = np.stack([self.signals[name][part] for name in SIGNALS], axis=1).ravel()
        signals = pyarrow.MapArray.from_arrays(
            np.arange(n + 1, dtype=np.int32) * len(SIGNALS),
            pyarrow.array(list(SIGNALS) * n, pyarrow.string()),
            pyarrow.array(values, pyarrow.float64(), from_pandas=True),
        )
        told = [json.dumps(self.reasons(row), ensure_ascii=False) for row in range(part.start, part.stop)]
        risk = pyarrow.array(self.risk.risk[part], pyarrow.float64())
        return pyarrow.table({
            "pair_id": self.pair_ids[part], "encoder": pyarrow.array([self.encoder] * n, pyarrow.string()),
            "fingerprint": pyarrow.array([fingerprint] * n, pyarrow.string()),
            "cosine": pyarrow.array(self.signals["cosine"][part], pyarrow.float64(), from_pandas=True),
            "signals": signals, "risk": risk, "reasons": pyarrow.array(told, pyarrow.string()),
            "scored_at": pyarrow.array([at] * n, pyarrow.timestamp("us")), "priority": risk,
        })  # fmt: skip

    def reasons(self, row: int) -> list[Reason]:
        """Why the pair stands where it stands, the strongest reason first."""
        words = self.words.of(row)
        return reasons(
            Findings(
                language=self.language,
                encoder=self.encoder,
                is_read=self.is_read,
                misfit=_share(self.risk.misfit, row),
                ranks={
                    name: float(of[row]) for name, of in self.risk.ranks.items() if not math.isnan(of[row])
                },
                unlike_photos=float(self.signals["caption_reuse"][row]),
                words=words.length,
                unknown_tokens=_share(self.signals["unknown_tokens"], row) or 0.0,
                missing=tuple((slot, self._names.labels(slot)) for slot in words.missing),
                vague=words.vague,
                contradictions=tuple(self._contradictions(row)),
                doubts={name: float(values[row]) for name, values in self.risk.doubts.items()},
            )
        )

    @cached_property
    def _names(self) -> SlotNames:
        assert self.template is not None
        return SlotNames(self.template)

    @cached_property
    def _told_ranks(self) -> dict[str, Floats]:
        return {name: self.risk.ranks[name] for name in TOLD}

    def _contradictions(self, row: int) -> Iterator[dict[str, Any]]:
        """What the photo seems to show instead of what the caption states, the surest first."""
        telling = [
            slot for slot, odds in enumerate(self.odds[row].tolist()) if odds >= TELLING_ODDS
        ]  # NaN is not
        if not telling:
            return
        names = self._names
        for slot in sorted(telling, key=lambda slot: -self.odds[row, slot]):
            slot_id = names.ids[slot]
            stated = int(self.words.stated(row)[slot])
            yield {
                "slot": names.labels(slot_id), "stated": names.value_labels(slot_id, stated),
                "seen": names.value_labels(slot_id, int(self.likeliest[row, slot])),
            }  # fmt: skip


def rank(
    pairs: pyarrow.Table,
    images: Vectors,
    captions: Vectors,
    source: EncoderSource,
    template: Template | None,
    unknown_share: UnknownShare | None = None,
    scored: NDArray[np.bool_] | None = None,
    before: Mapping[str, Before] | None = None,
    device: str = "cpu",
) -> Iterator[Ranked]:
    """Each language's pairs whose photo has a vector, in the order of `pairs`.

    template: None gives no signals from a template. unknown_share: of a caption's tokens, (n,); None: not known.
    scored: (N,) pairs that are left out, in languages of which `before` says enough.
    """
    image_row = images.rows(pairs["image_id"].combine_chunks())
    caption_code, caption_ids = codes(pairs["caption_id"])
    caption_row = captions.rows(caption_ids)[caption_code]
    group, group_ids = codes(pairs["group_id"])
    fold = _folds(group_ids)[group]
    original = pairs["original"].to_numpy(zero_copy_only=False)
    language = by_language(pairs["language"], source, original)
    pairs = pairs.select(SAID)  # the names of photos and groups are the largest part, and are numbers now
    for name in sorted(set(language)):
        is_read, earlier = source.reads(name), (before or {}).get(name)
        rows = np.flatnonzero((language == name) & (image_row >= 0))
        asked = np.arange(len(rows)) if earlier is None or scored is None else np.flatnonzero(~scored[rows])
        if len(asked):
            batch = Pairs(
                image_of=image_row[rows], caption_of=(caption_row if is_read else caption_code)[rows],
                group_of=group[rows], images=images.array,
                captions=captions.array if is_read else None, original=original[rows], fold_of=fold[rows],
                asked=asked, temperature=source.temperature, device=device,
            )  # fmt: skip
            words = unknown_share if is_read else None
            yield _ranked(batch, name, pairs, rows, source.id, template, words, earlier)


def _ranked(
    batch: Pairs,
    language: str,
    pairs: pyarrow.Table,
    at: Ints,
    encoder: str,
    template: Template | None,
    unknown_share: UnknownShare | None,
    earlier: Before | None,
) -> Ranked:
    """at: (n,) where the pairs of the batch stand in the table."""
    # What a site teaches is learned from the words of all its pairs; once it is known, the asked ones are enough.
    looked_at = np.arange(len(batch)) if earlier is None else batch.rows
    found, unknown = _words(pairs.take(at[looked_at]), language, template, unknown_share)
    batch = replace(
        batch, wordings=found.spread(looked_at, len(batch)), unknown_tokens=_at(looked_at, unknown, len(batch))
    )  # fmt: skip
    if batch.has_vectors:
        batch = replace(batch, fit=learn(batch) if earlier is None else earlier.fit)
    signals = compute_signals(batch)
    reference = earlier.reference if earlier else {k: v[batch.counted] for k, v in signals.items()}
    likeliest, odds = slot_odds(batch)
    return Ranked(
        language, encoder, pairs["pair_id"].combine_chunks().take(at[batch.rows]), signals,
        label_free(signals, reference), found, likeliest, odds, template, batch.fit, batch.has_vectors,
    )  # fmt: skip


def _folds(group_ids: pyarrow.Array) -> Ints:
    """(G,) in [0, FOLDS), the same for a group in every run."""
    found = np.empty(len(group_ids), dtype=np.int8)
    for start in range(0, len(found), BLOCK):
        names = group_ids[start : start + BLOCK].to_pylist()
        found[start : start + BLOCK] = [zlib.crc32(name.encode()) % FOLDS for name in names]
    return found


def by_language(
    languages: pyarrow.ChunkedArray, source: EncoderSource, original: NDArray[np.bool_]
) -> NDArray[np.str_]:
    """(N,) among which captions each pair is ranked.

    Captions without letters ("???") are too few to be ranked among themselves: they join the main language, which is
    that of the most original captions, so that corrections do not move them.
    """
    code, names = codes(languages)
    counted = np.bincount(code[original] if original.any() else code, minlength=len(names))
    sizes = dict(zip(names.to_pylist(), counted.tolist(), strict=True))
    read = [one for one in sizes if one != NO_LETTERS and sizes[one] and source.reads(one)]
    main = min(read, key=lambda one: (-sizes[one], one), default=NO_LETTERS)
    known = np.array([main if one == NO_LETTERS else one for one in sizes] or [main], dtype=str)
    return known[code]


def _words(
    pairs: pyarrow.Table, language: str, template: Template | None, unknown_share: UnknownShare | None
) -> tuple[Words, Floats]:
    """What is found in the captions of n pairs, and the share of unknown tokens (n,); each is read once."""
    code, ids = codes(pairs["caption_id"])
    first = np.zeros(len(ids), dtype=np.int64)
    first[code[::-1]] = np.arange(len(code))[::-1]
    distinct = pairs.select(["caption", "language"]).take(first)
    kept: list[Wording] = []
    arrays, share = [], np.full(len(first), np.nan)
    same: dict[Any, Any] = {}  # a million captions lack the same few items
    for start in range(0, max(len(first), 1), BLOCK):
        block = distinct.slice(start, BLOCK)
        captions, own = block["caption"].to_pylist(), block["language"].to_pylist()
        found = [Wording.of(caption, one, template) for caption, one in zip(captions, own, strict=True)]
        arrays.append(wordings(found, template))
        kept += [
            Wording(one.length, *(same.setdefault(said, said) for said in (one.missing, one.vague)))
            for one in found
        ]  # what each states stands in the arrays
        if unknown_share:
            share[start : start + BLOCK] = unknown_share(captions)
    return Words(kept, code, joined(arrays)), share[code]


def _at(rows: Ints, values: Floats, n: int) -> Floats:
    """(n,) the values at these rows, NaN elsewhere."""
    found = np.full(n, np.nan)
    found[rows] = values
    return found


def codes(column: pyarrow.ChunkedArray) -> tuple[Ints, pyarrow.Array]:
    """(N,) a number for each distinct text, and the texts."""
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary


def _share(values: Floats, row: int) -> float | None:
    return None if math.isnan(values[row]) else float(values[row])
