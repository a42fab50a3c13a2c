"""A blind audit of a selection that somebody picked by hand on the map: it says how bad that selection is, only that.

    drawn = draw(site, pair_ids, 30, "Line 3, dark photos", actor="佐藤")
    for found in estimates(site): found.name, found.bad_left, found.low, found.high

The draw is a simple random sample of the selection's captions that nobody has judged; they are judged blind, like all
pairs under audit. A selection was picked for what is in it, so its pairs never count in the estimate of the site
(annotate/estimate.py), and the risk learns from them as from the queue: each speaks for itself alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from annotate.estimate import UNJUDGED
from annotate.intervals import Part, total
from data.errors import GenbaError
from data.store import now

if TYPE_CHECKING:
    from data.site import Site

KIND = "selection"  # in the table audits
NAME_LENGTH = 100
FREE = f"""
    SELECT p.pair_id {UNJUDGED.format(joined="")}
      AND p.pair_id IN (SELECT unnest($pairs))
      AND NOT EXISTS (SELECT 1 FROM audits a WHERE a.pair_id = p.pair_id)
      AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.pair_id = p.pair_id AND l.expires_at > $now)
    ORDER BY p.pair_id
"""
JUDGED = f"""
    SELECT a.draw, a.stratum AS name, any_value(a.inclusion_probability) AS probability, count(*) AS drawn,
           count(*) FILTER (WHERE c.verdict IN ('ok', 'fix')) AS judged,
           count(*) FILTER (WHERE c.verdict = 'fix') AS bad
    FROM audits a LEFT JOIN corrections c ON c.old_pair_id = a.pair_id AND c.state = 'active'
    WHERE a.kind = '{KIND}' GROUP BY a.draw, a.stratum ORDER BY a.draw DESC
"""


@dataclass(frozen=True)
class SelectionEstimate:
    """Bad captions among the `size` unjudged ones of a selection when it was drawn from, with a 95 % interval.

    bad, low, high are None while none of the `drawn` is judged.
    """

    name: str
    size: int
    drawn: int
    judged: int
    bad: float | None = None
    low: float | None = None
    high: float | None = None


def draw(
    site: Site, pair_ids: Collection[str], n: int, name: str, actor: str = "genba", seed: int | None = None
) -> int:
    """Put n random pairs of the selection under audit, fewer where it has fewer; how many.

    Raises GenbaError when nobody can judge any of them: all are judged, under audit, in work, or have no caption.
    """
    at, name = now(), " ".join(name.split())[:NAME_LENGTH]
    with site.connect() as db:
        free = [row["pair_id"] for row in db.rows(FREE, {"pairs": list(pair_ids), "now": at})]
        if not free or n < 1:
            raise GenbaError(
                "No caption of this selection can be drawn: all are judged, under audit or in work.",
                next="choose other photos",
            )
        chosen = np.random.default_rng(seed).choice(len(free), min(n, len(free)), replace=False)
        rows: list[dict[str, Any]] = [
            {"pair_id": free[place], "draw": f"{at.isoformat()}", "stratum": name, "drawn_at": at, "kind": KIND,
             "inclusion_probability": len(chosen) / len(free), "assigned_to": None}
            for place in chosen.tolist()
        ]  # fmt: skip
        db.insert("audits", rows)
        db.event(
            actor,
            "audit.selection_drawn",
            {"name": name, "drawn": len(rows), "from": len(free), "seed": seed},
        )
    return len(rows)


def estimates(site: Site) -> list[SelectionEstimate]:
    """Of each selection that was audited, the newest first."""
    with site.connect() as db:
        rows = db.rows(JUDGED)
    return [estimated(**{key: value for key, value in row.items() if key != "draw"}) for row in rows]


def estimated(name: str, probability: float, drawn: int, judged: int, bad: int) -> SelectionEstimate:
    """estimated("x", 0.5, drawn=10, judged=10, bad=2).bad == 4: of 20 captions."""
    size = round(drawn / probability)
    if not judged:
        return SelectionEstimate(name, size, drawn, judged)
    found, low, high = total([Part(float(size), float(size), judged, bad)], at_least=float(bad))
    low, high = max(low, float(bad)), min(high, float(size - judged + bad))  # what was judged is known
    return SelectionEstimate(name, size, drawn, judged, found, low, high)
