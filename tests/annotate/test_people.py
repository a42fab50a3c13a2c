"""Who is who, between the app's names, the sign-in's accounts and Label Studio's users. A real Label Studio."""

from __future__ import annotations

import uuid

import pytest

from annotate import people
from annotate.label_studio import LabelStudio, is_shadow, shadow_email
from annotate.projects import studio_of
from annotate.sync import pull, push, sync
from data.site import Site
from tests.annotate.conftest import RunningLabelStudio
from tests.annotate.exchange import annotations, answer, disagreements, in_page
from tests.annotate.sites import rows, site_beside
from tests.annotate.test_labeling_config import page_of

NAMES = ("佐藤 花子", "佐藤　花子", "Ōta Jirō", "O'Brien; DROP TABLE", "斎" * 150)


@pytest.fixture
def site(label_studio: RunningLabelStudio) -> Site:
    return site_beside(label_studio, captions=[f"steel bolt {number}" for number in range(8)])


@pytest.fixture
def studio(site: Site) -> LabelStudio:
    return studio_of(site)


def account(studio: LabelStudio, name: str, family: str = "") -> tuple[int, str]:
    """A person with an account of Label Studio's own."""
    email = f"{uuid.uuid4().hex[:8]}@example.com"
    made = studio.sdk.users.create(username=email, email=email, first_name=name, last_name=family)
    return int(made.id), email  # type: ignore[arg-type]


def annotators(site: Site) -> list[str]:
    sql = "SELECT annotator FROM corrections WHERE state IN ('active', 'conflict') ORDER BY created_at, annotator"
    return [row["annotator"] for row in rows(site, sql)]


def test_every_name_of_the_app_has_its_own_user_there(site: Site, studio: LabelStudio) -> None:
    for number, name in enumerate(NAMES):
        answer(site, number, annotator=name)
    assert sync(site).sent == len(NAMES)
    users = studio.users()
    there = [users[annotations(site, number)[0]["person"]] for number in range(len(NAMES))]
    kept = [" ".join(name.split()) for name in NAMES]  # white space does not make another person
    assert [user["name"] for user in there] == kept
    assert [user["email"] for user in there] == [shadow_email(name) for name in kept]
    assert all(is_shadow(user["email"]) for user in there) and there[0] == there[1]
    assert annotators(site) == kept and disagreements(site) == []


def test_two_accounts_of_one_name_are_two_people(site: Site, studio: LabelStudio) -> None:
    push(site, 8)
    answer(site, 0, annotator="佐藤 花子")
    sync(site)
    (first, mail), (second, other) = account(studio, "佐藤", "花子"), account(studio, "佐藤", "花子")
    in_page(site, 0, page_of(verdict="ok"), completed_by=first)
    in_page(site, 0, page_of(verdict="not_sure"), completed_by=second)
    assert pull(site).new == 2
    # Label Studio puts the given name first
    assert annotators(site) == ["佐藤 花子", f"佐藤 花子 ({mail})", f"佐藤 花子 ({other})"]
    assert rows(site, "SELECT state, count(*) AS n FROM corrections GROUP BY state ORDER BY state") == [
        {"state": "active", "n": 1}, {"state": "conflict", "n": 2}
    ]  # fmt: skip


def test_who_is_renamed_stays_the_same_person(site: Site, studio: LabelStudio) -> None:
    push(site, 8)
    number, _ = account(studio, "鈴木")
    in_page(site, 1, page_of(verdict="ok"), completed_by=number)
    pull(site)
    studio.sdk.users.update(id=number, first_name="高橋")
    in_page(site, 2, page_of(verdict="ok"), completed_by=number)
    pull(site)
    assert annotators(site) == ["鈴木", "鈴木"]


def test_somebody_with_an_account_answers_under_it_wherever_they_answer(
    site: Site, studio: LabelStudio
) -> None:
    """Signed in to the app and to Label Studio with one address: one person, one user."""
    number, email = account(studio, "Tanaka")
    with site.connect() as db:
        name = people.known_as(db, email.upper(), "田中 一郎")
    push(site, 8)
    in_page(site, 3, page_of(verdict="ok"), completed_by=number)
    answer(site, 4, annotator=name)
    sync(site)
    assert annotations(site, 4)[0]["person"] == number
    assert annotators(site) == ["田中 一郎", "田中 一郎"] and disagreements(site) == []


def test_names_of_accounts(site: Site) -> None:
    with site.connect() as db:
        assert people.known_as(db, "a@example.com", " 佐藤  花子 ") == "佐藤 花子"
        assert people.known_as(db, "b@example.com", "佐藤 花子") == "佐藤 花子 (b@example.com)"
        assert people.known_as(db, "A@example.com", "渡辺 花子") == "佐藤 花子", "married, renamed"
        assert people.known_as(db, "c@example.com", "") == "c@example.com"
        assert people.accounts(db)["c@example.com"] == "c@example.com"


def test_a_user_that_is_gone_keeps_what_they_answered(site: Site, studio: LabelStudio) -> None:
    push(site, 8)
    number, _ = account(studio, "退職者")
    in_page(site, 5, page_of(verdict="ok"), completed_by=number)
    sync(site)
    studio.sdk.users.delete(id=number)
    found = sync(site, full=True)
    assert found.deleted in (0, 1) and disagreements(site) == []


def test_the_signed_in_account_has_its_name(site: Site) -> None:
    assert people.known_account(site, "中村  蓮", "ren@example.com") == "中村 蓮"
    assert people.known_account(site, "中村 蓮", "other@example.com") == "中村 蓮 (other@example.com)"
    assert people.known_account(site, " 中村 蓮 ", "") == "中村 蓮"
