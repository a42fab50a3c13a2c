"""What Label Studio 1.23 and its SDK do to those who trust them, and that it does not happen to us. A real server."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from typing import Any

import pytest
from label_studio_sdk import LabelStudio as Sdk
from label_studio_sdk.core.api_error import ApiError

from annotate import label_studio as client
from annotate import label_studio_server, outbox
from annotate.label_studio import LabelStudio, LabelStudioError, connect
from annotate.labeling_config import to_result
from annotate.projects import studio_of
from annotate.sync import push, sync
from data.settings import set_value
from data.site import Site
from tests.annotate.conftest import HOSTILE, RunningLabelStudio
from tests.annotate.exchange import (
    SLOTS,
    annotations,
    answer,
    disagreements,
    in_page,
    kinds,
    project_of,
    task_of,
)
from tests.annotate.gateway import gateway
from tests.annotate.sites import pair_of, rows, site_beside
from tests.annotate.test_label_studio import CONFIG, items
from tests.annotate.test_labeling_config import page_of, region
from tests.conftest import CHECKOUT

WITH_NOTE = CONFIG.replace("</View>", '<TextArea name="note" toName="img"/></View>')


@pytest.fixture
def site(label_studio: RunningLabelStudio) -> Site:
    return site_beside(label_studio)


@pytest.fixture
def studio(label_studio: RunningLabelStudio) -> LabelStudio:
    return label_studio.client()


@pytest.fixture
def project(studio: LabelStudio) -> int:
    return studio.ensure_project("A test", CONFIG, uuid.uuid4().hex)


def names(count: int) -> list[str]:
    return [f"p{number}" for number in range(count)]


def pairs_there(studio: LabelStudio, project: int) -> list[str]:
    return sorted(task["pair_id"] for task in studio.changed_since(project, None))


def imports_answer_504(method: str, path: str) -> str:
    return "504" if method == "POST" and "/import" in path else "pass"


# imports


def test_the_sdk_triples_an_import_behind_a_slow_gateway_and_we_do_not(
    label_studio: RunningLabelStudio, studio: LabelStudio, project: int
) -> None:
    with gateway(label_studio.url, imports_answer_504) as at:
        ours = connect(at.url, label_studio.account.token).push(project, items(*names(10)))
        assert at.count("POST", "/import") == 1 and sorted(ours) == names(10)
        assert pairs_there(studio, project) == names(10)
        trusting = studio.ensure_project("Trusting", CONFIG, uuid.uuid4().hex)
        with pytest.raises(ApiError):
            Sdk(base_url=at.url, api_key=label_studio.account.token).projects.import_tasks(
                id=trusting, request=items(*names(10))
            )
        assert len(pairs_there(studio, trusting)) == 30, "the fact: look again whether we still need the care"


@pytest.mark.parametrize("trouble", ["cut", "drop", "late"])
def test_an_import_whose_outcome_nobody_told_is_read_back(
    label_studio: RunningLabelStudio, studio: LabelStudio, project: int, trouble: str, monkeypatch: Any
) -> None:
    """Connection lost after or before the server had it; no answer in time although the server goes on."""
    monkeypatch.setattr(client, "IMPORT_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(client, "SETTLE_SECONDS", 1.0)
    with gateway(label_studio.url) as at:
        at.rule = lambda method, path: trouble if method == "POST" and "/import" in path else "pass"
        through = connect(at.url, label_studio.account.token)
        first = through.push(project, items(*names(6)))
        assert sorted(first) == ([] if trouble == "drop" else names(6))
        at.rule = lambda method, path: "pass"
        assert sorted(through.push(project, items(*names(6)))) == names(6)
    assert pairs_there(studio, project) == names(6)


def test_an_answer_whose_response_is_lost_is_there_once(site: Site, label_studio: RunningLabelStudio) -> None:
    made = answer(site)
    push(site, 4)
    with gateway(label_studio.url) as at:
        at.rule = lambda method, path: "cut" if method == "POST" and "/annotations" in path else "pass"
        set_value(site.settings_path, "label_studio", "port", at.port)
        with pytest.raises(LabelStudioError, match="does not answer"):
            sync(Site.open(site.root))
        assert at.count("POST", "/annotations") == 1
    set_value(site.settings_path, "label_studio", "port", label_studio.port)
    assert rows(site, "SELECT attempts FROM outbox") == [{"attempts": 1}]
    assert sync(site).sent == 1 and len(annotations(site)) == 1 and disagreements(site) == []
    assert rows(site, "SELECT correction_id FROM corrections") == [{"correction_id": made.correction_id}]


# pages and configs


def test_a_change_of_the_page_that_loses_something_is_refused(studio: LabelStudio) -> None:
    """Label Studio minds neither a text field that goes or gets another name, nor another field of the task."""
    changes = {
        "note": WITH_NOTE.replace('<TextArea name="note" toName="img"/>', ""),
        "remark": WITH_NOTE.replace('name="note"', 'name="remark"'),
        "field": WITH_NOTE.replace('value="$image"', 'value="$picture"'),
    }
    for what, config in changes.items():
        project = studio.ensure_project("Notes", WITH_NOTE, uuid.uuid4().hex)
        data = [{"data": one["data"] | {"picture": "/static/x.jpg"}} for one in items("a")]
        task = studio.push(project, data)["a"]
        note = {"from_name": "note", "to_name": "img", "type": "textarea", "value": {"text": ["seen"]}}
        studio.submit(task, [note], studio.ensure_person("田中"), str(uuid.uuid4()), 1.0, False)
        with pytest.raises(LabelStudioError, match=r"note \(TextArea\)|\$image"):
            studio.update_config(project, config)
        assert studio.config(project) == WITH_NOTE
        studio.sdk.projects.validate_label_config(id=project, label_config=config)
        studio.sdk.projects.update(id=project, label_config=config)
        assert studio.config(project) == config, f"the fact: Label Studio takes it ({what})"


def test_one_bogus_annotation_blocks_new_pages_but_not_the_exchange(site: Site) -> None:
    studio = studio_of(site)
    push(site, 4)
    bogus = in_page(site, 1, [*page_of(verdict="ok"), region("bogus", "choices", {"choices": ["x"]})])
    old = studio.config(project_of(site))
    set_value(site.settings_path, "site", "languages", ["en"])
    english = Site.open(site.root)
    with pytest.raises(LabelStudioError, match="bogus"):
        studio.update_config(project_of(site), old.replace('value="ボルト"', 'value="bolt"'))
    answer(english)
    found = sync(english)
    assert (found.sent, found.refused) == (1, 1) and studio.config(project_of(site)) == old
    sync(english)
    kept = rows(site, "SELECT detail FROM events WHERE what = 'label-studio.page-kept'")
    assert len(kept) == 1 and "bogus" in kept[0]["detail"]["why"], "told once"
    assert kinds(sync(english, full=True)) == {"answer-refused": 1, "page": 1}
    studio.delete_annotation(bogus)
    sync(english, full=True)
    assert "ボルト" not in studio.config(project_of(site)) and disagreements(english) == []


# reading


def test_a_project_that_vanishes_while_it_is_read_is_no_short_list(
    studio: LabelStudio, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 3)
    studio.push(project, items(*names(10)))
    reading = studio.changed_since(project, None)
    trusting = iter(studio.sdk.tasks.list(project=project, page_size=3))
    next(reading), next(trusting)
    studio.sdk.projects.delete(id=project)
    with pytest.raises(LabelStudioError):
        list(reading)
    assert len(list(trusting)) < 9, "the fact: the SDK's own list just ends"


def test_answers_follow_into_a_new_project_although_the_old_one_has_taken_them(site: Site) -> None:
    """Label Studio takes a unique id once in all projects; here our project is hidden, not gone, with its answers."""
    push(site, 4)
    answer(site, 0)
    answer(site, 1, annotator="Smith", verdict="ok")
    sync(site)
    studio, old = studio_of(site), project_of(site)
    studio.sdk.projects.update(id=old, description="somebody has tidied up")
    found = sync(site)
    assert kinds(found)["project"] == 1 and project_of(site) != old
    assert len(annotations(site, 0)) == len(annotations(site, 1)) == 1 and disagreements(site) == []


def test_an_answer_on_a_double_that_stays_is_found(site: Site) -> None:
    """It was sent to one of two tasks of its pair, and we were killed before we knew."""
    push(site, 1)
    made = answer(site, 3)  # the missing caption is first
    studio, pair = studio_of(site), pair_of(site, 3)
    task = studio.sdk.tasks.get(id=str(task_of(site, 3))).dict()
    studio.sdk.projects.import_tasks(id=project_of(site), request=[{"data": task["data"]}])
    other = max(number for _, number, _ in studio.tasks_of(project_of(site), [pair]))
    unique = outbox.unique_id(f"{project_of(site)}:{made.correction_id}")
    result = to_result(site.template(), "fix", made.slots, made.correction_id)
    studio.submit(other, result, studio.ensure_person("佐藤"), unique, 20.5, False)
    assert sync(site).failed == 0
    sync(site, full=True)
    assert disagreements(site) == [] and len(studio.annotations(other) or []) == 1


def test_an_answer_edited_before_we_knew_that_it_had_arrived(site: Site) -> None:
    """Sent, then we were killed; in Label Studio somebody changes it and its mark goes."""
    push(site, 4)
    made = answer(site)
    studio = studio_of(site)
    unique = outbox.unique_id(f"{project_of(site)}:{made.correction_id}")
    there = studio.submit(
        task_of(site, 0), page_of(**(SLOTS | {"count": 5})), studio.ensure_person("佐藤"), unique, 30.0, False
    )
    assert there is not None
    assert sync(site).failed == 0
    sync(site)
    active = rows(site, "SELECT slots FROM corrections WHERE state = 'active'")
    assert [row["slots"]["count"] for row in active] == [5] and disagreements(site) == []


# the server


def test_it_may_call_this_machine_and_no_other_private_one(studio: LabelStudio, project: int) -> None:
    studio.ensure_hook(project, "http://127.0.0.1:1/hooks/label-studio", "s")
    for host in ("10.0.0.1", "192.168.1.1", "169.254.169.254", "172.16.0.1", "0.0.0.0"):  # noqa: S104
        with pytest.raises(LabelStudioError) as refused:
            studio.ensure_hook(project, f"http://{host}/hooks/label-studio", "s")
        assert refused.value.status in (400, 403)


def test_nothing_is_reported_to_its_makers(label_studio: RunningLabelStudio) -> None:
    """In a process that runs under the server's environment, inside a caller's that asks for reports."""
    code = (
        "import django; django.setup(); import sentry_sdk; from django.conf import settings; "
        "print(sentry_sdk.get_client().is_active(), settings.COLLECT_ANALYTICS, settings.FRONTEND_SENTRY_DSN or None)"
    )
    environment = {
        **label_studio.environment(), "SECRET_KEY": label_studio.account.secret_key,
        "PYTHONPATH": label_studio.packages(),
        **label_studio_server.environment(label_studio.folder, label_studio.port),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split()[-3:] == ["False", "False", "None"], done.stderr[-2000:]


def test_a_caller_with_a_dollar_in_its_secret_key_changes_nothing(label_studio: RunningLabelStudio) -> None:
    """The running server was started by such a caller (conftest), and by another's SENTRY_DSN, HOST and DEBUG."""
    assert HOSTILE["SECRET_KEY"].startswith("$")
    before = label_studio.client().sdk.users.whoami().email
    label_studio.stop()
    label_studio.start()
    assert label_studio.client().sdk.users.whoami().email == before
    assert not (label_studio.folder / ".env").exists(), "no key of Label Studio's own making"


def test_a_stopped_server_is_told_apart_from_a_refusal(label_studio: RunningLabelStudio, site: Site) -> None:
    with gateway(f"http://127.0.0.1:{label_studio.port}") as at:
        at.rule = lambda method, path: "drop"
        began = time.monotonic()
        with pytest.raises(LabelStudioError) as down:
            connect(at.url, label_studio.account.token).check()
        assert outbox.is_down(down.value) and time.monotonic() - began < 5 and len(at.seen) == 1
