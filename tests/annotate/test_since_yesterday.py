"""What has changed since the last working day: which day that is, and every count added up by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from annotate.since_yesterday import last_day, working_day
from data.site import Site
from tests.dashboards.conftest import add_correction, add_image, add_pair, add_run, new_site

JAPAN = timezone(timedelta(hours=9))
MONDAY = datetime(2026, 11, 23, 1, 0)  # 10:00 in Japan
FRIDAY = datetime(2026, 11, 20, 8, 0)  # 17:00 in Japan


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield new_site(tmp_path / "site")


def test_on_a_monday_it_is_the_friday(site: Site) -> None:
    with site.connect() as db:
        assert working_day(db, JAPAN, MONDAY) == datetime(2026, 11, 21, 15), (
            "nobody has answered: yesterday, 0:00"
        )
        add_correction(db, add_pair(db, add_image(db, 1), "a"), at=FRIDAY)
        add_correction(db, add_pair(db, add_image(db, 2), "b"), at=MONDAY)
        add_correction(db, add_pair(db, add_image(db, 3), "c"), at=MONDAY - timedelta(days=1), simulated=True)
        assert working_day(db, JAPAN, MONDAY) == datetime(2026, 11, 19, 15), "Friday 0:00 in Japan"
        assert working_day(db, UTC, MONDAY) == datetime(2026, 11, 20)


def test_the_day_is_that_of_the_time_zone(site: Site) -> None:
    evening = datetime(2026, 11, 22, 16)  # already Monday 1:00 in Japan, still Sunday in UTC
    with site.connect() as db:
        add_correction(db, add_pair(db, add_image(db, 1), "a"), at=evening)
        assert working_day(db, JAPAN, MONDAY) == datetime(2026, 11, 21, 15), (
            "that is today, and counts as none before"
        )
        assert working_day(db, UTC, MONDAY) == datetime(2026, 11, 22)


def test_every_count(site: Site) -> None:
    long_ago = FRIDAY - timedelta(days=3)
    with site.connect() as db:
        db.execute("UPDATE images SET added_at = ?", [long_ago])
        for number, (verdict, state, at) in enumerate((
            ("fix", "active", FRIDAY), ("fix", "active", MONDAY), ("ok", "active", MONDAY), ("fix", "active", long_ago),
            ("fix", "superseded", MONDAY),
        )):  # fmt: skip
            add_correction(
                db, add_pair(db, add_image(db, number), f"caption {number}"), verdict, at=at, state=state
            )
        db.execute("UPDATE images SET added_at = ?", [long_ago])
        add_image(db, 90)
        db.execute("UPDATE images SET added_at = ? WHERE uri = '90.jpg'", [MONDAY])
        of_monday = "verdict = 'fix' AND created_at = ? AND state = 'active'"
        db.execute(f"UPDATE corrections SET source = 'lot' WHERE {of_monday}", [MONDAY])
        pairs = db.rows("SELECT pair_id FROM pairs WHERE caption IN ('caption 0', 'caption 2', 'caption 3')")
        db.insert("audits", [{"pair_id": row["pair_id"], "draw": "one", "stratum": "test", "kind": "drawn",
                              "inclusion_probability": 0.5, "drawn_at": long_ago} for row in pairs])  # fmt: skip
        add_run(db, "good", at=MONDAY)
        add_run(db, "bad", at=MONDAY, state="failed")
        add_run(db, "old", at=long_ago)
        for what, at in (
            ("model.promoted", MONDAY),
            ("model.rolled_back", MONDAY),
            ("model.promoted", long_ago),
        ):
            db.insert("events", [{"occurred_at": at, "actor": "田中", "what": what, "detail": {}}])
        db.insert("adjudications", [{
            "adjudication_id": str(at), "pair_id": pairs[0]["pair_id"], "kind": "review", "second_id": "s",
            "decision": "first", "result_id": "r", "why": "", "decided_by": "田中", "active_seconds": 5.0,
            "state": "decided", "decided_at": at,
        } for at in (MONDAY, long_ago)])  # fmt: skip
    day = last_day(site, JAPAN, MONDAY + timedelta(hours=5))
    assert day.since == datetime(2026, 11, 19, 15)
    assert (day.corrections, day.fixed, day.approved, day.people) == (3, 1, 1, 1)
    assert (day.audited, day.audited_bad) == (2, 1), "one of the three was judged before"
    assert (day.photos, day.decided) == (1, 1)
    assert (day.retrainings, day.failed_retrainings, day.promoted, day.rolled_back) == (2, 1, 1, 1)
    assert not day.is_quiet


def test_new_photos_alone_are_no_news_for_the_staff(site: Site) -> None:
    with site.connect() as db:
        add_image(db, 1)
        db.execute("UPDATE images SET added_at = ?", [MONDAY])
    day = last_day(site, JAPAN, MONDAY)
    assert day.photos == 1 and day.is_quiet
