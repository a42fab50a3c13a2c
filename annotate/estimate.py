"""How many bad captions are left, and how many there were: from blind random pairs alone, with a 95 % interval.

    found = estimate(site)          # Estimate, or None while no audited pair has a clear verdict (ok or fix)

What people judged is known and is not estimated. So each draw says two things of the captions that nobody has judged
now (the rest): how many bad ones lay in the pile it was drawn from, and how many of those have been found since:

    left = (pile * sum over strata of share * bad / judged  -  found since)  *  rest / rest within that pile
    before = all bad ones found so far + left

The last factor speaks for what was not in that pile, as captions read in later: they are taken to be like the rest.
Each pair that the queue mixes in is such a draw of one pair from the pile of that moment (Des Raj 1956); twenty in a
row make a stratum. Several draws are weighted by how exact they are: one rate of what is left, put into each draw's
binomial variance, gives the weights, so that the many found since an old draw make it count less, and no draw's own
luck decides over its weight. The interval: annotate/intervals.py. Answers that decide nothing (not sure, unusable,
private) leave the pile and count as neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate import intervals, strata
from data.site import Site
from data.store import Database

# Captions of the archive that nobody has judged, on photos that nobody has called unusable or private.
UNJUDGED = """
    FROM pairs p {joined}
    WHERE p.origin IN ('legacy', 'draft') AND p.state = 'captioned'
      AND p.pair_id NOT IN (SELECT old_pair_id FROM corrections WHERE state = 'active')
      AND p.image_id NOT IN (
          SELECT o.image_id FROM corrections c JOIN pairs o ON o.pair_id = c.old_pair_id
          WHERE c.state = 'active' AND c.verdict IN ('unusable', 'private'))
"""
# A pair left the pile when it was drawn, or else with its first answer: one that replaces it judges nothing anew.
JUDGED = """
    SELECT p.added_at, c.verdict, a.drawn_at,
           coalesce(a.drawn_at, (SELECT min(e.created_at) FROM corrections e
                                 WHERE e.old_pair_id = p.pair_id AND e.state IN ('active', 'superseded'))) AS left_at
    FROM pairs p
    JOIN corrections c ON c.old_pair_id = p.pair_id AND c.state = 'active'
    LEFT JOIN audits a ON a.pair_id = p.pair_id
    WHERE p.origin IN ('legacy', 'draft') AND p.state = 'captioned'
"""
REST = f"""
    SELECT p.added_at, a.drawn_at, count(*) AS pairs
    {UNJUDGED.format(joined="LEFT JOIN audits a ON a.pair_id = p.pair_id")}
    GROUP BY p.added_at, a.drawn_at
"""
AUDITED = """
    SELECT a.draw, a.kind, a.stratum, a.drawn_at,
           CASE WHEN c.verdict IN ('ok', 'fix') THEN c.verdict = 'fix' END AS bad
    FROM audits a
    JOIN pairs p ON p.pair_id = a.pair_id AND p.origin IN ('legacy', 'draft') AND p.state = 'captioned'
    LEFT JOIN corrections c ON c.old_pair_id = a.pair_id AND c.state = 'active'
    WHERE a.kind <> 'selection'  -- picked by hand, so it says nothing of the site: annotate/selection_audit.py
    ORDER BY a.drawn_at, a.pair_id
