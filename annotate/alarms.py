"""Signs that drafts are waved through: approved faster than anybody reads, approved more (or less) often than the audit
finds them right, planted wrong ones let through.

    alarms(site)                   # [Alarm("fast", "佐藤", …), …] of all lots and forms
    alarms(site, lot_id)           # of the check of one lot

An alarm asks for a talk, it proves nothing; each says its numbers. Approvals are verdicts "right" on a lot's sample,
and corrections that a person saved as a draft had them. Reading limits: see CHARACTERS_PER_SECOND.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from data.site import Site
from data.store import Database

# Faster than this hardly anybody reads all of it. English: silent reading of non-fiction is 238 words a minute, most
# adults are between 175 and 300 (Brysbaert 2019, doi 10.1016/j.jml.2019.104047); 25 characters a second are about 270
# words a minute. Japanese: about 6 characters a second aloud (Trauzettel-Klosinski and Dietz 2012, doi
# 10.1167/iovs.11-8284), silently a third faster (238 against 183 words in Brysbaert), so 10 is a fast reader. The photo
# has to be looked at besides: whoever is faster than this has not done both.
CHARACTERS_PER_SECOND = {"ja": 10.0, "en": 25.0}
FEWEST_FAST = 3  # approvals: one slip of the finger is no habit
ALPHA = 0.01  # of each binomial test
CONFIDENCE = 0.95  # of the audit's interval
FEWEST_AUDITED, FEWEST_APPROVALS = 20, 10
Kind = Literal["fast", "approves_more", "approves_less", "planted"]


@dataclass(frozen=True)
class Alarm:
    """n of `of` things of that kind by one person.

    expected: seconds that reading takes (fast, the median), or the share of drafts that the audit finds right (None:
    planted). p: of the binomial test.
    """

    kind: Kind
    person: str
    n: int
    of: int
    expected: float | None = None
    p: float | None = None
    where: str = "lot"  # or "form"


@dataclass(frozen=True)
class Verdict:
    """What a person said of one draft. is_right: approved."""

    person: str
    is_right: bool
    captions: Mapping[str, str]
    seconds: float
    planted: bool = False
    where: str = "lot"


def alarms(site: Site, lot_id: str | None = None) -> list[Alarm]:
    """Of one lot's check; lot_id None: of everything."""
    with site.connect() as db:
        given = _checks(db, lot_id) + ([] if lot_id else _forms(db))
        audited = {
            "lot": _audited(db, site.settings.drafts.line),
            "form": _audited(db, 0.0),
        }
    found = [*too_fast(given), *let_through(given)]
    for where, (right, compared) in audited.items():
        found += out_of_line([one for one in given if one.where == where], right, compared)
    return sorted(found, key=lambda one: (one.person, one.kind, one.where))


def reading_seconds(captions: Mapping[str, str]) -> float:
    """The time that the quickest of these captions takes to read: a person reads one of them."""
    times = [
        len(text) / CHARACTERS_PER_SECOND.get(language, max(CHARACTERS_PER_SECOND.values()))
        for language, text in captions.items()
    ]
    return min(times, default=0.0)


def too_fast(given: Iterable[Verdict]) -> list[Alarm]:
    """People who approved FEWEST_FAST or more drafts faster than they can be read."""
    found = []
    for person, mine in _by_person(one for one in given if one.is_right).items():
        fast = [one for one in mine if one.seconds < reading_seconds(one.captions)]
        if len(fast) >= FEWEST_FAST:
            needed = sorted(reading_seconds(one.captions) for one in fast)
            found.append(
                Alarm("fast", person, len(fast), len(mine), needed[len(needed) // 2], where=mine[0].where)
            )
    return found


def let_through(given: Iterable[Verdict]) -> list[Alarm]:
    """People who called a planted wrong draft right."""
    found = []
    for person, mine in _by_person(one for one in given if one.planted).items():
        if passed := sum(one.is_right for one in mine):
            found.append(Alarm("planted", person, passed, len(mine)))
    return found


def out_of_line(given: Sequence[Verdict], right: int, compared: int) -> list[Alarm]:
    """People whose share of approvals differs from what the blind audit says of such drafts: `right` of `compared`.

    Two exact binomial tests at ALPHA, against the ends of the audit's own CONFIDENCE interval (Clopper and Pearson
    1934), so that an audit which says little raises no alarm. Nothing is said with fewer than FEWEST_AUDITED audited
    drafts or FEWEST_APPROVALS verdicts.
    """
    if compared < FEWEST_AUDITED:
        return []
    from scipy.stats import binomtest

    interval = binomtest(right, compared).proportion_ci(CONFIDENCE, method="exact")
    found = []
    for person, mine in _by_person(one for one in given if not one.planted).items():
        approved = sum(one.is_right for one in mine)
        if len(mine) < FEWEST_APPROVALS:
            continue
        more = binomtest(approved, len(mine), float(interval.high), "greater").pvalue
        less = binomtest(approved, len(mine), float(interval.low), "less").pvalue
        kind: Kind = "approves_more" if more < less else "approves_less"
        if min(more, less) < ALPHA:
            found.append(
                Alarm(
                    kind, person, approved, len(mine), right / compared, float(min(more, less)), mine[0].where
                )
            )
    return found


def _by_person(given: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    found: dict[str, list[Verdict]] = {}
    for one in given:
        found.setdefault(one.person, []).append(one)
    return found


def _checks(db: Database, lot_id: str | None) -> list[Verdict]:
    rows = db.rows(
        "SELECT k.checked_by, k.is_right, k.active_seconds, d.captions, d.planted FROM lot_checks k "
        "JOIN drafts d ON d.draft_id = k.draft_id WHERE k.is_right IS NOT NULL AND (k.lot_id = $lot OR $lot IS NULL) "
        "ORDER BY k.checked_at",
        {"lot": lot_id},
    )
    return [
        Verdict(row["checked_by"], row["is_right"], row["captions"], row["active_seconds"], row["planted"])
        for row in rows
    ]


def _forms(db: Database) -> list[Verdict]:
    """Corrections that began with a draft; approved are those that were saved as the draft had them."""
    rows = db.rows(
        "SELECT c.annotator, c.active_seconds, c.draft, c.new_pair_ids FROM corrections c "
        "WHERE c.draft IS NOT NULL AND c.source <> 'lot' AND c.verdict = 'fix' AND c.state = 'active' "
        "AND NOT c.simulated ORDER BY c.created_at",
    )
    wanted = sorted({one for row in rows for one in row["new_pair_ids"]})
    texts = db.rows("SELECT pair_id, language, caption FROM pairs WHERE list_contains(?, pair_id)", [wanted])
    captions = {row["pair_id"]: (row["language"], row["caption"]) for row in texts}
    return [
        Verdict(
            row["annotator"], not any(row["draft"].get("edit_distance", {"": 1}).values()),
            dict(captions[one] for one in row["new_pair_ids"]), row["active_seconds"], where="form",
        )
        for row in rows
    ]  # fmt: skip


def _audited(db: Database, line: float) -> tuple[int, int]:
    """(right, compared): drafts above the line, of pairs drawn blind and judged by somebody who saw no draft."""
    row = db.one(
        "SELECT count(*) FILTER (WHERE is_right) AS r, count(*) AS n FROM drafts d WHERE state = 'known' "
        "AND is_right IS NOT NULL AND quality >= ? "
        "AND EXISTS (SELECT 1 FROM audits a WHERE a.pair_id = d.pair_id AND a.kind <> 'selection')",
        [line],
    )
    return (int(row["r"]), int(row["n"])) if row else (0, 0)
