"""Where two answers differ: a lead decides, one counts, the rest stays as history, and Label Studio follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from annotate import adjudication, corrections, queue
from annotate.adjudication import Case, decide, undo
from annotate.corrections import submit
from annotate.labeling_config import mark_of
from annotate.pages.progress import answered_today
from annotate.recent import recent
from annotate.review_feedback import feedback
from annotate.roles import has_leads, is_lead
from annotate.since_yesterday import last_day
from annotate.sync import sync
from dashboards import labour
from data.errors import GenbaError
from data.site import Site, init_site
from tests.annotate import sites
from tests.annotate.conftest import RunningLabelStudio
from tests.annotate.sites import BOLT, pair_of, rows, site_beside
from tests.annotate.test_reviews import GEAR, A, B, C, answer, review, set_review

EDITED = {**BOLT, "part": "washer"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Three photos; every correction is drawn."""
    (tmp_path / "photos").mkdir()
    made = init_site(tmp_path / "site", [tmp_path / "photos"], "parts", "demo")
    sites.fill(made, tmp_path / "photos", ["part 0", "part 1", "part 2"])
    return set_review(made, share=1.0)


def case_of(site: Site, kind: str) -> Case:
    """A says bolt, B says gear: at the same time, or one after the other blind."""
    answer(site)
    if kind == "conflict":
        answer(site, 0, B, slots=GEAR)
    else:
        review(site, 0, B, slots=GEAR)
    (case,) = adjudication.cases(site)
    assert case.kind == kind and case.differing == ["part"] and case.first
    assert (case.first.annotator, case.second.annotator) == (A, B)
    assert case.second.captions["en"] == site.template().caption(GEAR, "en")
    return case


def settle(site: Site, case: Case, decision: str, **more: Any) -> str:
    own = {"slots": EDITED} if decision == "edited" else {}
    return decide(site, case.case_id, decision, by=C, why="縁に歯がある", seen=case.first_id, **own, **more)


def active(site: Site) -> list[dict[str, Any]]:
    return rows(site, "SELECT correction_id, annotator, slots FROM corrections WHERE state = 'active'")


def outbox(site: Site) -> dict[tuple[str, str], str]:
    """(annotator, state) -> the last that Label Studio is to do with that correction."""
    found = rows(
        site,
        "SELECT c.annotator, c.state, o.action FROM outbox o JOIN corrections c ON c.correction_id = o.correction_id "
        "ORDER BY o.queued_at",
    )
    return {(row["annotator"], row["state"]): row["action"] for row in found}


def check_consistent(site: Site) -> None:
    """Labels stand exactly for the active corrections."""
    labels = [row["correction_id"] for row in rows(site, "SELECT correction_id FROM labels")]
    assert labels == [row["correction_id"] for row in active(site)]


@pytest.mark.parametrize("kind", ["conflict", "review"])
@pytest.mark.parametrize(
    ("decision", "who", "slots"),
    [("first", A, BOLT), ("second", B, GEAR), ("edited", C, EDITED), ("both", A, BOLT)],
)
def test_a_decision_leaves_one_that_counts_and_can_be_taken_back(
    site: Site, kind: str, decision: str, who: str, slots: Any
) -> None:
    case = case_of(site, kind)
    before = rows(site, "SELECT correction_id, state, slots FROM corrections ORDER BY correction_id")
    made = settle(site, case, decision, active_seconds=30.0)
    assert [(row["annotator"], row["slots"]) for row in active(site)] == [(who, slots)]
    check_consistent(site)
    assert adjudication.cases(site) == []
    told = outbox(site)
    assert told[who, "active"] == "create"
    gone = {name for (name, state) in told if state == "superseded"}
    assert gone == {A, B} - {who} - ({B} if kind == "review" else set())
    assert all(told[name, "superseded"] == "delete" for name in gone)
    (row,) = adjudication.history(site)
    assert (row["decision"], row["decided_by"], row["why"], row["can_undo"]) == (
        decision,
        C,
        "縁に歯がある",
        True,
    )
    assert row["result_id"] == active(site)[0]["correction_id"]
    kept = rows(
        site, "SELECT slots FROM corrections UNION ALL SELECT slots FROM reviews WHERE slots IS NOT NULL"
    )
    assert {row["slots"]["part"] for row in kept} >= {"bolt", "gear"}, "both are history"
    with site.connect() as db:
        spent = labour.seconds(db)
        assert spent["lead", False] == 30.0
        assert spent.get(("review", False), 0.0) == (20.0 if kind == "review" else 0.0)
    undo(site, made, C)
    undo(site, made, C)
    after = rows(site, "SELECT correction_id, state, slots FROM corrections ORDER BY correction_id")
    assert [row for row in after if row["state"] != "withdrawn"] == before
    check_consistent(site)
    assert [one.case_id for one in adjudication.cases(site)] == [case.case_id], "it waits again"
    assert [row["state"] for row in adjudication.history(site)] == ["undone"]
    assert outbox(site)[A, "active"] == "create" and (
        "superseded" not in {state for _, state in outbox(site)}
    )


def test_what_has_changed_meanwhile_is_not_decided(site: Site) -> None:
    case = case_of(site, "conflict")
    answer(site, slots={**BOLT, "count": 3})
    with pytest.raises(GenbaError, match="look at it again"):
        settle(site, case, "second")
    made = settle(site, adjudication.cases(site)[0], "second")
    with pytest.raises(GenbaError, match="decided meanwhile"):
        settle(site, case, "first")
    answer(site, 0, B, slots=EDITED)
    with pytest.raises(GenbaError, match="Another answer counts"):
        undo(site, made, C)


