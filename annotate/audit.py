"""How bad is what remains: pairs drawn blind at random, judged by people who see no score, counted exactly.

    genba audit SITE draw 200        genba audit SITE estimate

Pairs are drawn from the held-out photos (split test) that nobody has judged. The split is a hash of the photo's group,
so they are a random sample of the site, and one judgement serves twice: it says how many bad captions are left
(annotate/estimate.py), and it gives the retraining a checked caption to be tested on. The draw is stratified by risk
and, where wanted, by a slice (annotate/strata.py). The queue mixes in random pairs of its own (annotate/queue.py), of
kind "mixed". Corrections taken from the top of the queue are selected by risk, and are never counted as an audit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from annotate import strata
from annotate.estimate import UNJUDGED, Estimate, estimate
from annotate.slices import TEXT_VALUE, place_in_extra, require_key
from annotate.strata import Stratum
from data.errors import GenbaError
from data.site import Site
from data.store import Database, now

if TYPE_CHECKING:
    import pandas

__all__ = ["Estimate", "draw", "estimate", "waiting"]

NAME_LENGTH = 150
JOINED = """JOIN images i ON i.image_id = p.image_id
    LEFT JOIN scores s ON s.pair_id = p.pair_id AND s.encoder = $encoder"""
# What somebody has in hand is about to be judged with its score in sight.
FREE = f"""
    SELECT p.pair_id, i.group_id, i.split, s.risk, {TEXT_VALUE} AS value
    {UNJUDGED.format(joined=JOINED)}
      AND p.pair_id NOT IN (SELECT pair_id FROM audits)
      AND p.pair_id NOT IN (SELECT pair_id FROM leases WHERE expires_at > $now)
    ORDER BY p.pair_id
"""


def draw(
    site: Site,
    n: int,
    seed: int | None = None,
    actor: str = "genba",
    by: str | None = None,
    assigned_to: Sequence[str] = (),
) -> int:
    """Draw n pairs at random for the audit and return how many were drawn (fewer when fewer are left).

    by: a key of the captions' extra columns; its values are strata too. assigned_to: who is to judge them, in equal
    parts; nobody named: anybody. Raises GenbaError when no unjudged caption is left, and for an unknown key.
    """
    if n < 1:
        raise GenbaError(f"An audit of {n} pairs is none.", next="genba audit SITE draw 100")
    people = _people(assigned_to)
    rng, at, encoder = np.random.default_rng(seed), now(), site.queue_encoder()
    with site.connect() as db:
        if by is not None:
            require_key(db, by)
        pile = db.frame(FREE, {"encoder": encoder, "now": at, "place": place_in_extra(by or "")})
        chosen = _chosen(pile, n, by or "", rng)
        if not chosen:
            raise GenbaError(
                "No unjudged caption of a held-out photo is left to draw.",
                next=f"genba audit {site.root} estimate",
            )
        db.insert("audits", _rows(chosen, people, at, rng))
        detail = {"drawn": len(chosen), "from": int((pile["split"] == "test").sum()), "seed": seed, "by": by,
                  "strata": len({stratum for _, stratum, _ in chosen}), "assigned_to": people}  # fmt: skip
        db.event(actor, "audit.drawn", detail)
    return len(chosen)


def _people(names: Sequence[str]) -> list[str]:
    people = list(dict.fromkeys(" ".join(name.split()) for name in names))
    wrong = [name for name in people if not 0 < len(name) <= NAME_LENGTH]
    if wrong:
        raise GenbaError(
            f"An audit is assigned to a name of 1 to {NAME_LENGTH} characters, not {wrong[0][:20]!r}."
        )
    return people


def _chosen(
    pile: pandas.DataFrame, n: int, by: str, rng: np.random.Generator
) -> list[tuple[str, Stratum, float]]:
    """Pair, stratum and inclusion probability of each pair drawn. pile: all unjudged pairs, the columns of FREE."""
    can_be_drawn = (pile["split"] == "test").to_numpy()
    if not can_be_drawn.any():
        return []
    risk = pile["risk"].to_numpy(dtype=float, na_value=np.nan)
    values = [value if by and isinstance(value, str) else None for value in pile["value"]]
    drawable_values = [value for value, ok in zip(values, can_be_drawn, strict=True) if ok]
    kept = strata.kept_values(drawable_values, n)
    slices = len({value if value in kept else None for value in drawable_values})
    edges = strata.risk_edges(risk[can_be_drawn], min(strata.BINS, max(n // (strata.FEW * slices), 1)))
    cells = strata.cells_of(risk, values, edges, kept)
    drawable = [int(cell) for cell in np.unique(cells[can_be_drawn])]
    members = [np.flatnonzero(can_be_drawn & (cells == cell)) for cell in drawable]
    piles = [int((cells == cell).sum()) for cell in drawable]
    found = []
    for cell, frame, size, taken in zip(
        drawable, members, piles, strata.allocate([len(m) for m in members], piles, n), strict=True
    ):
        if taken:
            stratum = _stratum(cell, len(frame), size, risk, edges, kept, by)
            places = frame[strata.spread_sample(pile["group_id"].to_numpy()[frame], taken, rng)]
            found += [(str(pile["pair_id"].iloc[place]), stratum, taken / len(frame)) for place in places]
    return found


def _stratum(
    cell: int,
    frame: int,
    pile: int,
    risk: strata.Floats,
    edges: strata.Floats,
    kept: list[str],
    by: str,
) -> Stratum:
    row, column = divmod(cell, len(edges) + 2)
    ends = [float(np.nanmin(risk)) if not np.isnan(risk).all() else 0.0, *edges.tolist(),
            float(np.nanmax(risk)) if not np.isnan(risk).all() else 1.0]  # fmt: skip
    bounds = (round(ends[column], 6), round(ends[column + 1], 6)) if column <= len(edges) else None
    return Stratum(pile, frame, bounds, by, kept[row] if row < len(kept) else None)


def _rows(
    chosen: list[tuple[str, Stratum, float]], people: list[str], at: datetime, rng: np.random.Generator
) -> list[dict[str, Any]]:
    turns = rng.permutation(len(chosen))
    return [
        {"pair_id": pair_id, "draw": at.isoformat(), "stratum": stratum.text, "inclusion_probability": probability,
         "drawn_at": at, "assigned_to": people[int(turn) % len(people)] if people else None, "kind": "drawn"}
        for (pair_id, stratum, probability), turn in zip(chosen, turns, strict=True)
    ]  # fmt: skip


def waiting(site: Site, person: str | None = None) -> int:
    """How many pairs under audit nobody has judged yet; with a person, those that this person may be given."""
    mine = "AND (a.assigned_to IS NULL OR a.assigned_to = $person)" if person is not None else ""
    with site.connect() as db:
        return int(
            db.value(
                f"SELECT count(*) {UNJUDGED.format(joined='JOIN audits a ON a.pair_id = p.pair_id')} {mine}",
                {"person": person} if person is not None else {},
            )
        )


def place_mixed(db: Database, pair_id: str, pile: int) -> None:
    """Put a pair that the queue drew at random from `pile` waiting ones under audit, for whoever takes it first."""
    at = now()
    row = {"pair_id": pair_id, "draw": "mixed", "stratum": Stratum(pile, pile).text, "inclusion_probability": 1 / pile,
           "drawn_at": at, "assigned_to": None, "kind": "mixed"}  # fmt: skip
    db.insert("audits", [row])
