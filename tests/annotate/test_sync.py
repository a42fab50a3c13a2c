"""The store and a real Label Studio in step: nothing lost, nothing twice, whatever is killed, edited or deleted."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from filelock import FileLock

from annotate import projects, queue
from annotate.corrections import undo
from annotate.label_studio import LabelStudio
from annotate.labeling_config import VERDICT, from_result, to_result
from annotate.projects import studio_of
from annotate.sync import pull, push, sync
from data.errors import GenbaError
from data.settings import set_value
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
from tests.annotate.sites import fill, pair_of, rows, site_beside
from tests.annotate.test_labeling_config import page_of, region
from tests.conftest import CHECKOUT


@pytest.fixture
def site(label_studio: RunningLabelStudio) -> Site:
    return site_beside(label_studio)


@pytest.fixture
def studio(site: Site) -> LabelStudio:
    return studio_of(site)


def python(code: str, site: Site) -> subprocess.Popen[bytes]:
    """Another process of Genba that runs `code` with `site`."""
    start = f"from data.site import Site\nsite = Site.open({str(site.root)!r})\n"
    return subprocess.Popen([sys.executable, "-c", start + code], cwd=CHECKOUT)


# push


def test_the_top_of_the_queue_gets_tasks_once(site: Site, studio: LabelStudio) -> None:
    first, second = push(site, 3), push(site, 4)
    assert (first.pushed, first.known, first.unreadable) == (3, 0, 0)
    assert (second.pushed, second.known, second.unreadable) == (1, 3, 0)
    tasks = {task["pair_id"]: task["id"] for task in studio.changed_since(project_of(site), None)}
    assert tasks == {row["pair_id"]: row["ls_task_id"] for row in rows(site, "SELECT * FROM tasks")}
    assert set(tasks) == {row["pair_id"] for row in queue.top(site, 4)}


def test_a_task_shows_caption_and_prefilled_answers(site: Site, studio: LabelStudio) -> None:
    push(site, 4)
    task = studio.sdk.tasks.get(id=str(task_of(site, 0))).dict()
    assert task["data"]["caption"] == "トレーの上の鋼製ボルト2本、左端に軽微なキズ"
    prefilled = [*task["predictions"][0]["result"], region(VERDICT, "choices", {"choices": ["fix"]})]
    assert from_result(site.template(), prefilled) == ("fix", site.template().validate_slots(SLOTS))
    assert studio.sdk.tasks.get(id=str(task_of(site, 3))).dict()["data"]["caption"], (
        "a missing caption says so"
    )


def test_a_task_begins_with_the_draft_that_came_after_it(site: Site, studio: LabelStudio) -> None:
    push(site, 4)
    pair, task = pair_of(site, 1), task_of(site, 1)
    draft = {
        "draft_id": "d1", "pair_id": pair, "drafter": "zero-shot", "version": "3", "template": "parts",
        "template_version": site.template().version, "slots": SLOTS, "confidence": {}, "captions": {"en": "gears"},
        "quality": 0.9, "planted": False, "calibrated": True, "state": "offered", "drafted_at": now(),
    }  # fmt: skip
    with site.connect() as db:
        db.insert("drafts", [draft])

    def begins() -> list[tuple[str, float | None]]:
        return [(one.model_version, one.score) for one in studio.sdk.predictions.list(task=task)]

    assert begins() == [("parts@1 caption", None)]
    for _ in range(2):
        sync(site)
        assert begins() == [("zero-shot@3", 0.9)]
    with site.connect() as db:
        db.execute("UPDATE drafts SET state = 'withdrawn'")
    studio.sdk.tasks.delete(id=str(task_of(site, 2)))  # a task that is gone stops nobody
    sync(site)
    assert begins() == [("parts@1 caption", None)]


def test_two_pushers_at_once_make_no_doubles(
    site: Site, studio: LabelStudio, label_studio: RunningLabelStudio
) -> None:
    fill(site, Path(site.settings.photos.roots[0]), [f"caption {number}" for number in range(15)])
    code = "from annotate.sync import push\npush(site, 40)"
    pushers = [python(code, site) for _ in range(2)]
    assert [pusher.wait(timeout=120) for pusher in pushers] == [0, 0]
    pairs = [task["pair_id"] for task in studio.changed_since(project_of(site), None)]
    assert len(pairs) == len(set(pairs)) == len(rows(site, "SELECT * FROM tasks")) == queue.count(site)
    titles = [
        project.title
        for project in studio.sdk.projects.list()
        if project.title == f"{site.root.name} · parts@1"
    ]
    assert len(titles) == 1


def test_whoever_exchanges_too_long_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projects, "WAIT_SECONDS", 0.1)
    with FileLock(str(site.root / "label-studio.lock")), pytest.raises(GenbaError, match="Another process"):
        push(site, 1)


def test_a_photo_that_is_gone_stops_nobody_else(site: Site) -> None:
    (Path(site.settings.photos.roots[0]) / "1.jpg").unlink()
    found = push(site, 4)
    assert (found.pushed, found.unreadable) == (3, 1)
    answer(site, 1)
    answer(site, 2)
    done = sync(site)
    assert (done.sent, done.failed) == (1, 1)
    failed = rows(site, "SELECT attempts, last_error FROM outbox WHERE done_at IS NULL")
    assert len(failed) == 1 and failed[0]["attempts"] == 1 and "1.jpg" in failed[0]["last_error"]


def test_the_photo_shows_in_label_studio(label_studio: RunningLabelStudio) -> None:
    """The server's document root is its own site's folder, so this site is that one."""
    inner = site_beside(label_studio)
    for path in (*inner.root.glob("genba.*"), inner.root / "templates"):
        path.rename(label_studio.root / path.name)
    (label_studio.root / "logs").mkdir(exist_ok=True)
    site = Site.open(label_studio.root)
    push(site, 1)
    task = studio_of(site).sdk.tasks.get(id=str(task_of(site, 3))).dict()
    token = {"Authorization": f"Token {label_studio.account.token}"}
    with urllib.request.urlopen(
        urllib.request.Request(label_studio.url + task["data"]["image"], headers=token)
    ) as photo:
        assert photo.headers["Content-Type"] == "image/jpeg" and photo.read(2) == b"\xff\xd8"


# answers of the app go out


def test_an_answer_of_the_app_is_there_exactly_once(site: Site, studio: LabelStudio) -> None:
    made = answer(site)
    assert sync(site).sent == 1, "its task is made on the way"
    assert sync(site) == sync(site)
    found = annotations(site)
    assert len(found) == 1
    assert from_result(site.template(), found[0]["result"]) == ("fix", made.slots)
    assert studio.users()[found[0]["person"]]["name"] == "佐藤" and found[0]["seconds"] == 20.5
    row = rows(site, "SELECT * FROM corrections")[0]
    assert (row["ls_task_id"], row["ls_annotation_id"]) == (task_of(site, 0), found[0]["id"])
    assert (row["lead_time"], row["source"], row["state"]) == (None, "app", "active")
    assert rows(site, "SELECT attempts, last_error, done_at IS NULL AS waits FROM outbox") == [
        {"attempts": 0, "last_error": None, "waits": False}
    ]


def test_undone_and_replaced_answers_leave_label_studio(site: Site) -> None:
    first = answer(site)
    sync(site)
    second = answer(site, count=3)
    done = sync(site)
    assert (done.sent, done.removed) == (1, 1)
    assert [from_result(site.template(), one["result"])[1]["count"] for one in annotations(site)] == [3]
    undo(site, second.correction_id, "佐藤")
    assert sync(site).removed == 1 and annotations(site) == []
    assert states(site) == ["superseded", "withdrawn"] and pair_of(site, 0) in [
        row["pair_id"] for row in queue.top(site, 9)
    ]
    never_sent = answer(site, 1)
    undo(site, never_sent.correction_id, "佐藤")
    done = sync(site)
    assert (done.sent, done.removed, done.failed) == (0, 0, 0)
    assert rows(site, "SELECT * FROM outbox WHERE done_at IS NULL") == [] and first.state == "active"


def test_two_people_at_once_both_reach_label_studio(site: Site) -> None:
    answer(site, annotator="佐藤")
    answer(site, annotator="Smith", verdict="ok")
    assert sync(site).sent == 2 and states(site) == ["active", "conflict"]
    verdicts = sorted(from_result(site.template(), one["result"])[0] for one in annotations(site))
    assert verdicts == ["fix", "ok"] and sync(site).new == 0


# answers made in Label Studio come in


def test_an_answer_of_its_own_page_comes_back_without_what_it_hid(site: Site) -> None:
    push(site, 4)
    first = in_page(site, 0, page_of(**(SLOTS | {"defect": "none"})))
    in_page(site, 1, page_of(verdict="ok", count=1), seconds=5.0)
    in_page(site, 2, [], was_cancelled=True)
    found = pull(site)
    assert (found.new, found.refused) == (3, 0)
    row = rows(site, "SELECT * FROM corrections WHERE old_pair_id = ?", pair_of(site, 0))[0]
    assert set(row["slots"]) == set(SLOTS) - {"place", "severity"} and row["ls_annotation_id"] == first
    assert (row["source"], row["annotator"], row["simulated"]) == ("label-studio", "admin@genba.local", False)
    assert (row["active_seconds"], row["lead_time"]) == (12.0, 12.0)
    others = rows(
        site, "SELECT verdict, reason, slots FROM corrections WHERE verdict <> 'fix' ORDER BY verdict"
    )
    assert others == [
        {"verdict": "not_sure", "reason": "skipped", "slots": {}}, {"verdict": "ok", "reason": "", "slots": {}}
    ]  # fmt: skip
    captions = {row["caption"] for row in rows(site, "SELECT caption FROM pairs WHERE origin = 'correction'")}
    assert captions == {site.template().caption(row["slots"], language) for language in ("ja", "en")}
    assert [row["pair_id"] for row in queue.top(site, 9)] == [pair_of(site, 3)]
    assert rows(site, "SELECT * FROM outbox") == [], "it is there already"
    again = pull(site)
    assert (again.new, again.edited, again.deleted) == (0, 0, 0) and len(states(site)) == 3


def test_an_edit_makes_a_new_version(site: Site, studio: LabelStudio) -> None:
    push(site, 1)
    answer(site)
    sync(site)
    there = annotations(site)[0]
    result = to_result(site.template(), "fix", SLOTS | {"count": 4}, "kept by the page")
    studio.sdk.annotations.update(id=there["id"], result=result, lead_time=27.0)
    assert pull(site).edited == 1 and states(site) == ["superseded", "active"]
    new = rows(site, "SELECT * FROM corrections WHERE state = 'active'")[0]
    old = rows(site, "SELECT * FROM corrections WHERE state = 'superseded'")[0]
    assert new["slots"]["count"] == 4 and new["supersedes"] == old["correction_id"]
    assert (new["annotator"], new["source"], new["lead_time"]) == ("admin@genba.local", "label-studio", 27.0)
    assert new["active_seconds"] == pytest.approx(6.5), "only what the edit added"
    assert len(rows(site, "SELECT * FROM labels")) == 1
    studio.sdk.annotations.update(id=there["id"], result=result, lead_time=28.0)
    assert pull(site).edited == 0, "saved again without a change"
    assert sync(site).removed == 0 and len(annotations(site)) == 1


def test_a_deletion_brings_the_pair_back(site: Site, studio: LabelStudio) -> None:
    push(site, 1)
    answer(site)
    sync(site)
    studio.delete_annotation(annotations(site)[0]["id"])
    done = sync(site)
    assert done.deleted == 1 and states(site) == ["deleted"]
    assert pair_of(site, 0) in [row["pair_id"] for row in queue.top(site, 9)]
    assert rows(site, "SELECT * FROM labels") == [] and annotations(site) == []
    answer(site)
    assert sync(site).sent == 1 and states(site) == ["deleted", "active"]


def test_nonsense_is_told_once_and_stops_nobody(site: Site, studio: LabelStudio) -> None:
    push(site, 4)
    in_page(site, 0, page_of(**(SLOTS | {"part": "spaceship"})))
    in_page(site, 1, [*page_of(verdict="ok"), region("bogus", "choices", {"choices": ["x"]})])
    in_page(site, 2, page_of(verdict="ok"))
    studio.sdk.projects.import_tasks(
        id=project_of(site), request=[{"data": {"pair_id": "x", "image": "i", "caption": "c"}}]
    )
    stranger = studio.existing(project_of(site), ["x"])["x"]
    studio.sdk.annotations.create(id=stranger, result=page_of(verdict="ok"))
    found = pull(site)
    assert (found.new, found.refused) == (1, 3)
    told = [
        row["detail"]["why"]
        for row in rows(site, "SELECT detail FROM events WHERE what = 'label-studio.refused'")
    ]
    assert len(told) == 3 and all(
        any(word in why for why in told) for word in ("spaceship", "bogus", "No pair 'x'")
    )
    assert pull(site).refused == 0 and sync(site, full=True).refused == 0


def test_a_colleagues_answer_in_label_studio_is_a_conflict(site: Site) -> None:
    push(site, 4)
    answer(site)
    in_page(site, 0, page_of(verdict="ok"))
    sync(site)
    assert states(site) == ["active", "conflict"]
    assert len(annotations(site)) == 2


# Label Studio has lost something


def test_a_full_comparison_makes_deleted_tasks_again(site: Site, studio: LabelStudio) -> None:
    push(site, 4)
    answer(site, 0)
    sync(site)
    newest = max(task_of(site, number) for number in range(4))
    lost = [number for number in (0, 1, 2) if task_of(site, number) != newest]
    for number in lost:
        studio.sdk.tasks.delete(id=str(task_of(site, number)))
    assert sync(site).mended == 0, "a deletion leaves no trace to poll for"
    found = sync(site, full=True)
    answers = {"answer-missing": 1} if 0 in lost else {}
    assert kinds(found) == {"task-missing": len(lost), **answers} and found.mended == sum(
        kinds(found).values()
    )
    assert len(annotations(site)) == 1 and states(site) == ["active"]
    tasks = [task["pair_id"] for task in studio.changed_since(project_of(site), None)]
    assert sorted(tasks) == sorted(pair_of(site, number) for number in range(4))
    assert sync(site, full=True).differences == [] and disagreements(site) == []


def test_the_newest_task_gone_is_noticed_at_once(site: Site, studio: LabelStudio) -> None:
    push(site, 4)
    answer(site, 0)
    sync(site)
    for number in range(4):
        studio.sdk.tasks.delete(id=str(task_of(site, number)))
    assert sync(site).mended == 5 and len(annotations(site)) == 1


def test_doubled_tasks_are_removed_and_ids_taken_over(site: Site, studio: LabelStudio) -> None:
    push(site, 2)
    task = studio.sdk.tasks.get(id=str(task_of(site, 0))).dict()
    studio.sdk.projects.import_tasks(id=project_of(site), request=[{"data": task["data"]}] * 2)
    lost = pair_of(site, 0)
    with site.connect() as db:
        db.execute("DELETE FROM tasks WHERE pair_id = ?", [lost])
    assert kinds(sync(site, full=True)) == {"task-doubled": 1, "task-moved": 1}
    assert len(list(studio.changed_since(project_of(site), None))) == 4 and disagreements(site) == []


def test_another_database_gets_everything_again(site: Site, studio: LabelStudio) -> None:
    push(site, 4)
    answer(site, 0)
    answer(site, 1, annotator="Smith", verdict="ok")
    in_page(site, 2, page_of(verdict="not_sure"))
    sync(site)
    before, lost = states(site), project_of(site)
    studio.sdk.projects.delete(id=lost)
    sync(site)
    assert project_of(site) != lost and states(site) == before
    assert [len(annotations(site, number)) for number in range(4)] == [1, 1, 1, 0]
    assert queue.top(site, 9)[0]["pair_id"] in studio.existing(project_of(site), [pair_of(site, 3)])
    done = sync(site)
    assert (done.sent, done.new, done.edited, done.deleted, done.mended) == (0, 0, 0, 0, 0)


def test_a_database_older_than_the_answer_gets_it_again(site: Site, studio: LabelStudio) -> None:
    """As after a restored backup: the task's last change is older than our annotation, which is not there."""
    answer(site)
    sync(site)
    studio.delete_annotation(annotations(site)[0]["id"])
    with site.connect() as db:
        db.execute("UPDATE corrections SET ls_updated_at = '2999-01-01T00:00:00Z'")
    assert kinds(sync(site, full=True)) == {"answer-missing": 1}
    assert len(annotations(site)) == 1 and states(site) == ["active"]


