"""How long a caption takes a person, from the site's own history: the cost of a review.

    model = seconds_model(site)
    model.fix, model.ok                # seconds for a caption that is corrected, and for one that is right already
    model.expected(0.3)                # seconds for a caption that needs a correction with chance 0.3
    model.gain_per_second(0.3)         # bad captions found in a second of work

Medians, so that a forgotten browser tab counts like any other answer; shrunk towards a prior until there are enough.
On a real site only real people's answers count; on a demo site the simulated crew stands for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from data.site import Site

# The prior: a form of six to eight choices, and reading a caption beside its photo. It weighs like so many answers.
PRIOR = {"fix": 30.0, "ok": 10.0}
PRIOR_ANSWERS = 20
LATEST = 500  # people get faster; what was long ago says little

TIMES = """
    SELECT verdict, median(active_seconds) AS seconds, count(*) AS answers
    FROM (SELECT verdict, active_seconds,
                 row_number() OVER (PARTITION BY verdict ORDER BY created_at DESC, correction_id) AS place
          FROM corrections
          WHERE state = 'active' AND verdict IN ('fix', 'ok') AND active_seconds > 0 AND (NOT simulated OR $demo))
    WHERE place <= $latest
    GROUP BY verdict
"""


@dataclass(frozen=True)
class Seconds:
    """Expected active seconds for an answer, and how many answers of each kind stand behind them."""

    fix: float
    ok: float
    fixes: int
    oks: int

    def expected(self, risk: float) -> float:
        """Seconds for a caption that needs a correction with the chance `risk`, in [0, 1]."""
        return risk * self.fix + (1 - risk) * self.ok

    def gain_per_second(self, risk: float) -> float:
        """Bad captions found in a second: risk / expected(risk). Grows with the risk, whatever the two times are."""
        return risk / self.expected(risk)


def seconds_model(site: Site) -> Seconds:
    """Medians of the latest answers by verdict, each shrunk on the log scale: weights n and PRIOR_ANSWERS."""
    with site.connect() as db:
        rows = db.rows(TIMES, {"demo": site.settings.site.demo, "latest": LATEST})
    known = {row["verdict"]: (float(row["seconds"]), int(row["answers"])) for row in rows}
    found = {verdict: shrunk(prior, *known.get(verdict, (prior, 0))) for verdict, prior in PRIOR.items()}
    return Seconds(found["fix"], found["ok"], *(known.get(verdict, (0.0, 0))[1] for verdict in ("fix", "ok")))


def shrunk(prior: float, median: float, answers: int) -> float:
    """shrunk(30, 60, 20) == sqrt(30 * 60): as many answers as the prior weighs count half."""
    share = answers / (answers + PRIOR_ANSWERS)
    return float(prior * (median / prior) ** share)
