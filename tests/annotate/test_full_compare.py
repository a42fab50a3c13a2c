"""`genba sync --full`: whatever differs, in either direction, is found, mended and named, and then nothing differs."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from annotate import differences, outbox
from annotate.corrections import undo
from annotate.differences import DONE, WORDS, Difference
from annotate.hook import hook_address
from annotate.label_studio_projects import SECRET_HEADER
from annotate.labeling_config import to_result
from annotate.projects import studio_of
from annotate.sync import job, last_comparison, push, sync
from data.messages import LANGUAGES, translator
from data.site import Site
from data.store import now
from tests.annotate.conftest import RunningLabelStudio
from tests.annotate.exchange import (
    SLOTS,
    annotations,
    answer,
    disagreements,
    in_page,
    kinds,
    project_of,
    states,
    task_of,
)
from tests.annotate.sites import pair_of, rows, site_beside
from tests.annotate.test_labeling_config import page_of
from tests.conftest import genba

CAPTIONS = [f"steel bolt number {number}" for number in range(12)]


def in_step(label_studio: RunningLabelStudio) -> Site:
    """Twelve pairs with tasks; the first six are answered in the app, the seventh in Label Studio."""
    made = site_beside(label_studio, captions=CAPTIONS)
    push(made, len(CAPTIONS))
    for number in range(6):
        answer(made, number, annotator=f"person {number % 2}")
    in_page(made, 6, page_of(verdict="ok"))
    sync(made, full=True)
    assert disagreements(made) == []
    return made


@pytest.fixture
def site(label_studio: RunningLabelStudio) -> Site:
    return in_step(label_studio)


@pytest.fixture(scope="module")
def calm(label_studio: RunningLabelStudio) -> Site:
    """One for tests that leave both sides in step."""
    return in_step(label_studio)


def test_every_difference_is_found_mended_and_named(site: Site) -> None:
    studio, project = studio_of(site), project_of(site)
    config = studio.config(project)
    expected = _damage(site)
    assert disagreements(site) != []
    found = sync(site, full=True)
    assert kinds(found) == expected
    assert {one.what for one in found.differences} <= set(WORDS)
    assert {one.done for one in found.differences} <= set(DONE)
    assert disagreements(site) == [] and studio.config(project) == config
    again = sync(site, full=True)
    assert again.differences == [] and (again.sent, again.removed, again.pushed) == (0, 0, 0)
    corrections = rows(site, "SELECT old_pair_id, state, slots FROM corrections ORDER BY created_at")
    by_pair = {row["old_pair_id"]: (row["state"], row["slots"].get("count")) for row in corrections}
    wanted = {0: "active", 1: "deleted", 2: "active", 3: "active", 4: "active", 5: "withdrawn", 6: "active"}
    assert {number: by_pair[pair_of(site, number)][0] for number in wanted} == wanted
    assert by_pair[pair_of(site, 2)][1] == 4, "the edited answer counts"


def _damage(site: Site) -> dict[str, int]:
    """Spoil both sides behind each other's back; what has to be found."""
    studio, project = studio_of(site), project_of(site)
    there = {number: annotations(site, number) for number in range(7)}
    studio.sdk.tasks.delete(id=str(task_of(site, 0)))
    studio.delete_annotation(there[1][0]["id"])
    changed = to_result(site.template(), "fix", SLOTS | {"count": 4})
    studio.sdk.annotations.update(id=there[2][0]["id"], result=changed, lead_time=40.0)
    spoiled = {"pair_id": pair_of(site, 0), "image": "/static/x.jpg", "caption": "another one"}
    studio.sdk.tasks.update(id=str(task_of(site, 4)), data=spoiled)
    copy = studio.sdk.tasks.get(id=str(task_of(site, 7))).dict()["data"]
    studio.sdk.projects.import_tasks(id=project, request=[{"data": copy}] * 2)
    _replace_task(site, 6)
    studio.sdk.projects.update(id=project, label_config=studio.config(project).replace("ボルト", "ねじ"))
    for storage in studio.sdk.import_storage.local.list(project=project):
        studio.sdk.import_storage.local.delete(id=storage.id)
    for hook in studio.sdk.webhooks.list(project=project):
        studio.sdk.webhooks.delete(id=hook.id)
    pairs = {number: pair_of(site, number) for number in (3, 5, 8)}
    with site.connect() as db:
        restored = db.value("SELECT correction_id FROM corrections WHERE old_pair_id = ?", [pairs[3]])
        for table in ("outbox", "labels", "corrections"):  # as a store restored from a backup
            db.execute(f"DELETE FROM {table} WHERE correction_id = ?", [restored])
        db.execute("UPDATE corrections SET state = 'withdrawn' WHERE old_pair_id = ?", [pairs[5]])
        db.execute("DELETE FROM labels WHERE pair_id = ?", [pairs[5]])
        db.execute("DELETE FROM tasks WHERE pair_id = ?", [pairs[8]])
    return {
        "task-missing": 1, "answer-missing": 2, "answer-deleted": 1, "answer-edited": 1, "answer-new": 1,
        "answer-surplus": 1, "task-changed": 1, "task-doubled": 1, "task-moved": 2, "page": 1, "photos": 1, "hook": 1,
    }  # fmt: skip


def _replace_task(site: Site, number: int) -> None:
    """Somebody deletes an answered task and imports it again by hand: another number, no answer."""
    studio, task = studio_of(site), task_of(site, number)
    data = studio.sdk.tasks.get(id=str(task)).dict()["data"]
    studio.sdk.tasks.delete(id=str(task))
    studio.sdk.projects.import_tasks(id=project_of(site), request=[{"data": data}])


