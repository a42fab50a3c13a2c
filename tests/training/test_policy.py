"""When a retraining starts by itself, and how that is said."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from data.messages import LANGUAGES, catalogue
from data.settings_retrain import RetrainSection
from training.policy import Audited, Standing, decide
from training.policy_words import sentences

NOW = datetime(2026, 11, 25, 3, 30)  # a Wednesday
LONG_AGO = NOW - timedelta(days=30)


def at(
    fixed: int = 0, last: datetime | None = None, active: bool = False, audited: Audited | None = None
) -> Standing:
    return Standing(fixed, last, LONG_AGO, active, audited)


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
    assert found.due is due and found.met == (("corrections",) if due else ())
    assert f"{fixed} captions were fixed" in " ".join(sentences(found, "en")) or not due


def test_never_by_itself_unless_asked() -> None:
    assert not decide(RetrainSection(), at(5000), NOW).due


def test_not_while_one_is_waiting_or_running() -> None:
    found = decide(RetrainSection(after_corrections=10), at(50, active=True), NOW)
    assert (found.state, found.at) == ("active", None) and not found.due


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
    assert (found.state, found.at) == ("waits", NOW.replace(day=26, hour=3, minute=0))
    assert "if a caption is fixed by then" in " ".join(sentences(found, "en"))


def test_a_new_site_waits_for_its_first_date() -> None:
    new = Standing(5, None, NOW - timedelta(minutes=5), False)
    assert not decide(RetrainSection(schedule="0 3 * * *"), new, NOW).due


def test_either_rule_is_enough() -> None:
    both = RetrainSection(schedule="0 3 * * *", after_corrections=100)
    assert decide(both, at(100, NOW), NOW).due
    assert decide(both, at(1, LONG_AGO), NOW).due
    assert not decide(both, at(1, NOW), NOW).due


@pytest.mark.parametrize(
    ("audited", "due"),
    [
        (None, False),  # nobody has audited
        (Audited(0.20, 0.16), False),  # a fifth of it
        (Audited(0.20, 0.15), True),  # a quarter
        (Audited(0.20, 0.0), True),
        (Audited(0.0, 0.0), False),  # nothing was bad
    ],
)
def test_when_the_audited_error_fell(audited: Audited | None, due: bool) -> None:
    found = decide(RetrainSection(after_error_fell=0.25), at(30, audited=audited), NOW)
    assert found.due is due and found.met == (("error",) if due else ())


def test_hours_in_which_none_starts() -> None:
    """NOW is 03:30. What is due is held until the hours are over; what is planned for them comes after them."""
    rules = RetrainSection(after_corrections=10, no_start_between="22:00-06:00")
    held = decide(rules, at(10), NOW)
    assert (held.state, held.at, held.met) == ("held", NOW.replace(hour=6, minute=0), ("corrections",))
    assert decide(rules, at(10), NOW.replace(hour=6, minute=0)).due
    assert decide(rules, at(10), NOW.replace(hour=21, minute=59)).due
    assert decide(rules, at(10), NOW.replace(hour=22)).at == NOW.replace(day=26, hour=6, minute=0)
    planned = RetrainSection(schedule="0 23 * * *", no_start_between="22:00-06:00")
    waits = decide(planned, at(1, NOW), NOW)
    assert (waits.state, waits.at) == ("waits", NOW.replace(day=26, hour=6, minute=0))


CASES = {
    "due": (RetrainSection(after_corrections=100, after_error_fell=0.25, schedule="0 3 * * *"),
            at(120, LONG_AGO, audited=Audited(0.2, 0.1))),
    "held": (RetrainSection(after_corrections=100, no_start_between="00:00-06:00"), at(120)),
    "active": (RetrainSection(), at(5, active=True)),
    "waits": (RetrainSection(after_corrections=1000, after_error_fell=0.5, schedule="0 3 * * *"),
              at(120, NOW, audited=Audited(0.2, 0.18))),
    "waits for an audit": (RetrainSection(after_error_fell=0.5, schedule="0 3 * * *"), at(0, NOW)),
    "never": (RetrainSection(), at(5)),
}  # fmt: skip
SAID = {
    "due": ["starts now", "120 captions were fixed since the last retraining; the rule asks for 100",
            "fell from 20.0 % of all the site's captions at the last retraining to 10.0 %, by 50.0 % of that; the rule "
            "asks for 25.0 %", "schedule 0 3 * * *"],
    "held": ["The next retraining starts at Nov 25, 2026, 6:00", "Between 00:00 and 06:00 none starts"],
    "active": ["waits or runs now"],
    "waits": ["after 880 more fixed captions: 120 of 1,000",
              "10.0 % or less of all the site's captions; by today's audit they are 18.0 %, and at the last retraining "
              "they were 20.0 %",
              "It starts at Nov 26, 2026, 3:00"],
    "waits for an audit": ["waits for an audit with answers", "if a caption is fixed by then"],
    "never": ["no rule is set"],
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_is_said_in_both_languages(case: str) -> None:
    rules, standing = CASES[case]
    found = decide(rules, standing, NOW)
    assert found.state == case.split(maxsplit=1)[0]
    told = {language: " ".join(sentences(found, language)) for language in LANGUAGES}
    english = told["en"].replace("\u202f", " ")
    assert [words for words in SAID[case] if words not in english] == []
    assert len(sentences(found, "ja")) == len(sentences(found, "en"))
    left = [text for text in catalogue("ja") if text in told["ja"] and text.isascii() and len(text) > 12]
    assert left == []  # no English sentence on a Japanese page
