"""The pages of second opinions in both languages, on a real store: blind form, agreement, decisions, feedback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from annotate import adjudication, queue, reviews
from annotate.adjudication import decide
from annotate.pages.adjudicate import shuffled
from annotate.pages.since_yesterday import day_name
from annotate.since_yesterday import last_day
from data.messages import translator
from data.site import Site, init_site
from tests.annotate import sites
from tests.annotate.sites import BOLT, rows
from tests.annotate.test_adjudication import case_of
from tests.annotate.test_pages import LANGUAGES, click, rerun, show, texts
from tests.annotate.test_reviews import A, B, C, answer, multiply, review, set_review

NASTY = "**<b>Smith</b>** $x$"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Three photos; every correction is drawn."""
    (tmp_path / "photos").mkdir()
    made = init_site(tmp_path / "site", [tmp_path / "photos"], "parts", "demo")
    sites.fill(made, tmp_path / "photos", ["part 0", "part 1", "part 2"])
    return set_review(made, share=1.0)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_second_person_sees_the_form_and_nothing_of_the_first_answer(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    for number in range(3):
        answer(site, number, A)
    with site.connect() as db:
        db.insert("tasks", [{"pair_id": pair_of_number, "ls_project_id": 1, "ls_task_id": 7, "template": "parts@1",
                             "pushed_at": "2026-11-01"} for pair_of_number in reviews_of(db)])  # fmt: skip
    at = show("correct", site, language, monkeypatch, name=B)
    shown = texts(at) + " ".join(str(element.value) for element in at.text_input)
    assert "part 0" in shown and _("Caption now") in shown
    template = site.template()
    assert A not in shown and not any(template.caption(BOLT, one) in shown for one in ("ja", "en"))
    assert not at.get("link_button"), "in Label Studio the first answer stands"
    chosen = [group.value for group in at.get("button_group") if "slot-" in str(group.key)]
    assert "scratch" not in chosen and "bolt" not in chosen, "filled in from the old caption alone"
    click(at, "ok")
    assert rows(site, "SELECT reviewer, verdict, state FROM reviews WHERE answer_id IS NOT NULL") == [
        {"reviewer": B, "verdict": "ok", "state": "differs"}
    ]
    assert len(rows(site, "SELECT * FROM corrections")) == 3, "no correction of theirs"
    assert _("Saved") in texts(at), "and no word of what it was"


def reviews_of(db: Any) -> list[str]:
    return [row["pair_id"] for row in db.rows("SELECT pair_id FROM reviews")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_lead_decides_without_names_and_can_take_it_back(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    case = case_of(site, "review")
    at = show("adjudicate", site, language, monkeypatch, name=C)
    shown = texts(at)
    assert A not in shown and B not in shown, "the caption is judged, not the colleague"
    assert case.first and case.first.captions[language] in shown and case.second.captions[language] in shown
    assert _("No leads are named in genba.toml ([review] leads): anybody may decide.") in shown
    letter = next(letter for letter, decision, _side in shuffled(case) if decision == "second")
    at.text_input[0].set_value("縁に歯がある")
    click(at, f"choose-{letter}")
    assert rows(site, "SELECT annotator FROM corrections WHERE state = 'active'") == [{"annotator": B}]
    assert _("Nothing to decide") in texts(at) and "縁に歯がある" in texts(at)
    click(at, f"undo-{adjudication.history(site)[0]['adjudication_id']}")
    assert rows(site, "SELECT annotator FROM corrections WHERE state = 'active'") == [{"annotator": A}]
    assert case.second.captions[language] in texts(at), "it waits again"
    click(at, "edit")
    group = next(one for one in at.get("button_group") if str(one.key).endswith("-part"))
    group.set_value("washer")
    rerun(at)
    click(at, "choose-edited")
    found = rows(site, "SELECT annotator, slots FROM corrections WHERE state = 'active'")
    assert [(row["annotator"], row["slots"]["part"]) for row in found] == [(C, "washer")]


def test_who_is_no_lead_sees_who_is(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    case_of(set_review(site, leads=["田中"]), "conflict")
    for page in ("adjudicate", "review"):
        at = show(page, site, "en", monkeypatch, name=B)
        assert "Leads of this site: 田中" in texts(at) and not at.dataframe
        assert not [button for button in at.button if str(button.key).startswith("choose")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_agreement_by_slot_and_what_is_confused(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    at = show("review", site, language, monkeypatch)
    assert _("No second opinion yet") in texts(at)
    answer(site)
    review(site, slots={**BOLT, "defect": "crack"})
    at = show("review", site, language, monkeypatch)
    assert set(at.dataframe[0].value[_("Krippendorff's alpha")]) == {_("too few")}
    multiply(site, 10)
    at = show("review", site, language, monkeypatch)
    table = at.dataframe[0].value.set_index(_("Item"))
    template = site.template()
    defect = template.slot("defect")
    assert defect
    words = {one: option.label[language] for one in ("scratch", "crack") if (option := defect.option(one))}  # type: ignore[index]
    assert list(table[_("Answered by two")]) == [11] * len(table)
    assert table.loc[defect.label[language], _("Reads as")] == _("not reliable")  # type: ignore[index]
    assert f"{words['crack']} / {words['scratch']}" in texts(at) and _("{n} ×").format(n=11) in texts(at)
    assert _("Last 30 days") not in texts(at), "no leaderboard unless the site wants one"
    at = show("review", set_review(site, leaderboard=True), language, monkeypatch)
    assert list(at.dataframe[1].value[_("Name")]) == [B, A]


@pytest.mark.parametrize("language", LANGUAGES)
def test_feedback_is_seen_by_the_person_alone(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    case = case_of(site, "review")
    decide(site, case.case_id, "second", by=C, why=NASTY, seen=case.first_id)
    at = show("feedback", site, language, monkeypatch, name=A)
    shown = texts(at)
    assert case.first and case.first.captions[language] in shown and case.second.captions[language] in shown
    assert _("Decided differently") in shown and _("Why: {why}").format(why=NASTY) in shown
    assert B not in shown.replace(NASTY, "") and C not in shown, "who the other person was is not told"
    at = show("feedback", site, language, monkeypatch, name=C)
    assert case.first.captions[language] not in texts(at)
    assert _("You have not answered anything in the last seven days.") in texts(at)
    at = show("feedback", site, language, monkeypatch, name="")
    assert _("Who are you?") in texts(at) and case.first.captions[language] not in texts(at)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_queue_tells_what_changed_since_yesterday(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    at = show("queue", site, language, monkeypatch)
    assert not at.expander, "nothing has happened"
    case_of(site, "conflict")
    at = show("queue", site, language, monkeypatch)
    label = at.expander[0].label.replace("\\", "")
    assert (
        _("Corrections since {day}: {n}").format(day=day_name(last_day(site).since, language), n=1) in label
        and _("people: {n}").format(n=2) in label
    )
    assert (
        _("captions left: {n}").format(n=queue.count(site)) in label
        and _("to decide: {n}").format(n=1) in label
    )
    with site.connect() as db:
        assert reviews.waiting(db, C) == 1
    assert _("Second opinions that wait in the form: {n}.").format(n=1) in texts(at)
