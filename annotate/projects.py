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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from annotate import label_studio_server, people
from annotate.corrections import queue_send
from annotate.differences import Difference
from annotate.draft_record import Draft
from annotate.drafts import best_drafts
from annotate.hook import hook_address, hook_secret
from annotate.label_studio import LabelStudio, LabelStudioError, connect, photo_url, shadow_email
from annotate.labeling_config import labeling_config, prediction
from data.errors import GenbaError
from data.messages import translator
from data.served import served_copy
from data.settings import is_loopback
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


def task_address(site: Site, project: int, task: int) -> str | None:
    """A task's page in Label Studio; None where the embedded one cannot be reached from other machines."""
    if site.settings.label_studio.mode == "embedded" and not is_loopback(site.settings.web.host):
        return None
    return f"{studio_address(site)}/projects/{project}/data?task={task}"


@contextmanager
def exchange(site: Site, is_full: bool = False) -> Iterator[Exchange]:
    """Everything that reads or writes both Label Studio and what we know of it happens inside one of these.

    is_full: nothing that we know of it is believed. Raises GenbaError when another process keeps exchanging for five
    minutes.
    """
    try:
        with FileLock(str(site.root / "label-studio.lock"), timeout=WAIT_SECONDS):
            yield Exchange(site, studio_of(site), is_full=is_full)
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
    is_full: bool = False  # believe nothing of what stands around the tasks: page, photos, webhook
    differences: list[Difference] = field(default_factory=list)  # found and mended so far
    unreadable: dict[str, GenbaError] = field(default_factory=dict)  # pairs whose photo cannot be shown
    _known: dict[str, dict[str, Any]] | None = None
    _projects: dict[str, int] = field(default_factory=dict)
    _templates: dict[str, Template] = field(default_factory=dict)
    _people: dict[str, int] = field(default_factory=dict)  # e-mail address -> user
    _own: dict[str, int] = field(default_factory=dict)  # annotator -> the user of their own account

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
        found = self.studio.find_project(entry["key"], entry.get("id"))
        if entry.get("id") is not None and entry["id"] != found:
            self._forget(version, entry["id"])
            entry = {"key": entry["key"]}
        if found is None:
            title = f"{self.site.settings.site.name} · {version}"
            found = self.studio.ensure_project(title, config, entry["key"])
            entry = self.remember(version, id=found, config=_digest(config))
        self._ensure_page(found, version, config, entry)
        self._ensure_around(found, version, entry)
        self.remember(version, id=found)
        self.has_lost = self.has_lost or self._went_back(found)
        return found

    def _ensure_page(self, project: int, version: str, config: str, entry: dict[str, Any]) -> None:
        """The labeling page as the template and the site's languages have it.

        Where Label Studio holds an answer that its page never had (anybody with a token can make one), it refuses every
        later change. Then the page stays as it is, which is told once: answers are worth more than its words.
        """
        digest = _digest(config)
        is_known = entry.get("config") == digest  # it had this page the last time
        if self.is_full:
            if self.studio.config(project) == config:
                self.remember(version, config=digest, refused=None)
                return
        elif is_known or entry.get("refused") == digest:
            return
        try:
            self.studio.update_config(project, config, config if is_known else None)
        except LabelStudioError as error:
            if error.status != 400:
                raise
            self._keep_page(version, digest, entry, str(error))
            return
        self.remember(version, config=digest, refused=None)
        if is_known:
            self.differences.append(Difference("page", "put back", version=version))

    def _keep_page(self, version: str, digest: str, entry: dict[str, Any], why: str) -> None:
        if self.is_full:
            self.differences.append(Difference("page", "left", version=version, why=why))
        if entry.get("refused") != digest:
            with self.site.connect() as db:
                db.event("Label Studio", "label-studio.page-kept", {"template": version, "why": why})
            self.remember(version, refused=digest)

    def _ensure_around(self, project: int, version: str, entry: dict[str, Any]) -> None:
        """The storage that shows the photos, and the webhook that wakes us; without the latter all works, later."""
        photos, hook = self.site.folder("served"), hook_address(self.site)
        if self.is_full or entry.get("photos") != str(photos):
            if self.studio.ensure_photos(project, photos) and entry.get("photos") == str(photos):
                self.differences.append(Difference("photos", "put back", version=version))
            self.remember(version, photos=str(photos))
        if hook is None or (entry.get("hook") == hook and not self.is_full):
            return
        try:
            if self.studio.ensure_hook(project, hook, hook_secret(self.site)) and entry.get("hook") == hook:
                self.differences.append(Difference("hook", "put back", version=version))
        except LabelStudioError as error:
            if error.status not in (400, 403):  # a server that may not call this machine
                raise
            with self.site.connect() as db:
                db.event("Label Studio", "label-studio.no-webhook", {"template": version, "why": str(error)})
        self.remember(version, hook=hook)

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
        self.differences.append(Difference("project", "made again", version=version))
        self.remember(
            version, **dict.fromkeys(("id", "config", "refused", "cursor", "photos", "hook", "unusable"))
        )

    # people

    def person(self, name: str) -> int:
        """Id of the account that stands for an annotator: their own, where they have one, else one made for it."""
        if not self._people:
            self._people = {user["email"].lower(): number for number, user in self.studio.users().items()}
            with self.site.connect() as db:
                own = {known: email for email, known in people.accounts(db).items()}
            self._own = {known: self._people[email] for known, email in own.items() if email in self._people}
        if name in self._own:
            return self._own[name]
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
        items, places = [], self._places(rows)
        drafts = best_drafts(self.site, [row["pair_id"] for row in rows])
        for row in rows:
            try:
                photo = served_copy(self.site, row["image_id"], places.get(row["image_id"]))
                items.append(self._item(template, row, photo, drafts.get(row["pair_id"])))
            except GenbaError as error:
                self.unreadable[row["pair_id"]] = error
        if not items:
            return {}
        project = self.project(template)
        made = self.studio.push(project, items)
        with self.site.connect() as db:
            keep_tasks(db, project, template, made, drafts)
        if len(made) < len(items):
            raise LabelStudioError(
                f"Label Studio took only {len(made)} of {len(items)} tasks.",
                next=f"genba sync {self.site.root}",
            )
        return made

    def propose(self, template: Template, rows: Sequence[dict[str, Any]]) -> int:
        """Let tasks begin with the draft that is offered now, where they began with another or with none.

        rows: as for `push`, all with a task. Returns how many tasks changed.
        """
        project = self.project(template)
        pair_ids = [row["pair_id"] for row in rows]
        with self.site.connect() as db:
            known = {row["pair_id"]: row for row in db.rows(
                "SELECT pair_id, ls_task_id, draft FROM tasks WHERE ls_project_id = ? AND list_contains(?, pair_id)",
                [project, pair_ids])}  # fmt: skip
            drafts = best_drafts(self.site, pair_ids, within=db)
        changed = 0
        for row in rows:
            task, draft = known[row["pair_id"]], drafts.get(row["pair_id"])
            if (task["draft"] or {}).get("draft_id") == (draft.draft_id if draft else None):
                continue
            begins = prediction(template, row["caption"], row["language"], draft)
            try:
                self.studio.propose(task["ls_task_id"], begins)
            except LabelStudioError as error:
                if error.status != 404:
                    raise
                continue  # the task was deleted there: a full comparison makes it again
            with self.site.connect() as db:
                keep_tasks(db, project, template, {row["pair_id"]: task["ls_task_id"]},
                           {row["pair_id"]: draft} if draft else None)  # fmt: skip
            changed += 1
        return changed

    def _places(self, rows: Sequence[dict[str, Any]]) -> dict[str, tuple[int, str]]:
        """Root and uri of the photos, looked up at once."""
        with self.site.connect() as db:
            found = db.rows(
                "SELECT image_id, root, uri FROM images WHERE image_id IN (SELECT unnest(?::VARCHAR[]))",
                [[row["image_id"] for row in rows]],
            )
        return {row["image_id"]: (row["root"], row["uri"]) for row in found}

    def _item(
        self, template: Template, row: dict[str, Any], photo: Path, draft: Draft | None
    ) -> dict[str, Any]:
        return {
            "data": self.data_of(row["pair_id"], row["caption"], photo),
            "predictions": [prediction(template, row["caption"], row["language"], draft)],
        }

    def data_of(self, pair_id: str, caption: str, photo: Path) -> dict[str, Any]:
        """What a task shows. photo: the served copy, which need not be there yet."""
        caption = caption or translator(self.site.language)("No caption yet")
        return {"pair_id": pair_id, "image": photo_url(photo, self.site.root), "caption": caption}


def version_of(template: Template) -> str:
    """The name of a template version, as its kept file has it: "parts@1"."""
    return f"{template.id}@{template.version}"


def keep_tasks(
    db: Database,
    project: int,
    template: Template,
    tasks: dict[str, int],
    drafts: Mapping[str, Draft] | None = None,
) -> None:
    """Keep the task ids of pairs, and the drafts that they begin with."""
    began = {pair_id: asdict(draft) for pair_id, draft in (drafts or {}).items()}
    db.insert(
        "tasks",
        [
            {"pair_id": pair_id, "ls_project_id": project, "ls_task_id": task_id, "template": version_of(template),
             "pushed_at": now(), "draft": began.get(pair_id)}
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
