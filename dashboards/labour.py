"""The seconds that were worked, as every page and the report count them: one query, whoever sums it up.

    with site.connect() as db:
        seconds(db)                  # {("staff", False): 5400.0, ("lead", False): 120.0, …} by (role, simulated)

Time counts whether or not the answer was replaced later: it was spent. A lot's corrections repeat the time of its
checks, so the checks are counted and they are not; those of a lot that was refused count too.
"""

from __future__ import annotations

from data.store import Database

ROLES = ("staff", "review", "audit", "lead")
# One row for each answer, with the role in which it was given. Decisions are taken by people alone.
SPENT = """
    SELECT CASE WHEN a.pair_id IS NULL THEN 'staff' ELSE 'audit' END AS role, c.simulated, c.active_seconds AS seconds,
           c.created_at AS given_at
    FROM corrections c LEFT JOIN audits a ON a.pair_id = c.old_pair_id AND a.drawn_at <= c.created_at
    WHERE c.source <> 'lot'
    UNION ALL
    SELECT 'review', coalesce(simulated, false), active_seconds, answered_at FROM reviews WHERE answered_at IS NOT NULL
    UNION ALL
    SELECT 'lead', false, active_seconds, decided_at FROM adjudications
    UNION ALL
    SELECT 'lead', coalesce(p.simulated, false), k.active_seconds, k.checked_at
    FROM lot_checks k LEFT JOIN annotators p ON p.name = k.checked_by
    WHERE k.active_seconds IS NOT NULL"""
HOURS_SQL = f"""
SELECT role, simulated, sum(seconds) / 3600 AS hours
FROM ({SPENT})
GROUP BY ALL
ORDER BY ALL
"""


def seconds(db: Database) -> dict[tuple[str, bool], float]:
    """Active seconds by (role, simulated); a role: staff, audit, review (second opinions), lead."""
    return {
        (str(row["role"]), bool(row["simulated"])): float(row["hours"] or 0.0) * 3600
        for row in db.rows(HOURS_SQL)
    }
