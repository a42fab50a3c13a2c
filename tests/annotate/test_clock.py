"""The labour clock: a browser's own seconds, never more than the wall clock gives."""

from __future__ import annotations

import pytest

from annotate.clock import KEPT, ActiveClock
from annotate.form import IDLE_SECONDS


@pytest.fixture
def clock() -> ActiveClock:
    made = ActiveClock()
    made.begin("form", at=1000.0)
    return made


def test_without_a_report_nothing_is_known(clock: ActiveClock) -> None:
    assert clock.seconds("form", at=1010.0) is None
    assert clock.seconds("another", at=1010.0) is None


def test_what_the_browser_counted_and_the_time_since(clock: ActiveClock) -> None:
    assert clock.report("form", 7.0, False, at=1010.0)
    assert clock.seconds("form", at=1013.0) == 10.0
    assert clock.seconds("form", at=1900.0) == 7.0 + IDLE_SECONDS, "a pause counts as a minute at most"


def test_a_window_without_the_focus_counts_nothing(clock: ActiveClock) -> None:
    clock.report("form", 7.0, True, at=1010.0)
    assert clock.seconds("form", at=1050.0) == 7.0
    clock.report("form", 7.0, False, at=1050.0)
    assert clock.seconds("form", at=1052.0) == 9.0


def test_nobody_gets_more_than_has_passed(clock: ActiveClock) -> None:
    clock.report("form", 9999.0, False, at=1010.0)
    assert clock.seconds("form", at=1010.0) == 10.0
    clock.report("form", 10030.0, False, at=1020.0)
    assert clock.seconds("form", at=1020.0) == 20.0
    clock.report("form", -5.0, False, at=1020.0)
    assert clock.seconds("form", at=1020.0) == 20.0


def test_only_forms_that_are_shown_are_listened_to(clock: ActiveClock) -> None:
    assert not clock.report("stranger", 5.0, False, at=1001.0)
    clock.end("form")
    assert not clock.report("form", 5.0, False, at=1010.0) and clock.seconds("form", at=1010.0) is None


def test_the_oldest_forms_are_forgotten(clock: ActiveClock) -> None:
    for number in range(KEPT):
        clock.begin(f"form {number}", at=2000.0)
    assert not clock.report("form", 1.0, False, at=2001.0)
    assert clock.report(f"form {KEPT - 1}", 1.0, False, at=2001.0)
