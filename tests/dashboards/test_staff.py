"""The page Staff: figures counted by hand, and names that are held back where few people work."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from typing import Any

import pytest
import streamlit as st

from dashboards import staff
from data.settings import set_value
from data.site import Site
from tests.dashboards.conftest import START
from tests.dashboards.test_pages import LANGUAGES, NASTY, show, texts


def answers(
    name: str, seconds: list[float], simulated: bool = False, verdict: str = "fix"
) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "simulated": simulated,
            "verdict": verdict,
            "seconds": one,
            "given_at": START + timedelta(hours=n),
        }
        for n, one in enumerate(seconds)
    ]


def agreed(name: str, right: int, wrong: int) -> list[dict[str, Any]]:
    return [{"name": name, "simulated": False, "agreed": n < right} for n in range(right + wrong)]


def test_few_people_are_put_together() -> None:
    rows = [
        *answers("佐藤", [10, 20, 30]),
        *answers("Smith", [40], verdict="ok"),
        *answers("crew-1", [5], simulated=True),
    ]
    found = staff.counted(rows, agreed("佐藤", 4, 1), show_names=False, zone=UTC)
    people, crew = found.people
    assert found.is_pooled and (people.name, people.people, people.answers, people.fixed) == (None, 2, 4, 3)
    assert (people.low_seconds, people.median_seconds, people.high_seconds) == (17.5, 25, 32.5)
    assert people.hours == pytest.approx(100 / 3600)
    assert (people.reviewed, people.agreed) == (5, pytest.approx(0.8))
    assert (crew.name, crew.simulated, crew.reviewed, crew.agreed) == (None, True, 0, None)
    assert found.days == {(date(2026, 11, 16), False): 4, (date(2026, 11, 16), True): 1}


def test_five_people_are_shown_by_name_and_fewer_where_it_is_allowed() -> None:
    five = [row for n in range(5) for row in answers(f"p{n}", [10.0] * (n + 1))]
    found = staff.counted(five, agreed("p4", 2, 2), show_names=False)
    assert [one.name for one in found.people] == ["p4", "p3", "p2", "p1", "p0"] and not found.is_pooled
    assert (found.people[0].reviewed, found.people[0].agreed) == (4, None)  # too few to say
    two = staff.counted(answers("a", [1]) + answers("b", [2, 3]), [], show_names=True)
    assert [one.name for one in two.people] == ["b", "a"]


def test_the_learning_curve_goes_by_each_persons_own_answers() -> None:
    rows = answers("a", [30.0] * 25 + [10.0] * 25) + answers("b", [30.0] * 25)
    first, second = staff.counted(rows, [], show_names=False).curve
    assert (first.first, first.last, first.answers, first.median_seconds) == (1, 25, 50, 30)
    assert (second.first, second.last, second.answers, second.median_seconds) == (26, 50, 25, 10)


def test_the_queries_count_each_answer_once(worked: Site) -> None:
    found = staff.staff(worked)
    with worked.connect() as db:
        given = db.value("SELECT count(*) FROM corrections WHERE state <> 'withdrawn' AND supersedes IS NULL")
    assert sum(one.answers for one in found.people) == given > 0
    assert {one.simulated for one in found.people} == {False, True}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page(worked: Site, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with worked.connect() as db:
        db.execute("UPDATE corrections SET annotator = ? WHERE NOT simulated", [NASTY])
    at = show("staff", worked, language, monkeypatch)
    assert {"ja": "担当者全員", "en": "All people"}[language] in list(at.dataframe[0].value.iloc[:, 0])
    assert NASTY not in str(at.dataframe[0].value)
    assert "show_names" in texts(at).replace("\\", "")
    set_value(worked.settings_path, "review", "show_names", True)
    st.cache_data.clear()
    at = show("staff", Site.open(worked.root), language, monkeypatch)
    assert NASTY in list(at.dataframe[0].value.iloc[:, 0])


def test_an_empty_site_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    st.cache_data.clear()
    assert "No correction yet" in texts(show("staff", site, "en", monkeypatch))