"""
IN_A_ROW = 20  # mixed-in pairs that make one stratum: the pile changes little meanwhile
Times = NDArray[np.datetime64]


@dataclass(frozen=True)
class Estimate:
    """Bad captions (in need of a correction) among those that nobody has judged, with 95 % intervals.

    `judged` audit pairs with a clear verdict, `bad` of them in need of a correction. `rate` = bad_left / unjudged: the
    share of bad ones in what is left now. `before` = found + bad_left: the bad ones when nobody had corrected anything,
    among `captions` that have or may get a clear verdict. `drawn`, `mixed`: judged pairs by the way they came.
    """

    judged: int
    bad: int
    rate: float
    low: float
    high: float
    unjudged: int
    bad_left: float
    bad_left_low: float
    bad_left_high: float
    found: int = 0
    captions: int = 0
    before: float = 0.0
    before_low: float = 0.0
    before_high: float = 0.0
    drawn: int = 0
    mixed: int = 0

    @property
    def rate_before(self) -> float:
        """Share of bad captions when nobody had corrected anything."""
        return self.before / self.captions if self.captions else 0.0


@dataclass(frozen=True)
class Cell:
    """A stratum of a draw: its share of the pile, in [0, 1], and what the judged pairs in it showed."""

    share: float
    judged: int
    bad: int


@dataclass(frozen=True)
class Draw:
    """One draw. pile: pairs it was drawn from that have or may get a clear verdict; found: bad ones known of them.

    scale: captions nobody has judged now / those of them that lay in the pile.
    """

    pile: float
    found: float
    scale: float
    cells: tuple[Cell, ...] = field(default=())

    @property
    def judged(self) -> int:
        return sum(cell.judged for cell in self.cells)

    @property
    def left(self) -> float:
        """What this draw alone says is left."""
        rate = sum(cell.share * cell.bad / cell.judged for cell in self.cells)
        return self.scale * (self.pile * rate - self.found)

    def variance(self, left: float) -> float:
        """Of `left`, if so many are left."""
        rate = (self.found + left / self.scale) / self.pile
        rate = min(max(rate, 1 / (self.pile + 2)), 1 - 1 / (self.pile + 2))
        return (self.scale * self.pile) ** 2 * rate * (1 - rate) / self.judged


def combine(draws: Sequence[Draw], rest: int) -> tuple[float, float, float]:
    """Estimate, low and high of the bad ones among the `rest` pairs that nobody has judged."""
    weights = _weights(draws, rest)
    known = sum(w * draw.scale * draw.found for w, draw in zip(weights, draws, strict=True))
    parts = [
        intervals.Part(w * draw.scale * draw.pile * cell.share, draw.pile * cell.share, cell.judged, cell.bad)
        for w, draw in zip(weights, draws, strict=True)
        for cell in draw.cells
    ]
    left, low, high = (
        min(max(value - known, 0.0), float(rest)) for value in intervals.total(parts, at_least=known)
    )
    return left, low, high


def _weights(draws: Sequence[Draw], rest: int) -> list[float]:
    judged = [draw.judged for draw in draws]
    weights = [n / sum(judged) for n in judged]
    for _ in range(3):  # settles at once: the variances depend on what is left only a little
        left = sum(w * draw.left for w, draw in zip(weights, draws, strict=True))
        left = min(max(left, 0.005 * rest), float(rest))
        exact = [1 / draw.variance(left) for draw in draws]
        weights = [one / sum(exact) for one in exact]
    return weights


def estimate(site: Site) -> Estimate | None:
    """The bad captions left and before, or None while no draw says anything of what is left."""
    with site.connect() as db:
        books, rows = _Books.read(db), db.rows(AUDITED)
    draws = [draw for draw in _draws(rows, books) if draw is not None]
    audited = [row for row in rows if row["bad"] is not None]
    if not audited or (not draws and books.rest):
        return None
    left, low, high = combine(draws, books.rest) if books.rest else (0.0, 0.0, 0.0)
    of = max(books.rest, 1)
    mixed = sum(row["kind"] == "mixed" for row in audited)
    return Estimate(
        judged=len(audited), bad=sum(row["bad"] for row in audited), rate=left / of, low=low / of, high=high / of,
        unjudged=books.rest, bad_left=left, bad_left_low=low, bad_left_high=high, found=books.found,
        captions=books.decided + books.rest, before=books.found + left, before_low=books.found + low,
        before_high=books.found + high, drawn=len(audited) - mixed, mixed=mixed,
    )  # fmt: skip


@dataclass(frozen=True)
class _Books:
    """When each judged pair was read in and left the pile, and the same of the pairs that nobody has judged."""

    added: Times
    gone: Times
    verdict: NDArray[np.str_]
    rest_added: Times
    rest_drawn: Times  # NaT: not under audit
    rest_pairs: NDArray[np.int64]

    @classmethod
    def read(cls, db: Database) -> _Books:
        judged, rest = db.frame(JUDGED), db.frame(REST)

        def times(column: Any) -> Times:
            return np.asarray(column.to_numpy(dtype="datetime64[us]"))

        return cls(
            times(judged["added_at"]), times(judged["left_at"]), judged["verdict"].to_numpy(dtype=str),
            times(rest["added_at"]), times(rest["drawn_at"]), rest["pairs"].to_numpy(dtype=np.int64),
        )  # fmt: skip

    @property
    def rest(self) -> int:
        return int(self.rest_pairs.sum())

    @property
    def found(self) -> int:
        return int((self.verdict == "fix").sum())

    @property
    def decided(self) -> int:
        return int(np.isin(self.verdict, ("fix", "ok")).sum())

    def at(self, time: Any) -> tuple[int, int, int]:
        """Of the pile at that time: pairs with a clear verdict now, bad ones of them, pairs that nobody has judged."""
        moment = np.datetime64(time, "us")
        was_there = (self.added <= moment) & (self.gone >= moment)
        clear = int((was_there & np.isin(self.verdict, ("fix", "ok"))).sum())
        bad = int((was_there & (self.verdict == "fix")).sum())
        still = (self.rest_added <= moment) & (np.isnat(self.rest_drawn) | (self.rest_drawn >= moment))
        return clear, bad, int(self.rest_pairs[still].sum())


def _draws(rows: list[dict[str, Any]], books: _Books) -> list[Draw | None]:
    """The draws of which anything is judged; those of single mixed-in pairs put together."""
    by_draw: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["kind"] != "mixed":
            by_draw.setdefault(row["draw"], []).append(row)
    found = [
        _draw([one[0]["drawn_at"]], cells, books) for one in by_draw.values() if (cells := cells_of(one))
    ]
    mixed = [row for row in rows if row["kind"] == "mixed" and row["bad"] is not None]
    for start, end in pairwise(np.linspace(0, len(mixed), max(len(mixed) // IN_A_ROW, 1) + 1).astype(int)):
        if block := mixed[start:end]:
            cell = Cell(1.0, len(block), sum(row["bad"] for row in block))
            found.append(_draw([row["drawn_at"] for row in block], (cell,), books))
    return found


def _draw(times: Sequence[Any], cells: tuple[Cell, ...], books: _Books) -> Draw | None:
    """The mean over the times at which its pairs were drawn. None: nothing of that pile is left."""
    clear, bad, rest = np.mean([books.at(time) for time in times], axis=0).tolist()
    return Draw(clear + rest, bad, books.rest / rest, cells) if rest else None


def cells_of(rows: Sequence[Mapping[str, Any]]) -> tuple[Cell, ...]:
    """The strata of one draw, with their shares of its pile. rows: stratum, bad (None: not judged, or not clear).

    A stratum in which nothing is judged yet goes to its neighbour in risk. The draw of an older site is one stratum.
    """
    by_text: dict[str, list[Any]] = {}
    for row in rows:
        by_text.setdefault(row["stratum"], []).append(row["bad"])
    parsed = {text: strata.parse(text) for text in by_text}
    known = {text: stratum for text, stratum in parsed.items() if stratum is not None}
    if len(known) < len(parsed):
        known = {}
        by_text = {"": [row["bad"] for row in rows]}
    cells = []
    pile = judged = bad = 0
    for text in sorted(by_text, key=lambda text: known[text].place if text in known else ("", 0.0)):
        clear = [one for one in by_text[text] if one is not None]
        pile, judged, bad = pile + (known[text].pile if known else 1), judged + len(clear), bad + sum(clear)
        if judged:
            cells.append(Cell(float(pile), judged, bad))
            pile = judged = bad = 0
    if not cells:
        return ()
    cells[-1] = replace(cells[-1], share=cells[-1].share + pile)
    whole = sum(cell.share for cell in cells)
    return tuple(replace(cell, share=cell.share / whole) for cell in cells)
