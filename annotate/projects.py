"""What stands in Label Studio for this site: one project for each template version, one task for each pair.

    with exchange(site) as open_exchange:            # one process at a time, whoever calls
        tasks = open_exchange.push(template, rows)    # {pair_id: task_id}; each pair once

A project is known by a random key in its description, which the store keeps: titles are not unique, and ids start again
in a fresh database. When the key is gone, or the newest task is, Label Studio has another database than we left it
with (fresh, restored, or deleted by somebody); what we knew of ids is forgotten, and everything is sent again.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from annotate import label_studio_server
from annotate.corrections import queue_send
from annotate.label_studio import LabelStudio, LabelStudioError, connect, photo_url, shadow_email
from annotate.labeling_config import labeling_config, prediction
from data.errors import GenbaError
from data.messages import translator
from data.served import served_copy
from data.site import Site
from data.store import Database, now
from data.templates import Template, keep_version, load_template

WAIT_SECONDS = 300.0
STATE = "label_studio"
TOKEN_VARIABLE = "GENBA_LABEL_STUDIO_TOKEN"  # noqa: S105  (the name of the variable)


def studio_of(site: Site) -> LabelStudio:
    """A client of the site's Label Studio: the embedded one, or the server of genba.toml (token: environment)."""
    section = site.settings.label_studio
    if section.mode == "embedded":
        account = label_studio_server.credentials(site.folder("label-studio"))
        return connect(label_studio_server.address(section.port), account.token)
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise GenbaError(
            f"The token of Label Studio at {section.url} is missing.",
            next=f"set {TOKEN_VARIABLE} to an access token",
        )
    return connect(section.url.rstrip("/"), token)


def studio_address(site: Site) -> str:
    """Where the site's Label Studio answers."""
    section = site.settings.label_studio
    return section.url.rstrip("/") if section.mode == "server" else label_studio_server.address(section.port)


@contextmanager
def exchange(site: Site) -> Iterator[Exchange]:
    """Everything that reads or writes both Label Studio and what we know of it happens inside one of these.

    Raises GenbaError when another process keeps exchanging for five minutes.
    """
    try:
        with FileLock(str(site.root / "label-studio.lock"), timeout=WAIT_SECONDS):
            yield Exchange(site, studio_of(site))
    except Timeout:
        raise GenbaError(
            f"Another process has been exchanging with Label Studio for {WAIT_SECONDS:.0f} seconds.",
            next=f"genba doctor {site.root}",
        ) from None