def test_the_command_tells_what_it_was(calm: Site) -> None:
    studio_of(calm).sdk.tasks.delete(id=str(task_of(calm, 0)))
    done = genba("sync", str(calm.root), "--full")
    assert done.returncode == 0, done.stderr
    assert "なくなっていたタスク: 作り直しました" in done.stdout and pair_of(calm, 0) in done.stdout
    found = genba("sync", str(calm.root), "--full", "--json").json()
    assert found["differences"] == [] and found["mended"] == 0


def test_the_job_compares_everything_when_asked_and_keeps_a_hundred(calm: Site) -> None:
    with calm.connect() as db:
        before = last_comparison(db)
    assert before is not None
    studio_of(calm).sdk.tasks.delete(id=str(task_of(calm, 1)))
    assert job(calm, {})["mended"] == 0
    found = job(calm, {"full": True})
    assert found["mended"] == 2 and json.dumps(found, default=str)
    assert {one["what"] for one in found["differences"]} == {"task-missing", "answer-missing"}
    assert all(one["pair_id"] == pair_of(calm, 1) for one in found["differences"])
    with calm.connect() as db:
        assert (last_comparison(db) or before) > before
        told = db.rows("SELECT detail FROM events WHERE what = 'label-studio.compared' ORDER BY occurred_at")
    assert told[-1]["detail"] == {"task-missing": 1, "answer-missing": 1}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_has_its_words(language: str) -> None:
    _ = translator(language)
    for text in [*WORDS.values(), *DONE.values()]:
        assert (_(text) == text) == (language == "en"), text
    many = [Difference("task-missing", "made again", f"p{number}", number + 1) for number in range(60)]
    told = differences.table(many, language)
    assert _("A task that was gone") in told and "    60  " in told and "p49" in told and "p50" not in told
    assert "10" in told.splitlines()[-1] and "--json" in told
    assert differences.table([], language) == _("The store and Label Studio agree.")


# Label Studio down


def test_an_hour_without_label_studio(label_studio: RunningLabelStudio, site: Site) -> None:
    """Really stopped and started again: staff go on, nothing is lost, afterwards both agree."""
    answer(site, 7)
    label_studio.stop()
    try:
        for number in range(8, 12):
            answer(site, number, annotator=f"person {number % 2}")
        answer(site, 8, annotator="person 0", count=3)  # changes their mind
        undo(site, answer(site, 9, annotator="person 1").correction_id, "person 1")
        answer(site, 10, annotator="Smith", verdict="ok")
        undo(site, rows(site, "SELECT * FROM corrections WHERE old_pair_id = ?", pair_of(site, 0))[0]["correction_id"],
             "person 0")  # fmt: skip
        for _ in range(3):
            with pytest.raises(outbox.LabelStudioError, match="does not answer"):
                sync(site, clock=now())
        waiting = rows(site, "SELECT attempts, last_error FROM outbox WHERE done_at IS NULL")
        assert len(waiting) >= 7 and all(row["attempts"] == 3 for row in waiting)
        assert all("does not answer" in row["last_error"] for row in waiting)
    finally:
        label_studio.start()
    found = sync(site, clock=now())
    assert (found.sent, found.failed) == (5, 0), "at once: a server that was down refused nothing"
    assert disagreements(site) == []
    assert rows(site, "SELECT DISTINCT last_error FROM outbox") == [{"last_error": None}]
    assert sorted(states(site)) == ["active"] * 10 + ["conflict"] + ["superseded"] * 2 + ["withdrawn"] * 2
    assert sync(site, full=True).differences == []


def test_what_label_studio_refuses_is_tried_less_and_less_often(calm: Site) -> None:
    """By the clock that is handed in: half a minute, a minute, two, … a quarter of an hour at most."""
    photo = Path(calm.settings.photos.roots[0]) / "7.jpg"
    kept = photo.read_bytes()
    lost = pair_of(calm, 7)
    with calm.connect() as db:
        db.execute("DELETE FROM tasks WHERE pair_id = ?", [lost])
    for copy in calm.folder("served").rglob("*.jpg"):
        copy.unlink()
    photo.unlink()
    answer(calm, 7)
    clock, tried = now(), []
    for second in range(0, 1860, 30):
        before, at = _waiting(calm), clock + timedelta(seconds=second)
        if outbox.is_due(before, at):
            assert sync(calm, clock=at).failed == 1
            tried.append(second)
            assert _waiting(calm) == {"attempts": before["attempts"] + 1, "tried_at": at}
    assert tried == [0, 30, 90, 210, 450, 930, 1830]
    assert sync(calm, clock=clock + timedelta(seconds=1860)).failed == 0, "not due"
    assert sync(calm).failed == 1, "a person who asks does not wait"
    photo.write_bytes(kept)
    assert sync(calm).sent == 1 and disagreements(calm) == []


def _waiting(site: Site) -> dict[str, Any]:
    return rows(site, "SELECT attempts, tried_at FROM outbox WHERE done_at IS NULL")[0]


# the webhook's registration


def test_the_project_has_our_webhook_once_and_no_other_is_touched(calm: Site) -> None:
    sdk, project = studio_of(calm).sdk, project_of(calm)

    def hooks() -> list[Any]:
        return [hook for hook in sdk.webhooks.list(project=project) if hook.project == project]

    [ours] = hooks()
    assert ours.url == hook_address(calm) and ours.headers == {SECRET_HEADER: calm.secret("hook")}
    assert ours.send_payload is False and ours.is_active
    other = sdk.webhooks.create(project=project, url="http://127.0.0.1:1/other", send_for_all_actions=True)
    sdk.webhooks.create(project=project, url="http://127.0.0.1:1/old", headers={SECRET_HEADER: "old"})
    assert kinds(sync(calm, full=True)) == {"hook": 1}
    assert sorted(hook.id for hook in hooks()) == sorted([ours.id, other.id])
