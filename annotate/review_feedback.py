"""What became of a person's own answers: for that person alone, with examples.

    found = feedback(site, "佐藤")       # of the last week
    found.reviewed, found.differed, found.open          # 12, 3, 1
    for example in found.examples: example.own, example.decided, example.why

Examples are cases that a lead has decided, those first in which the decision went another way. Who the other person
was is not told: the talk is about the caption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from annotate import reviews
from annotate.adjudication import Side, answer_of
from data.site import Site
from data.store import Database, now

WEEK = timedelta(days=7)
EXAMPLES = 5


@dataclass(frozen=True)
class Example:
    """One decided case. differing: what the own and the decided answer disagree on; [] where the own one stood."""

    pair_id: str
    image_id: str
    caption: str
    own: Side
    decided: Side
    both_fine: bool
    why: str
    decided_at: datetime
    differing: list[str]


@dataclass(frozen=True)
class Feedback:
    """Of one person's answers since `since`: how many a second person answered too, how many of them differed, how
    many of those still wait for a lead, and decided cases.
    """

    since: datetime
    answers: int
    reviewed: int
    differed: int
    open: int
    examples: list[Example]


def feedback(site: Site, person: str, period: timedelta = WEEK) -> Feedback:
    """What is to be told to this person about the last `period`."""
    person, since = " ".join(person.split()), now() - period
    languages = site.settings.site.languages
    with site.connect() as db:
        answers = db.value(
            "SELECT count(*) FROM corrections WHERE annotator = ? AND created_at >= ? AND state <> 'withdrawn'",
            [person, since],
        )
        states = db.rows(
            "SELECT r.state, json_array_length(r.differing) > 0 AS differs FROM reviews r JOIN corrections c "
            "ON c.correction_id = r.correction_id WHERE c.annotator = ? AND r.answered_at >= ? "
            "AND list_contains(?, r.state)",
            [person, since, list(reviews.ANSWERED)],
        )
        decided = db.rows(
            "SELECT a.*, p.image_id, p.caption, f.annotator AS first_by, "
            "coalesce(c.annotator, r.reviewer) AS second_by FROM adjudications a "
            "JOIN pairs p ON p.pair_id = a.pair_id LEFT JOIN corrections f ON f.correction_id = a.first_id "
            "LEFT JOIN corrections c ON c.correction_id = a.second_id AND a.kind = 'conflict' "
            "LEFT JOIN reviews r ON r.review_id = a.second_id AND a.kind = 'review' "
            "WHERE a.state = 'decided' AND a.decided_at >= $since AND $me IN (f.annotator, c.annotator, r.reviewer) "
            "ORDER BY a.decided_at DESC, a.adjudication_id",
            {"since": since, "me": person},
        )
        examples = [_example(db, row, person, languages) for row in decided]
    examples.sort(key=lambda one: not one.differing or one.both_fine)
    return Feedback(
        since=since, answers=int(answers), reviewed=len(states), differed=sum(bool(row["differs"]) for row in states),
        open=sum(row["state"] == "differs" for row in states), examples=examples[:EXAMPLES],
    )  # fmt: skip


def _example(db: Database, row: Mapping[str, Any], person: str, languages: list[Any]) -> Example:
    is_first = row["first_by"] == person
    own_id = row["first_id"] if is_first else row["second_id"]
    own = answer_of(db, own_id, languages, is_review=not is_first and row["kind"] == "review")
    result = answer_of(db, row["result_id"], languages)
    both_fine = row["decision"] == "both"
    on = reviews.differing(
        {"verdict": own.verdict, "slots": own.slots}, {"verdict": result.verdict, "slots": result.slots}
    )
    return Example(
        pair_id=row["pair_id"], image_id=row["image_id"], caption=row["caption"], own=own, decided=result,
        both_fine=both_fine, why=row["why"], decided_at=row["decided_at"], differing=on,
    )  # fmt: skip
