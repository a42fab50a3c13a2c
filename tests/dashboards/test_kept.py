"""Aggregates of a large site: shown as they were, with their age, and counted anew behind the page."""

from __future__ import annotations

import json

import pytest

from annotate import audit, queue, stopping
from dashboards import alignment, figures, quality
from dashboards import kept as asked
from data import kept
from data.errors import GenbaError
from data.site import Site
from data.store import now
from tests.conftest import until
from tests.dashboards.conftest import add_correction, add_image, add_pair, add_score

SECONDS = 30


@pytest.fixture
def large(worked: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site that counts as large, and whose counts may be renewed at once."""
    monkeypatch.setattr(kept, "SMALL_BYTES", 0)
    monkeypatch.setattr(kept, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(kept, "PATIENCE", 0)
    monkeypatch.setattr(kept, "AFTER_SECONDS", 0.2)
    return worked


def one_more(site: Site, number: int = 50) -> None:
    with site.connect() as db:
        add_score(db, add_pair(db, add_image(db, number), f"もう一つ {number}"), 0.1)


def forget(site: Site) -> None:
    """As a process that has just been started."""
    kept._keepers.pop(site.root)


def settled(site: Site, renewals: int) -> None:
    until(lambda: kept.renewed(site) == (renewals, False), SECONDS, "the count behind the page ends")


def test_a_small_site_is_counted_each_time(worked: Site) -> None:
    before = asked.waiting(worked)
    one_more(worked)
    assert asked.waiting(worked) == queue.count(worked) == before + 1
    assert kept.oldest(worked) is None and not (worked.root / kept.FILE).exists()


def test_every_aggregate_comes_back_from_the_file_as_it_was(large: Site) -> None:
    with large.connect() as db:
        pairs = db.rows(
            "SELECT old_pair_id FROM corrections WHERE verdict IN ('fix', 'ok') AND state = 'active'"
        )
        db.insert("audits", [{"pair_id": row["old_pair_id"], "draw": "one", "stratum": "test", "kind": "drawn",
                              "inclusion_probability": 0.5, "drawn_at": now()} for row in pairs])  # fmt: skip
        db.execute("""UPDATE pairs SET extra = '{"line": "A"}' WHERE substr(pair_id, 1, 1) < '8'""")
    left = figures.remaining(large)
    wanted = (left, queue.count(large), alignment.compared(large), quality.lacking(large),
              quality.error_over_time(large), quality.by_slice(large), figures.work(large),
              figures.fixed_by_day(large), audit.waiting(large))  # fmt: skip
    assert isinstance(left, figures.Remaining)
    calls = (asked.remaining, asked.waiting, asked.alignment, asked.lacking, asked.error_over_time, asked.by_slice,
             asked.work, asked.fixed_by_day, asked.audit_waiting)  # fmt: skip
    for _turn in range(2):
        assert tuple(one(large) for one in calls) == wanted
        assert asked.risk_distribution(large).equals(figures.risk_distribution(large))
        assert asked.pairs_by_kind(large).equals(figures.pairs_by_kind(large))
        ahead = asked.next_hundred(large, left.estimate, None)
        assert ahead == stopping.next_hundred(large, left.estimate, None)
        forget(large)


def test_what_is_kept_is_shown_at_once_and_renewed_behind(large: Site) -> None:
    before = asked.waiting(large)
    first = kept.oldest(large)
    assert kept.renewed(large) == (0, False), "nothing was written since"
    one_more(large)
    assert asked.waiting(large) == before, "the page waits for nothing"
    settled(large, 1)
    assert asked.waiting(large) == before + 1
    assert first is not None and kept.oldest(large) > first  # type: ignore[operator]


def test_after_a_start_the_old_number_shows_with_its_age(large: Site) -> None:
    before = asked.waiting(large)
    at = kept.oldest(large)
    one_more(large)
    forget(large)
    assert asked.waiting(large) == before and kept.oldest(large) == at
    settled(large, 1)
    assert asked.waiting(large) == before + 1


def test_a_count_is_not_renewed_before_its_time(large: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before = asked.waiting(large)
    monkeypatch.setattr(kept, "LEAST_SECONDS", 3600.0)
    one_more(large)
    assert asked.waiting(large) == before and kept.renewed(large) == (0, False)


def test_what_another_version_kept_or_a_damaged_file_is_counted_anew(large: Site) -> None:
    asked.waiting(large)
    told = json.loads((large.root / kept.FILE).read_text())
    told["waiting"]["value"] = {"of another": "version"}
    (large.root / kept.FILE).write_text(json.dumps(told))
    forget(large)
    assert asked.waiting(large) == queue.count(large)
    (large.root / kept.FILE).write_text("{half")
    forget(large)
    assert asked.waiting(large) == queue.count(large)
    assert "waiting" in json.loads((large.root / kept.FILE).read_text())


def test_a_count_that_fails_leaves_the_old_number(large: Site) -> None:
    def fails(_site: Site) -> int:
        raise GenbaError("the store is in use")

    kept.value(large, "number", int, lambda _site: 7)
    with large.connect() as db:
        add_correction(db, add_pair(db, add_image(db, 60), "部品 60"), "ok")
    assert kept.value(large, "number", int, fails) == 7
    settled(large, 1)
    assert kept.value(large, "number", int, lambda _site: 8) == 7
    with pytest.raises(GenbaError):
        kept.value(large, "other number", int, fails)
