"""A thin client of Label Studio: what the sync needs, answers as plain dicts, nothing ever retried by the SDK.

    studio = connect("http://127.0.0.1:8502", token)
    project = studio.ensure_project("Line 3 · parts v1", config, key)
    tasks = studio.push(project, items)             # {pair_id: task_id}, each pair once

The SDK repeats a POST that met a 5xx, 409 or a broken connection: an import of 10 tasks through a slow gateway made 30.
So retries are off, and whoever calls reads back what is there before sending again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from data.errors import GenbaError

if TYPE_CHECKING:
    from label_studio_sdk import LabelStudio as Sdk

Answer = TypeVar("Answer")
TIMEOUT_SECONDS = 60.0
IMPORT_TIMEOUT_SECONDS = 300.0
IMPORT_CHUNK = 200  # tasks in one import: 0.4 s on SQLite, so that another writer waits little
PAGE = 200
SHOWN_CHARACTERS = 300  # of an error's body, which can be a page of 170 KB
ANNOTATION_FIELDS = "annotations,result,completed_by,lead_time,was_cancelled,created_at,updated_by"
TASK_FIELDS = f"id,data,updated_at,{ANNOTATION_FIELDS}"


class LabelStudioError(GenbaError):
    """Label Studio did not do what was asked. `status` is the HTTP status, None when no answer came."""

    def __init__(self, what: str, status: int | None = None, next: str | None = None) -> None:
        super().__init__(what, next=next)
        self.status = status


@dataclass(frozen=True)
class LabelStudio:
    """A connection with one service account's token. Safe to share between threads."""

    url: str
    sdk: Sdk

    def check(self) -> str:
        """The server's release. Raises LabelStudioError when the address or the token is wrong."""
        self._ask(self.sdk.users.whoami)
        answer = self._ask(self.sdk.versions.get)
        return str((answer.label_studio_os_package or {}).get("version", "unknown"))

    # projects

    def ensure_project(self, title: str, config: str, key: str) -> int:
        """Id of the project that carries `key` in its description, made when there is none.

        The key is ours and random: titles are not unique, and ids start again in a fresh database. The config is
        validated first, because Label Studio accepts a change that loses answers already given.
        """
        found = self.find_project(key)
        if found is not None:
            return found
        answer = self._ask(
            self.sdk.projects.create,
            title=title[:50],
            label_config=config,
            description=f"Made by Genba. Do not change this key: {key}",
            show_skip_button=True,
            maximum_annotations=1,
        )
        return int(_plain(answer)["id"])

    def find_project(self, key: str) -> int | None:
        """Id of the project with our key, or None. The oldest one, should two pushers have made one each."""
        projects: list[Any] = self._ask(
            lambda: list(self.sdk.projects.list(page_size=100, include="id,description"))
        )
        ids = [project.id for project in projects if key in (project.description or "")]
        return min(ids, default=None)

    def update_config(self, project: int, config: str) -> None:
        """Give the project a new labeling config. Raises LabelStudioError when answers already given would not fit."""
        self._ask(self.sdk.projects.validate_label_config, id=project, label_config=config)
        self._ask(self.sdk.projects.update, id=project, label_config=config)

    def ensure_photos(self, project: int, folder: Path) -> None:
        """Let the project show files of `folder` as /data/local-files/?d=…; storages of an older place are removed.

        The storage object only grants access. It is never synced: that would make a task of each file.
        """
        here = False
        for storage in self._ask(self.sdk.import_storage.local.list, project=project):
            if storage.path == str(folder):
                here = True
            elif storage.title == "Genba":
                self._ask(self.sdk.import_storage.local.delete, id=storage.id)
        if not here:
            self._ask(
                self.sdk.import_storage.local.create,
                project=project,
                path=str(folder),
                use_blob_urls=True,
                title="Genba",
            )

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
        for pair_id, task_id, _ in self._tasks_of(project, pair_ids):
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
        self.remove_doubles(project, pair_ids)
        return self.existing(project, pair_ids)

    def settle(self, project: int, pair_ids: Sequence[str], seconds: float = 10.0) -> None:
        """Wait for an import under way: until all pairs have a task or nothing has changed for `seconds`."""
        count, since = -1, time.monotonic()
        while time.monotonic() - since < seconds:
            now = len(self.existing(project, pair_ids))
            if now >= len(set(pair_ids)):
                return
            if now != count:
                count, since = now, time.monotonic()
            time.sleep(0.25)

    def remove_doubles(self, project: int, pair_ids: Sequence[str]) -> int:
        """Delete surplus tasks of a pair, keeping the one with answers, else the oldest. Returns how many went."""
        by_pair: dict[str, list[tuple[bool, int]]] = {}
        for pair_id, task_id, answered in self._tasks_of(project, pair_ids):
            by_pair.setdefault(pair_id, []).append((not answered, task_id))
        removed = 0
        for tasks in by_pair.values():
            for unanswered, task_id in sorted(tasks)[1:]:
                if unanswered:
                    self._ask(self.sdk.tasks.delete, id=str(task_id))
                    removed += 1
        return removed

    def _tasks_of(self, project: int, pair_ids: Sequence[str]) -> Iterator[tuple[str, int, bool]]:
        for start in range(0, len(pair_ids), PAGE):
            query = _filter("data.pair_id", "in_list", "String", list(pair_ids[start : start + PAGE]))
            for task in self._page(project, query, 1, "id,data,total_annotations", page_size=10 * PAGE):
                yield str(task["data"]["pair_id"]), int(task["id"]), bool(task.get("total_annotations"))

    def has_task(self, task_id: int) -> bool:
        """Whether the task is still there."""
        return self._get(self.sdk.tasks.get, task_id) is not None

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
        return _annotation(_plain(answer))

    def annotations(self, task_id: int) -> list[dict[str, Any]] | None:
        """All annotations of a task, skipped ones too; None when the task is gone."""
        task = self._get(self.sdk.tasks.get, task_id)
        return None if task is None else [_annotation(item) for item in task.get("annotations") or []]

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

        Each: id, pair_id, updated_at, annotations (id, result, person, editor, seconds, skipped, updated_at; person and
        editor are ids of users: who gave the answer, and who saved it last). Pages by the last change seen, not by
        number: a task that changes while we read moves to the end and would shift the others.
        """
        cursor, page, seen = since or "1970-01-01T00:00:00Z", 1, set()
        while True:
            query = _filter(
                "updated_at", "greater_or_equal", "Datetime", _stamp(cursor), ordering=["tasks:updated_at"]
            )
            tasks = self._page(project, query, page, TASK_FIELDS)
            for task in tasks:
                if (task["id"], task["updated_at"]) not in seen:
                    seen.add((task["id"], task["updated_at"]))
                    yield _task(task)
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
            return [_plain(task) for task in self._ask(read)]
        except LabelStudioError as error:
            if error.status == 404 and page > 1:  # past the last page
                return []
            raise

    def _get(self, function: Callable[..., Any], number: int) -> dict[str, Any] | None:
        try:
            return _plain(self._ask(function, id=str(number)))
        except LabelStudioError as error:
            if error.status == 404:
                return None
            raise

    def _ask(self, function: Callable[..., Answer], **arguments: Any) -> Answer:
        import httpx
        from label_studio_sdk.core.api_error import ApiError

        try:
            return function(**arguments)
        except httpx.HTTPError as error:
            raise LabelStudioError(
                f"Label Studio at {self.url} does not answer ({type(error).__name__}).", next="genba up SITE"
            ) from None
        except ApiError as error:
            if error.status_code == 401:
                raise LabelStudioError(
                    f"Label Studio at {self.url} refuses the token.", 401, next="genba doctor SITE"
                ) from None
            body = json.dumps(error.body, ensure_ascii=False, default=str)[:SHOWN_CHARACTERS]
            raise LabelStudioError(
                f"Label Studio at {self.url} answered {error.status_code}: {body}", error.status_code
            ) from None


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
    return f"{hashlib.sha256(name.encode()).hexdigest()[:16]}@people.genba.local"


def photo_url(path: Path, root: Path) -> str:
    """Address of a served photo inside Label Studio; `root` is its document root."""
    return f"/data/local-files/?d={path.relative_to(root).as_posix()}"


def _filter(column: str, operator: str, kind: str, value: Any, **more: Any) -> str:
    item = {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}
    return json.dumps({"filters": {"conjunction": "and", "items": [item]}, **more})


def _stamp(moment: str) -> str:
    """The one form of a time that the filter accepts: always with microseconds."""
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _plain(answer: Any) -> dict[str, Any]:
    """The SDK's models are not validated and differ by endpoint: all become dicts, once, here."""
    return answer if isinstance(answer, dict) else json.loads(answer.json())


def _task(task: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": int(task["id"]),
        "pair_id": str((task.get("data") or {}).get("pair_id", "")),
        "updated_at": str(task["updated_at"]),
        "annotations": [_annotation(annotation) for annotation in task.get("annotations") or []],
    }


def _annotation(annotation: dict[str, Any]) -> dict[str, Any]:
    person = annotation.get("completed_by")
    return {
        "id": int(annotation["id"]),
        "result": annotation.get("result") or [],
        "person": person.get("id") if isinstance(person, dict) else person,
        "editor": annotation.get("updated_by"),
        "seconds": float(annotation.get("lead_time") or 0.0),
        "skipped": bool(annotation.get("was_cancelled")),
        "updated_at": str(annotation.get("updated_at") or annotation.get("created_at") or ""),
    }