@dataclass
class Exchange:
    """The open connection, with what has been looked up so far. Made by `exchange` only."""

    site: Site
    studio: LabelStudio
    has_lost: bool = False  # Label Studio has another database than we left it with: compare everything
    unreadable: dict[str, GenbaError] = field(default_factory=dict)  # pairs whose photo cannot be shown
    _known: dict[str, dict[str, Any]] | None = None
    _projects: dict[str, int] = field(default_factory=dict)
    _templates: dict[str, Template] = field(default_factory=dict)
    _people: dict[str, int] = field(default_factory=dict)

    # projects

    def known(self) -> dict[str, dict[str, Any]]:
        """The projects so far, by template version ("parts@1"): key, id, config, photos, cursor. Read once: who holds
        the exchange is the only one who changes it."""
        if self._known is None:
            with self.site.connect() as db:
                self._known = dict(db.get_state(STATE) or {})
        return self._known

    def remember(self, version: str, **values: Any) -> dict[str, Any]:
        """Keep something about a project in the store."""
        known = self.known()
        entry = known.get(version, {}) | values
        if entry != known.get(version):
            known[version] = entry
            with self.site.connect() as db:
                db.set_state(STATE, known)
        return entry

    def project(self, template: Template) -> int:
        """Id of the template version's project; made, made again or brought up to date where needed."""
        version = version_of(template)
        if version not in self._projects:
            keep_version(template, self.site.folder("templates"))
            entry = self.known().get(version) or self.remember(version, key=secrets.token_hex(16))
            self._projects[version] = self._ensure(template, version, entry)
        return self._projects[version]

    def template(self, version: str) -> Template:
        """A template version that a project or a correction was made with."""
        if version not in self._templates:
            self._templates[version] = load_template(version, folder=self.site.folder("templates"))
        return self._templates[version]

    def _ensure(self, template: Template, version: str, entry: dict[str, Any]) -> int:
        config = labeling_config(template, self.site.settings.site.languages)
        found = self.studio.find_project(entry["key"])
        if entry.get("id") is not None and entry["id"] != found:
            self._forget(version, entry["id"])
            entry = {"key": entry["key"]}
        if found is None:
            title = f"{self.site.settings.site.name} · {version}"
            found = self.studio.ensure_project(title, config, entry["key"])
        elif entry.get("config") != _digest(config):
            self._update(found, config, version)
        photos = str(self.site.folder("served"))
        if entry.get("photos") != photos:
            self.studio.ensure_photos(found, self.site.folder("served"))
        self.remember(version, id=found, config=_digest(config), photos=photos)
        self.has_lost = self.has_lost or self._went_back(found)
        return found

    def _update(self, project: int, config: str, version: str) -> None:
        try:
            self.studio.update_config(project, config)
        except LabelStudioError as error:
            if error.status != 400:
                raise
            raise LabelStudioError(
                f"The labeling page of {version} has answers that a changed form would lose. {error.what}",
                next="raise the version in the template file",
            ) from None

    def _went_back(self, project: int) -> bool:
        """Whether the newest task that we know is gone: the database is older than our last visit."""
        with self.site.connect() as db:
            newest = db.one(
                "SELECT pair_id, ls_task_id FROM tasks WHERE ls_project_id = ? ORDER BY ls_task_id DESC LIMIT 1",
                [project],
            )
        if newest is None:
            return False
        return self.studio.existing(project, [newest["pair_id"]]) != {newest["pair_id"]: newest["ls_task_id"]}

    def _forget(self, version: str, project: int) -> None:
        """The project is gone, and every id with it: tasks are pushed again, standing corrections sent again."""
        self.has_lost = True
        name, number = version.rsplit("@", 1)
        with self.site.connect() as db:
            rows = db.rows(
                "SELECT correction_id FROM corrections "
                "WHERE template = ? AND template_version = ? AND ls_task_id IS NOT NULL",
                [name, int(number)],
            )
            for row in rows:
                send_again(db, row["correction_id"])
            db.execute("DELETE FROM tasks WHERE ls_project_id = ?", [project])
            db.event("genba", "label-studio.project-gone", {"template": version, "corrections": len(rows)})
        self.remember(version, id=None, cursor=None, photos=None)

    # people

    def person(self, name: str) -> int:
        """Id of the account that stands for an annotator."""
        if not self._people:
            self._people = {user["email"]: number for number, user in self.studio.users().items()}
        email = shadow_email(name)
        if email not in self._people:
            self._people[email] = self.studio.ensure_person(name)
        return self._people[email]

    # tasks

    def tasks(self, template: Template) -> dict[str, int]:
        """Task id of each pair that was pushed."""
        project = self.project(template)
        with self.site.connect() as db:
            rows = db.rows("SELECT pair_id, ls_task_id FROM tasks WHERE ls_project_id = ?", [project])
        return {row["pair_id"]: row["ls_task_id"] for row in rows}

    def push(self, template: Template, rows: Sequence[dict[str, Any]]) -> dict[str, int]:
        """Make a task of each pair that has none, keep the ids, return them.

        rows: pair_id, image_id, caption, language. A pair whose photo cannot be shown goes into `unreadable`.
        """
        items = []
        for row in rows:
            try:
                items.append(self._item(template, row, served_copy(self.site, row["image_id"])))
            except GenbaError as error:
                self.unreadable[row["pair_id"]] = error
        if not items:
            return {}
        project = self.project(template)
        made = self.studio.push(project, items)
        with self.site.connect() as db:
            keep_tasks(db, project, template, made)
        if len(made) < len(items):
            raise LabelStudioError(
                f"Label Studio took only {len(made)} of {len(items)} tasks.",
                next=f"genba sync {self.site.root}",
            )
        return made

    def _item(self, template: Template, row: dict[str, Any], photo: Path) -> dict[str, Any]:
        caption = row["caption"] or translator(self.site.language)("No caption yet")
        return {
            "data": {
                "pair_id": row["pair_id"],
                "image": photo_url(photo, self.site.root),
                "caption": caption,
            },
            "predictions": [prediction(template, row["caption"], row["language"])],
        }


def version_of(template: Template) -> str:
    """The name of a template version, as its kept file has it: "parts@1"."""
    return f"{template.id}@{template.version}"


def keep_tasks(db: Database, project: int, template: Template, tasks: dict[str, int]) -> None:
    """Keep the task ids of pairs."""
    db.insert(
        "tasks",
        [
            {"pair_id": pair_id, "ls_project_id": project, "ls_task_id": task_id, "template": version_of(template),
             "pushed_at": now()}
            for pair_id, task_id in tasks.items()
        ],
        on_conflict="replace",
    )  # fmt: skip


def stand(db: Database, correction_id: str, task: int, annotation: dict[str, Any]) -> None:
    """Keep where a correction stands in Label Studio, and since when."""
    db.execute(
        "UPDATE corrections SET ls_task_id = ?, ls_annotation_id = ?, ls_updated_at = ? WHERE correction_id = ?",
        [task, annotation["id"], annotation["updated_at"], correction_id],
    )


def send_again(db: Database, correction_id: str) -> None:
    """Forget where a correction stood in Label Studio; when it still stands, it goes into the outbox again."""
    db.execute(
        "UPDATE corrections SET ls_task_id = NULL, ls_annotation_id = NULL, ls_updated_at = NULL "
        "WHERE correction_id = ?",
        [correction_id],
    )
    state = db.value("SELECT state FROM corrections WHERE correction_id = ?", [correction_id])
    if state in ("active", "conflict"):
        queue_send(db, correction_id, "create")


def _digest(config: str) -> str:
    return hashlib.sha256(config.encode()).hexdigest()[:16]
