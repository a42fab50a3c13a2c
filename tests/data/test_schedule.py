"""Cron lines and hours of the day, by this machine's clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import GenbaError
from data.schedule import Hours, last_due, next_due
from data.settings import settings_from

NOON = datetime(2026, 11, 25, 12, 0)  # a Wednesday


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_the_date_before_and_the_date_after() -> None:
    assert last_due("0 3 * * 6", NOON) == datetime(2026, 11, 21, 3, 0)
    assert next_due("0 3 * * 6", NOON) == datetime(2026, 11, 28, 3, 0)


def test_by_the_machines_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")  # it is 21:00 there
    time.tzset()
    assert next_due("0 3 * * *", NOON) == datetime(2026, 11, 25, 18, 0)
    assert NOON in Hours.parse("20:00-22:00")
    assert Hours.parse("20:00-06:00").ends(NOON) == datetime(2026, 11, 25, 21, 0)


@pytest.mark.parametrize(
    ("hours", "ends"),
    [
        ("08:00-18:00", datetime(2026, 11, 25, 18, 0)),
        ("12:00-12:30", datetime(2026, 11, 25, 12, 30)),  # its first minute belongs to it
        ("08:00-12:00", None),  # and its last does not
        ("22:00-06:00", None),
        ("11:00-06:00", datetime(2026, 11, 26, 6, 0)),
        ("13:00-12:30", datetime(2026, 11, 25, 12, 30)),
    ],
)
def test_when_a_span_is_over(hours: str, ends: datetime | None) -> None:
    assert Hours.parse(hours).ends(NOON) == ends


@given(st.integers(0, 1439), st.integers(0, 1439), st.integers(0, 1439))
def test_a_span_is_over_when_it_says(start: int, end: int, at: int) -> None:
    if start == end:
        return
    moment = datetime(2026, 11, 25) + timedelta(minutes=at)
    hours = Hours.parse(f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}")
    ends = hours.ends(moment)
    minutes = {(start + n) % 1440 for n in range((end - start) % 1440)}  # the slow way
    assert (ends is not None) == (at in minutes)
    if ends:
        assert moment < ends <= moment + timedelta(days=1)
        assert ends not in hours and ends - timedelta(minutes=1) in hours


@pytest.mark.parametrize(
    ("section", "key", "value", "told"),
    [
        ("retrain", "schedule", "every day", "is not a cron line"),
        ("retrain", "schedule", "0 0 30 2 *", "is not a cron line"),  # 30 February never comes
        ("retrain", "no_start_between", "8-18", "is not a span of hours"),
        ("retrain", "no_start_between", "08:00-08:00", "is not a span of hours"),
        ("retrain", "no_start_between", "25:00-26:00", "is not a span of hours"),
        ("retrain", "after_error_fell", 1.0, "less than 1"),
        ("worker", "watch_schedule", "*/10", "is not a cron line"),
        ("worker", "queue", "rabbitmq://x", "pattern"),
    ],
)
def test_what_cannot_be_read_is_an_error_of_the_settings(
    section: str, key: str, value: object, told: str
) -> None:
    raw = {"site": {"name": "x", "template": "parts", "encoder": "demo"}, "photos": {"roots": ["/p"]}}
    with pytest.raises(GenbaError, match=told):
        settings_from({**raw, section: {key: value}}, "genba.toml")
