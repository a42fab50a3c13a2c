"""The numbers of the page Finder: how the risk is made, how well it ranks, and from which risk on a look pays.

    found = learning(site)           # Learning: the answers so far, the fits, the fit in use or None
    line(site, found)                # Line, or Missing that says what it needs
    leanings(found.current)          # the signals that weigh most in it

As in dashboards/figures.py: queries in, frozen records out, no page and no words; what is not known is a `Missing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from annotate.queue import NO_AUDIT, WAITING
from annotate.seconds import Seconds, seconds_model
from dashboards.figures import Missing
from data.kept import value
from data.settings import set_value
from data.site import Site
from scoring import refit
from scoring.learned import FEWEST_ANSWERS, FEWEST_OF_A_KIND, RiskFit, worth_a_look

RANK = "rank_"  # begins the name of the column that holds a signal's rank (scoring/learned.py)
MOST_LEANINGS = 6


@dataclass(frozen=True)
class Answered:
    """Answers that the risk can learn from: captions that needed a correction (bad), and those that were right."""

    answers: int
    bad: int
    audited: int  # drawn blind; the others come from the queue
    simulated: int

    @property
    def right(self) -> int:
        return self.answers - self.bad

    @property
    def from_queue(self) -> int:
        return self.answers - self.audited

    @property
    def is_enough(self) -> bool:
        return self.answers >= FEWEST_ANSWERS and min(self.bad, self.right) >= FEWEST_OF_A_KIND


@dataclass(frozen=True)
class Learning:
    """fits: all that were made for the encoder that ranks the queue, with their times (UTC), the newest first."""

    encoder: str
    answered: Answered
    fits: list[tuple[RiskFit, datetime]]
    is_due: bool  # people have answered since the scores were last written

    @property
    def current(self) -> RiskFit | None:
        """The fit that makes the risk now. Answers that were withdrawn may leave too few for any."""
        return self.fits[0][0] if self.fits and self.answered.is_enough else None


ANSWERED_SQL = """
SELECT count(*) AS answers, count(*) FILTER (WHERE l.needs_correction) AS bad,
       count(*) FILTER (WHERE l.source = 'audit') AS audited, count(*) FILTER (WHERE c.simulated) AS simulated
FROM labels l
JOIN pairs p ON p.pair_id = l.pair_id AND p.state = 'captioned'
JOIN scores s ON s.pair_id = l.pair_id AND s.encoder = ?
LEFT JOIN corrections c ON c.correction_id = l.correction_id
"""


def learning(site: Site) -> Learning:
    """How the risk of the queue is made. On a large site the answers are as they were counted last (data/kept.py)."""
    encoder = site.queue_encoder()

    def count(site: Site) -> Answered:
        with site.connect() as db:
            return Answered(**db.rows(ANSWERED_SQL, [encoder])[0])

    answered: Answered = value(site, f"answered {encoder}", Answered, count)
    with site.connect() as db:
        is_due = refit.is_due(db, encoder)
    return Learning(encoder, answered, refit.fits(site, encoder), is_due)


@dataclass(frozen=True)
class Line:
    """From `probability` on a look at a caption pays. Yen for one caption.

    look_jpy: looking at one that is right already. mend_jpy: what a bad one takes beyond that. above: waiting captions
    on or above the line, which take `seconds` of work and cost `cost_jpy`.
    """

    bad_caption_jpy: float
    look_jpy: float
    mend_jpy: float
    probability: float  # may exceed 1: then no caption is worth it
    waiting: int
    above: int
    seconds: float
    cost_jpy: float


WAITING_SQL = f"""
SELECT count(*) AS waiting, count(*) FILTER (WHERE s.risk >= $line) AS above,
       coalesce(sum(s.risk) FILTER (WHERE s.risk >= $line), 0) AS bad_above
{WAITING} {NO_AUDIT} AND p.state = 'captioned'
"""


def not_learned(found: Learning) -> Missing:
    """What a learned risk needs: answers, and once there are enough a scoring."""
    command = "genba score SITE" if found.answered.is_enough else ""
    return Missing("a risk that has learned from answers", command)


def line(site: Site, found: Learning) -> Line | Missing:
    """The line by cost. A risk that nobody's answers have calibrated is no probability, so it has none."""
    if found.current is None:
        return not_learned(found)
    price = site.settings.cost.bad_caption_jpy
    if price <= 0:
        return Missing("what a bad caption costs that stays")
    times, wage = seconds_model(site), site.settings.cost.wage_jpy_per_hour / 3600
    look, mend = wage * times.ok, wage * (times.fix - times.ok)
    probability = worth_a_look(review_cost=look, bad_caption_cost=price - mend)

    def count(site: Site) -> dict[str, float]:
        with site.connect() as db:
            return db.rows(WAITING_SQL, {"encoder": found.encoder, "line": probability})[0]

    row = value(site, f"above {found.encoder} {probability:.6f}", dict[str, float], count)
    waiting, above = int(row["waiting"]), int(row["above"])
    seconds = _seconds(times, above, row["bad_above"])
    return Line(price, look, mend, probability, waiting, above, seconds, seconds * wage)


def _seconds(times: Seconds, captions: int, bad: float) -> float:
    return bad * times.fix + (captions - bad) * times.ok


def say_bad_caption_cost(site: Site, yen: float, by: str) -> None:
    """Write what a bad caption costs that stays into genba.toml; 0: nobody says. Raises GenbaError below zero."""
    set_value(site.settings_path, "cost", "bad_caption_jpy", float(yen))
    with site.connect() as db:
        db.event(by, "cost.bad_caption", {"bad_caption_jpy": float(yen)})


def leanings(fit: RiskFit, most: int = MOST_LEANINGS) -> list[tuple[str, float]]:
    """(signal, coefficient of its rank), the heaviest first: above 0, what is worse by the signal is more at risk.

    They stand on top of the label-free risk, which is a column of its own. A label-free fit has none.
    """
    ranks = {name.removeprefix(RANK): w for name, w in fit.coefficients.items() if name.startswith(RANK)}
    weighed = [(name, weight) for name, weight in ranks.items() if weight]
    return sorted(weighed, key=lambda one: -abs(one[1]))[:most]
