"""A thin client of Label Studio: what the sync needs, answers as plain dicts, nothing ever retried by the SDK.

    studio = connect("http://127.0.0.1:8502", token)
    project = studio.ensure_project("Line 3 · parts v1", config, key)
    tasks = studio.push(project, items)             # {pair_id: task_id}, each pair once

The SDK repeats a POST that met a 5xx, 409 or a broken connection: an import of 10 tasks through a slow gateway made 30.
So retries are off, and whoever calls reads back what is there before sending again. What concerns whole projects stands
in label_studio_projects.py, how to ask and what comes back in label_studio_wire.py.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotate.label_studio_projects import Projects
from annotate.label_studio_wire import (
    TASK_FIELDS,
    LabelStudioError,
    annotation_of,
    filter_of,
    plain,
    stamp,
    task_of,
)

TIMEOUT_SECONDS = 60.0
IMPORT_TIMEOUT_SECONDS = 300.0
IMPORT_CHUNK = 200  # tasks in one import: 0.4 s on SQLite, so that another writer waits little
PAGE = 200
SETTLE_SECONDS = 10.0
SHADOWS = "people.genba.local"


@dataclass(frozen=True)
class LabelStudio(Projects):
    """A connection with one service account's token. Safe to share between threads."""

    def check(self) -> str:
        """The server's release. Raises LabelStudioError when the address or the token is wrong."""
        self._ask(self.sdk.users.whoami)
        answer = self._ask(self.sdk.versions.get)
        return str((answer.label_studio_os_package or {}).get("version", "unknown"))

    # people

    def users(self) -> dict[int, dict[str, Any]]:
        """Everybody with an account, by id: email, name."""
        return {
            int(user.id): {
                "email": user.email,
                "name": f"{user.first_name or ''} {user.last_name or ''}".strip() or user.email,
            }
            for user in self._ask(self.sdk.users.list)
        }

    def ensure_person(self, name: str) -> int:
        """Id of the account that stands for an annotator. It has no password: nobody can sign in with it."""
        email = shadow_email(name)
        for user_id, user in self.users().items():
            if user["email"] == email:
                return user_id
        return int(self._ask(self.sdk.users.create, username=email, email=email, first_name=name[:150]).id)

    # tasks

    def existing(self, project: int, pair_ids: Sequence[str]) -> dict[str, int]:
        """Task id of each of these pairs that has a task (the oldest one, should there be two)."""
        found: dict[str, int] = {}
        for pair_id, task_id, _ in self.tasks_of(project, pair_ids):
            found[pair_id] = min(task_id, found.get(pair_id, task_id))
        return found

    def push(self, project: int, items: Sequence[dict[str, Any]]) -> dict[str, int]:
        """Make a task of each item that has none; return the task id of each pair. Call it from one process at a time.

        items: {"data": {"pair_id": …, "image": …}, "predictions": […]}. An import whose outcome is unknown (timeout,
        connection lost) is waited for and read back, never repeated blindly.
        """
        tasks: dict[str, int] = {}
        for start in range(0, len(items), IMPORT_CHUNK):
            chunk = {item["data"]["pair_id"]: item for item in items[start : start + IMPORT_CHUNK]}
            have = self.existing(project, list(chunk))
            missing = [item for pair_id, item in chunk.items() if pair_id not in have]
            if missing:
                have = self._import(project, missing, list(chunk))
            tasks.update(have)
        return tasks

    def _import(self, project: int, missing: list[dict[str, Any]], pair_ids: list[str]) -> dict[str, int]:
        try:
            self._ask(
                self.sdk.projects.import_tasks,
                id=project,
                request=missing,
                request_options={"max_retries": 0, "timeout": IMPORT_TIMEOUT_SECONDS},
            )
        except LabelStudioError as error:
            if error.status is not None and error.status < 500:
                raise
            self.settle(project, pair_ids)  # the server may still be at it
        return self._keep_one(project, pair_ids)[0]

    def settle(self, project: int, pair_ids: Sequence[str]) -> None:
        """Wait for an import under way: until all pairs have a task or nothing has changed for ten seconds."""
        count, since = -1, time.monotonic()
        while time.monotonic() - since < SETTLE_SECONDS:
            now = len(self.existing(project, pair_ids))
            if now >= len(set(pair_ids)):
                return
            if now != count:
                count, since = now, time.monotonic()
            time.sleep(0.25)

    def remove_doubles(self, project: int, pair_ids: Sequence[str]) -> int:
        """Delete surplus tasks of a pair, keeping those with answers, else the oldest. Returns how many went."""
        return self._keep_one(project, pair_ids)[1]

    def _keep_one(self, project: int, pair_ids: Sequence[str]) -> tuple[dict[str, int], int]:
        """The task of each pair after surplus ones were deleted, and how many that were."""
        by_pair: dict[str, list[tuple[bool, int]]] = {}
        for pair_id, task_id, answered in self.tasks_of(project, pair_ids):
            by_pair.setdefault(pair_id, []).append((not answered, task_id))
        removed = 0
        for tasks in by_pair.values():
            for unanswered, task_id in sorted(tasks)[1:]:
                if unanswered:
                    self._ask(self.sdk.tasks.delete, id=str(task_id))
                    removed += 1
        return {pair_id: min(tasks)[1] for pair_id, tasks in by_pair.items()}, removed

    def tasks_of(self, project: int, pair_ids: Sequence[str]) -> Iterator[tuple[str, int, bool]]:
        """(pair, task, whether it has answers) of every task of these pairs, several of a pair where there are."""
        for start in range(0, len(pair_ids), PAGE):
            query = filter_of("data.pair_id", "in_list", "String", list(pair_ids[start : start + PAGE]))
            for task in self._page(project, query, 1, "id,data,total_annotations", page_size=10 * PAGE):
                yield str(task["data"]["pair_id"]), int(task["id"]), bool(task.get("total_annotations"))

    def has_task(self, task_id: int) -> bool:
        """Whether the task is still there."""
        return self._get(self.sdk.tasks.get, str(task_id)) is not None

    def restore(self, task_id: int, data: dict[str, Any]) -> None:
        """Give a task all its data again, whatever somebody made of it."""
        self._ask(self.sdk.tasks.update, id=str(task_id), data=data)

    def propose(self, task_id: int, prediction: dict[str, Any]) -> None:
        """Replace what the form of a task begins with. Killed in between it has nothing: call it again."""
        for old in self._ask(self.sdk.predictions.list, task=task_id):
            self._ask(self.sdk.predictions.delete, id=old.id)
        self._ask(self.sdk.predictions.create, task=task_id, **prediction)

    # annotations

    def submit(
        self,
        task_id: int,
        result: list[dict[str, Any]],
        person: int,
        unique_id: str,
        seconds: float,
        skipped: bool,
    ) -> dict[str, Any] | None:
        """Send an annotation in a person's name; None when one with this `unique_id` (a UUID) is there already."""
        try:
            answer = self._ask(
                self.sdk.annotations.create,
                id=task_id,
                result=result,
                completed_by=person,
                lead_time=seconds,
                unique_id=unique_id,
                was_cancelled=skipped,
            )
        except LabelStudioError as error:
            if error.status == 409:
                return None
            raise
        return annotation_of(plain(answer))

    def annotations(self, task_id: int) -> list[dict[str, Any]] | None:
        """All annotations of a task, skipped ones too; None when the task is gone."""
        task = self._get(self.sdk.tasks.get, str(task_id))
        return None if task is None else [annotation_of(item) for item in task.get("annotations") or []]

    def delete_annotation(self, annotation_id: int) -> bool:
        """Delete an annotation; False when it was gone already."""
        try:
            self._ask(self.sdk.annotations.delete, id=annotation_id)
        except LabelStudioError as error:
            if error.status == 404:
                return False
            raise
        return True

    def changed_since(self, project: int, since: str | None) -> Iterator[dict[str, Any]]:
        """Tasks changed at or after `since` (ISO, the server's clock; None: all), oldest change first.

        Each: id, pair_id, data, updated_at, annotations (id, result, person, editor, seconds, skipped, updated_at;
        person and editor are ids of users: who gave the answer, and who saved it last). Pages by the last change seen,
        not by number: a task that changes while we read moves to the end and would shift the others.
        """
        cursor, page, seen = since or "1970-01-01T00:00:00Z", 1, set()
        while True:
            query = filter_of(
                "updated_at", "greater_or_equal", "Datetime", stamp(cursor), ordering=["tasks:updated_at"]
            )
            tasks = self._page(project, query, page, TASK_FIELDS)
            for task in tasks:
                if (task["id"], task["updated_at"]) not in seen:
                    seen.add((task["id"], task["updated_at"]))
                    yield task_of(task)
            if len(tasks) < PAGE:
                return
            last = str(tasks[-1]["updated_at"])
            cursor, page = (cursor, page + 1) if last == cursor else (last, 1)

    def _page(
        self, project: int, query: str, page: int, include: str, page_size: int = PAGE
    ) -> list[dict[str, Any]]:
        def read() -> list[Any]:
            pager: Any = self.sdk.tasks.list(
                project=project, query=query, page=page, page_size=page_size, include=include, fields="all"
            )
            return pager.items or []

        try:
            return [plain(task) for task in self._ask(read)]
        except LabelStudioError as error:
            if error.status == 404 and page > 1 and self._project(project):  # past the last page
                return []
            raise


def connect(url: str, token: str) -> LabelStudio:
    """A client; nothing is sent yet. A proxy of the environment is not used for an address on this machine."""
    import httpx
    from label_studio_sdk import LabelStudio as Sdk

    host = httpx.URL(url).host
    http = httpx.Client(trust_env=host not in ("127.0.0.1", "localhost", "::1"), timeout=TIMEOUT_SECONDS)
    return LabelStudio(
        url, Sdk(base_url=url, api_key=token, httpx_client=http, timeout=TIMEOUT_SECONDS, max_retries=0)
    )


def shadow_email(name: str) -> str:
    """E-mail of the account that stands for an annotator: made of the name alone, whatever script it is in."""
    return f"{hashlib.sha256(name.encode()).hexdigest()[:16]}@{SHADOWS}"


def is_shadow(email: str) -> bool:
    """Whether the account stands for an annotator, and nobody signs in with it."""
    return email.endswith(f"@{SHADOWS}")


def photo_url(path: Path, root: Path) -> str:
    """Address of a served photo inside Label Studio; `root` is its document root."""
    return f"/data/local-files/?d={path.relative_to(root).as_posix()}"
