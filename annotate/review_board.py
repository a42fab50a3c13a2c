"""The leaderboard, for sites that want one ([review] leaderboard; off by default): counts and agreement.

Never seconds: whoever is measured by speed alone learns to be fast, not right. Nobody is listed on a handful of
answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from annotate.reviews import ANSWERED
from data.site import Site
from data.store import now

MONTH = timedelta(days=30)
FEWEST = 5  # answers; and reviewed answers, before an agreement is shown


@dataclass(frozen=True)
class Row:
    """One person. answers: standing corrections and second opinions. agreed: of the reviewed, in [0, 1]; None: too few.

    A case that a lead decided for the person, or found both fine, counts as agreed; one that waits does not count yet.
    """

    name: str
    simulated: bool
    answers: int
    reviewed: int
    agreed: float | None


SQL = """
    WITH given AS (
        SELECT annotator AS name, simulated FROM corrections c WHERE state = 'active' AND created_at >= $since
        AND NOT EXISTS (SELECT 1 FROM adjudications a  -- a second opinion that won is that review already
                        WHERE a.result_id = c.correction_id AND a.kind = 'review' AND a.decision = 'second')
        UNION ALL
        SELECT reviewer, simulated FROM reviews WHERE list_contains($answered, state) AND answered_at >= $since),
    judged AS (
        SELECT c.annotator AS name, r.state = 'agreed' OR a.decision IN ('first', 'both') AS agreed
        FROM reviews r JOIN corrections c ON c.correction_id = r.correction_id
        LEFT JOIN adjudications a ON a.second_id = r.review_id AND a.state = 'decided'
        WHERE r.state IN ('agreed', 'decided') AND r.answered_at >= $since)
    SELECT g.name, any_value(g.simulated) AS simulated, count(*) AS answers,
           (SELECT count(*) FROM judged j WHERE j.name = g.name) AS reviewed,
           (SELECT avg(CAST(agreed AS INTEGER)) FROM judged j WHERE j.name = g.name) AS agreed
    FROM given g GROUP BY g.name HAVING count(*) >= $fewest
    ORDER BY answers DESC, g.name
"""


def leaderboard(site: Site, period: timedelta = MONTH) -> list[Row]:
    """People with at least FEWEST answers in the last `period`, most answers first; [] unless the site wants one."""
    if not site.settings.review.leaderboard:
        return []
    with site.connect() as db:
        rows = db.rows(SQL, {"since": now() - period, "answered": list(ANSWERED), "fewest": FEWEST})
    return [
        Row(
            row["name"], bool(row["simulated"]), int(row["answers"]), int(row["reviewed"]),
            float(row["agreed"]) if row["reviewed"] >= FEWEST else None,
        )
        for row in rows
    ]  # fmt: skip