def test_a_conflict_whose_first_answer_was_taken_back(site: Site) -> None:
    case_of(site, "conflict")
    corrections.undo(site, active(site)[0]["correction_id"], A)
    (case,) = adjudication.cases(site)
    assert case.first is None
    with pytest.raises(GenbaError, match="taken back"):
        settle(site, case, "both")
    made = settle(site, case, "second")
    assert [row["annotator"] for row in active(site)] == [B]
    undo(site, made, C)
    assert active(site) == [] and len(adjudication.cases(site)) == 1
    check_consistent(site)


def test_only_leads_decide_and_without_any_everybody_may(site: Site) -> None:
    assert not has_leads(site) and is_lead(site, A)
    led = set_review(site, leads=["田中  太郎"])
    assert has_leads(led) and is_lead(led, " 田中 太郎") and not is_lead(led, A)
    case = case_of(led, "review")
    with pytest.raises(GenbaError, match="may not decide"):
        decide(led, case.case_id, "first", by=A, seen=case.first_id)
    made = decide(led, case.case_id, "first", by="田中 太郎", seen=case.first_id)
    with pytest.raises(GenbaError, match="may not decide"):
        undo(led, made, A)


def test_feedback_tells_the_decision_to_both_and_to_nobody_else(site: Site) -> None:
    settle(site, case_of(site, "review"), "second")
    mine, theirs, other = (feedback(site, who) for who in (A, B, C))
    (example,) = mine.examples
    assert (mine.reviewed, mine.differed, mine.open) == (1, 1, 0)
    assert (example.own.slots, example.decided.slots, example.why) == (BOLT, GEAR, "縁に歯がある")
    assert example.differing == ["part"] and not example.both_fine
    assert [one.differing for one in theirs.examples] == [[]], "the second person's answer stood"
    assert other.examples == [] and other.reviewed == 0


def test_since_yesterday_counts_what_happened(site: Site) -> None:
    assert last_day(site).is_quiet
    case = case_of(site, "review")
    answer(site, 1, A, simulated=True)
    with site.connect() as db:
        db.execute("UPDATE outbox SET last_error = 'down'")
        db.execute("UPDATE corrections SET created_at = created_at - INTERVAL 2 DAY WHERE simulated")
        for found in ({}, {"answer": 2}):
            db.event("genba", "label-studio.compared", found)
    day = last_day(site)
    assert (day.corrections, day.people, day.reviewed, day.differed, day.to_decide) == (1, 2, 1, 1, 1)
    assert day.problems == 1, "a comparison that found nothing is none"
    assert day.unsent == 2 and day.has_problem and not day.is_quiet
    settle(site, case, "both")
    assert last_day(site).to_decide == 0


def test_label_studio_follows_a_decision_and_its_undoing(label_studio: RunningLabelStudio) -> None:
    site = site_beside(label_studio)
    first = submit(site, pair_id=pair_of(site, 0), annotator=A, verdict="fix", slots=BOLT, active_seconds=9)
    second = submit(site, pair_id=pair_of(site, 0), annotator=B, verdict="fix", slots=GEAR, active_seconds=9)
    assert second.state == "conflict"

    def there() -> set[str | None]:
        sync(site)
        task = rows(site, "SELECT ls_task_id FROM tasks WHERE pair_id = ?", pair_of(site, 0))[0]["ls_task_id"]
        found = label_studio.client().annotations(task) or []
        return {mark_of(one["result"]) for one in found}

    both = {first.correction_id, second.correction_id}
    assert there() == both
    (case,) = adjudication.cases(site)
    made = decide(site, case.case_id, "second", by=C, seen=case.first_id)
    assert there() == {second.correction_id}
    undo(site, made, by=C)
    assert there() == both, "made again there under the same id"
    assert len(adjudication.cases(site)) == 1 and queue.count(site) == len(sites.CAPTIONS) - 1
    made = decide(site, case.case_id, "edited", by=C, slots=EDITED, seen=case.first_id)
    assert there() == {active(site)[0]["correction_id"]}
    undo(site, made, by=C)  # before the sync: nothing is sent twice
    decide(site, case.case_id, "first", by=C, seen=case.first_id)
    assert there() == {first.correction_id}
    assert there() == {first.correction_id} and len(active(site)) == 1, "and it stays so"


@pytest.mark.parametrize(
    ("kind", "decision"), [("review", "second"), ("review", "first"), ("conflict", "second")]
)
def test_nobody_takes_back_what_a_lead_has_decided(site: Site, kind: str, decision: str) -> None:
    """Else the pair would have no answer at all, while both people are told that the decision stands."""
    made = settle(site, case_of(site, kind), decision)
    (row,) = active(site)
    with pytest.raises(GenbaError, match="lead has decided"):
        corrections.undo(site, row["correction_id"], row["annotator"])
    assert active(site) == [row]
    assert row["correction_id"] not in {one["correction_id"] for one in recent(site, row["annotator"])}
    assert answered_today(site, A) == (0 if kind == "conflict" else int(decision == "first"))
    assert answered_today(site, B) == 1 if decision == "second" else kind == "review"
    undo(site, made, C)
    assert answered_today(site, A) == 1
    corrections.undo(site, active(site)[0]["correction_id"], A)
