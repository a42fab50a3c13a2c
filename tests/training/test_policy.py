"""When a retraining starts by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from data.errors import GenbaError
from data.settings import RetrainSection
from training.policy import Standing, decide, last_due

NOW = datetime(2026, 11, 25, 3, 30)  # a Wednesday
LONG_AGO = NOW - timedelta(days=30)


def at(fixed: int = 0, last: datetime | None = None, active: bool = False) -> Standing:
    return Standing(fixed, last, LONG_AGO, active)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("fixed", "due"), [(0, False), (99, False), (100, True), (250, True)])
def test_after_so_many_corrections(fixed: int, due: bool) -> None:
    found = decide(RetrainSection(after_corrections=100), at(fixed), NOW)
    assert found.due is due
    assert f"{fixed} captions were fixed" in found.why or not due


def test_never_by_itself_unless_asked() -> None:
    assert not decide(RetrainSection(), at(5000), NOW).due


def test_not_while_one_is_waiting_or_running() -> None:
    found = decide(RetrainSection(after_corrections=10), at(50, active=True), NOW)
    assert not found.due and "running" in found.why


@pytest.mark.parametrize(
    ("last", "due"),
    [
        (None, True),  # never: the last date since the site was made counts
        (NOW - timedelta(hours=1), True),  # 02:30, before three o'clock
        (NOW - timedelta(minutes=10), False),  # 03:20, after it
        (NOW - timedelta(days=3), True),  # the machine was off at three: made up for
    ],
)
def test_on_a_schedule(last: datetime | None, due: bool) -> None:
    assert decide(RetrainSection(schedule="0 3 * * *"), at(1, last), NOW).due is due


def test_on_a_schedule_only_when_something_was_fixed() -> None:
    found = decide(RetrainSection(schedule="0 3 * * *"), at(0), NOW)
    assert not found.due and "nothing was fixed" in found.why


def test_a_new_site_waits_for_its_first_date() -> None:
    new = Standing(5, None, NOW - timedelta(minutes=5), False)
    assert not decide(RetrainSection(schedule="0 3 * * *"), new, NOW).due


def test_either_rule_is_enough() -> None:
    both = RetrainSection(schedule="0 3 * * *", after_corrections=100)
    assert decide(both, at(100, NOW), NOW).due
    assert decide(both, at(1, LONG_AGO), NOW).due
    assert not decide(both, at(1, NOW), NOW).due


def test_dates_are_by_the_machines_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    assert last_due("0 3 * * 6", NOW) == datetime(2026, 11, 21, 3, 0)  # Saturday
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    assert last_due("0 3 * * *", NOW) == datetime(2026, 11, 24, 18, 0)  # three in the morning in Japan


def test_a_line_that_is_no_cron_line() -> None:
    with pytest.raises(GenbaError, match=r"'every day' is not a cron line. Next: e.g. '0 3"):
        decide(RetrainSection(schedule="every day"), at(1), NOW)