# templates and servers


def test_a_new_version_of_the_template_is_a_new_project(label_studio: RunningLabelStudio) -> None:
    source = (CHECKOUT / "data" / "packs" / "parts.yaml").read_text(encoding="utf-8")
    own = label_studio.root / f"own-{os.urandom(4).hex()}.yaml"
    own.write_text(source, encoding="utf-8")
    site = site_beside(label_studio, template=str(own))
    push(site, 4)
    answer(site, 0)
    sync(site)
    own.write_text(source.replace("\nversion: 1", "\nversion: 2"), encoding="utf-8")
    in_page(site, 1, page_of(verdict="ok"))  # in the older project
    answer(site, 2)
    done = sync(site)
    assert (done.sent, done.new, done.pushed) == (1, 1, 1)
    versions = rows(site, "SELECT old_pair_id, template_version AS version FROM corrections ORDER BY version")
    assert sorted((row["version"], row["old_pair_id"]) for row in versions) == sorted(
        [(1, pair_of(site, 0)), (1, pair_of(site, 1)), (2, pair_of(site, 2))]
    )
    assert len({row["ls_project_id"] for row in rows(site, "SELECT ls_project_id FROM tasks")}) == 2


def test_other_languages_change_the_page(site: Site, studio: LabelStudio) -> None:
    push(site, 1)
    set_value(site.settings_path, "site", "languages", ["en"])
    push(Site.open(site.root), 1)
    config = str(studio.sdk.projects.get(id=project_of(site)).label_config)
    assert 'value="bolt"' in config and "ボルト" not in config


def test_ones_own_server_needs_its_token(
    site: Site, label_studio: RunningLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = site.settings_path.read_text().replace('mode = "embedded"', 'mode = "server"')
    site.settings_path.write_text(text.replace('url = ""', f'url = "{label_studio.url}/"'))
    server = Site.open(site.root)
    monkeypatch.delenv(projects.TOKEN_VARIABLE, raising=False)
    with pytest.raises(GenbaError, match="GENBA_LABEL_STUDIO_TOKEN"):
        push(server, 1)
    monkeypatch.setenv(projects.TOKEN_VARIABLE, label_studio.account.token)
    assert push(server, 1).pushed == 1 and projects.studio_address(server) == label_studio.url
