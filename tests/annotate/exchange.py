"""What tests of the exchange share: answers on either side, and a comparison of both that is not the product's own."""

from __future__ import annotations

import json
import multiprocessing
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Any

from annotate.corrections import submit
from annotate.labeling_config import from_result, mark_of
from annotate.projects import studio_address, studio_of
from annotate.sync import Synced
from data.site import Site
from tests.annotate.sites import BOLT, pair_of, rows

SLOTS = {key: BOLT[key] for key in BOLT}


def answer(site: Site, number: int = 0, annotator: str = "佐藤", verdict: str = "fix", **changed: Any) -> Any:
    """An answer of the app."""
    return submit(
        site,
        pair_id=pair_of(site, number),
        annotator=annotator,
        verdict=verdict,
        slots=SLOTS | changed if verdict == "fix" else {},
        active_seconds=20.5,
    )


def version_of_site(site: Site) -> str:
    template = site.template()
    return f"{template.id}@{template.version}"


def project_of(site: Site) -> int:
    known = rows(site, "SELECT value FROM state WHERE key = 'label_studio'")[0]["value"]
    return int(known[version_of_site(site)]["id"])


def task_of(site: Site, number: int) -> int:
    found = rows(site, "SELECT ls_task_id FROM tasks WHERE pair_id = ?", pair_of(site, number))
    return int(found[0]["ls_task_id"])


def annotations(site: Site, number: int = 0) -> list[dict[str, Any]]:
    """What Label Studio holds for a photo's pair, whatever the store believes."""
    studio, pair_id = studio_of(site), pair_of(site, number)
    task = studio.existing(project_of(site), [pair_id]).get(pair_id)
    return (studio.annotations(task) or []) if task else []


def in_page(site: Site, number: int, result: list[dict[str, Any]], seconds: float = 12.0, **more: Any) -> int:
    """Answer as Label Studio's own page does: the signed-in account's annotation, without id or mark of ours."""
    made = studio_of(site).sdk.annotations.create(
        id=task_of(site, number), result=result, lead_time=seconds, **more
    )
    return int(made.id)  # type: ignore[arg-type]


def states(site: Site) -> list[str]:
    sql = "SELECT state FROM corrections ORDER BY created_at, supersedes NULLS FIRST"
    return [row["state"] for row in rows(site, sql)]


def kinds(found: Synced) -> dict[str, int]:
    """How many differences of each kind."""
    return dict(Counter(one.what for one in found.differences))


def everything_there(site: Site, project: int) -> list[dict[str, Any]]:
    """All tasks of a project with their annotations, asked over plain HTTP."""
    token, tasks, page = studio_of(site).sdk._client_wrapper.get_headers()["Authorization"], [], 1
    while True:
        address = (
            f"{studio_address(site)}/api/tasks?project={project}&fields=all&page={page}&page_size=500"
            "&include=id,data,annotations,result,completed_by,was_cancelled"
        )
        request = urllib.request.Request(address, headers={"Authorization": token})
        with urllib.request.urlopen(request, timeout=120) as given:
            found = json.load(given)
        tasks += found["tasks"]
        if len(tasks) >= found["total"]:
            return tasks
        page += 1


def disagreements(site: Site) -> list[str]:
    """What the store and Label Studio do not agree on, one line each; [] when both hold exactly the same."""
    said, waiting = [], rows(site, "SELECT * FROM outbox WHERE done_at IS NULL")
    said += [f"waits: {row['correction_id']} {row['action']} {row['last_error']}" for row in waiting]
    standing = rows(site, "SELECT * FROM corrections WHERE state IN ('active', 'conflict')")
    known = rows(site, "SELECT value FROM state WHERE key = 'label_studio'")
    for version, entry in (known[0]["value"] if known else {}).items():
        there = everything_there(site, entry["id"])
        mine = [row for row in standing if f"{row['template']}@{row['template_version']}" == version]
        said += _answers_disagree(site, there, mine)
        ours = {row["pair_id"]: row["ls_task_id"] for row in rows(site, "SELECT * FROM tasks WHERE ls_project_id = ?",
                                                                  entry["id"])}  # fmt: skip
        theirs = Counter(task["data"].get("pair_id", "") for task in there)
        said += [f"pair {pair_id} has {n} tasks" for pair_id, n in theirs.items() if n > 1]
        if ours != {task["data"].get("pair_id", ""): task["id"] for task in there}:
            said.append(f"tasks differ: {len(ours)} here, {len(there)} there")
    return said


def _answers_disagree(site: Site, there: list[dict[str, Any]], standing: list[dict[str, Any]]) -> list[str]:
    said, template = [], site.template()
    by_id = {one["id"]: (task, one) for task in there for one in task["annotations"]}
    marks = Counter(mark_of(one["result"]) for _, one in by_id.values())
    for row in standing:
        name = f"{row['correction_id']} of {row['annotator']}"
        if row["ls_annotation_id"] not in by_id:
            said.append(f"{name} is not there")
            continue
        task, one = by_id.pop(row["ls_annotation_id"])
        if task["id"] != row["ls_task_id"] or task["data"]["pair_id"] != row["old_pair_id"]:
            said.append(f"{name} stands at another task")
        given = ("not_sure", {}) if one["was_cancelled"] else from_result(template, one["result"])
        if given != (row["verdict"], row["slots"]):
            said.append(f"{name} says {row['verdict']} {row['slots']} here and {given} there")
    said += [f"annotation {number} of task {task['id']} is nobody's" for number, (task, _) in by_id.items()]
    return said + [f"{mark} is there {n} times" for mark, n in marks.items() if mark and n > 1]


def in_child(work: Callable[[], object]) -> multiprocessing.Process:
    """A process of its own that does this; made by fork, so that it starts in a moment."""
    child = multiprocessing.get_context("fork").Process(target=work, daemon=True)
    child.start()
    return child  # type: ignore[return-value]
