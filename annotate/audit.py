"""How bad is what remains: pairs drawn blind at random, judged by people who see no score, counted exactly.

    genba audit SITE draw 200        genba audit SITE estimate

Pairs are drawn from the held-out photos (split test) that nobody has judged. The split is a hash of the photo's group,
so they are a random sample of the site, and one judgement serves twice: it says how many bad captions are left, and it
gives the retraining a checked caption to be tested on. Corrections taken from the top of the queue are selected by
risk, and are never counted as an audit.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from data.errors import GenbaError
from data.site import Site
from data.store import now

UNJUDGED = """
    FROM pairs p JOIN images i ON i.image_id = p.image_id
    WHERE p.origin IN ('legacy', 'draft') AND p.state = 'captioned'
      AND NOT EXISTS (SELECT 1 FROM corrections c WHERE c.old_pair_id = p.pair_id AND c.state = 'active')
"""


@dataclass(frozen=True)
class Estimate:
    """Share of captions that need a correction among those nobody has judged, with an exact 95 % interval.

    `judged` audit pairs with a clear verdict, `bad` of them in need of a correction; `unjudged` is the pile that the
    rate speaks of, so `bad_left` = rate * unjudged.
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


def draw(site: Site, n: int, seed: int | None = None, actor: str = "genba") -> int:
    """Draw n pairs at random for the audit and return how many were drawn (fewer when fewer are left)."""
    if n < 1:
        raise GenbaError(f"An audit of {n} pairs is none.", next="genba audit SITE draw 100")
    free = UNJUDGED + " AND i.split = 'test' AND p.pair_id NOT IN (SELECT pair_id FROM audits)"
    with site.connect() as db:
        candidates = [row["pair_id"] for row in db.rows(f"SELECT p.pair_id {free} ORDER BY p.pair_id")]
        if not candidates:
            raise GenbaError(
                "No unjudged caption of a held-out photo is left to draw.",
                next=f"genba audit {site.root} estimate",
            )
        chosen = random.Random(seed).sample(candidates, min(n, len(candidates)))
        at = now()
        db.insert(
            "audits",
            [
                {"pair_id": pair_id, "draw": at.isoformat(timespec="seconds"), "stratum": "test",
                 "inclusion_probability": len(chosen) / len(candidates), "drawn_at": at}
                for pair_id in chosen
            ],
        )  # fmt: skip
        db.event(actor, "audit.drawn", {"drawn": len(chosen), "from": len(candidates), "seed": seed})
    return len(chosen)


def waiting(site: Site) -> int:
    """How many drawn pairs nobody has judged yet."""
    with site.connect() as db:
        return int(db.value(f"SELECT count(*) {UNJUDGED} AND p.pair_id IN (SELECT pair_id FROM audits)"))


def estimate(site: Site) -> Estimate | None:
    """The remaining error, or None while no drawn pair has a clear verdict (ok or fix)."""
    with site.connect() as db:
        judged, bad = db.rows(
            "SELECT count(*) AS judged, coalesce(sum(CASE WHEN c.verdict = 'fix' THEN 1 ELSE 0 END), 0) AS bad "
            "FROM audits a JOIN corrections c ON c.old_pair_id = a.pair_id AND c.state = 'active' "
            "WHERE c.verdict IN ('ok', 'fix')"
        )[0].values()
        unjudged = int(db.value(f"SELECT count(*) {UNJUDGED}"))
    if not judged:
        return None
    low, high = clopper_pearson(int(bad), int(judged))
    rate = bad / judged
    return Estimate(
        int(judged), int(bad), rate, low, high, unjudged, rate * unjudged, low * unjudged, high * unjudged
    )


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a proportion (Clopper and Pearson 1934), e.g. 0 of 60 -> (0, 0.060)."""
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(beta.ppf(1 - tail, successes + 1, trials - successes))
    return low, high
