"""What Label Studio is asked about whole projects: made once, found by our key, page, photos, webhook."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotate.label_studio_wire import Connection, LabelStudioError, plain
from annotate.labeling_config import lost_by

PROJECTS_PAGE = 1000
SECRET_HEADER = "X-Genba-Secret"  # noqa: S105  (the name of the header)
HOOK_ACTIONS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED")


@dataclass(frozen=True)
class Projects(Connection):
    """The projects of one Label Studio."""

    def ensure_project(self, title: str, config: str, key: str) -> int:
        """Id of the project that carries `key` in its description, made when there is none.

        The key is ours and random: titles are not unique, and ids start again in a fresh database.
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
        return int(plain(answer)["id"])

    def find_project(self, key: str, known: int | None = None) -> int | None:
        """Id of the project with our key, or None. The oldest one, should two pushers have made one each.

        known: the id that it had the last time; then no list is read, which projects that others delete would shift.
        """
        if known is not None:
            project = self._project(known)
            if project and key in (project.get("description") or ""):
                return known
        found, page = [], 1
        while True:
            projects = self._projects(page)
            found += [int(project.id) for project in projects if key in (project.description or "")]
            if len(projects) < PROJECTS_PAGE:
                return min(found, default=None)
            page += 1

    def _projects(self, page: int) -> list[Any]:
        """One page of all projects, read without the SDK's pager: that one takes any 404 for the end."""
        pager: Any = None
        try:
            pager = self._ask(
                self.sdk.projects.list, page=page, page_size=PROJECTS_PAGE, include="id,description"
            )
        except LabelStudioError as error:
            if error.status != 404 or page == 1:
                raise
        return list(pager.items or []) if pager else []

    def _project(self, project: int) -> dict[str, Any] | None:
        return self._get(self.sdk.projects.get, project)

    def config(self, project: int) -> str:
        """The labeling config as the project has it now."""
        return str(plain(self._ask(self.sdk.projects.get, id=project)).get("label_config") or "")

    def update_config(self, project: int, config: str, was: str | None = None) -> None:
        """Give the project a new labeling config. Raises LabelStudioError (400) when answers given would not fit.

        Label Studio is asked to validate first, because its update takes changes that its own validation refuses; and
        what neither of them minds (a text field renamed or gone, another field of the task shown) is compared here.
        was: the config that people answered by, where the project has another now; default: the one it has.
        """
        lost = lost_by(was or self.config(project), config)
        if lost:
            raise LabelStudioError(f"The new labeling page has not: {', '.join(lost)}.", 400)
        self._ask(self.sdk.projects.validate_label_config, id=project, label_config=config)
        self._ask(self.sdk.projects.update, id=project, label_config=config)

    def ensure_hook(self, project: int, url: str, secret: str) -> bool:
        """Have the project tell `url` of each change of an annotation, with our secret in a header, and no details.

        Only a hint: Label Studio waits a second at most, never repeats, and nobody learns of one that was lost. Returns
        whether anything had to be done.
        """
        ours = [
            hook
            for hook in self._ask(self.sdk.webhooks.list, project=project)
            if hook.project == project and SECRET_HEADER in (hook.headers or {})
        ]
        right = [
            hook
            for hook in ours
            if hook.url == url and hook.headers[SECRET_HEADER] == secret and hook.is_active
        ]
        for hook in ours:
            if hook not in right[:1]:
                self._ask(self.sdk.webhooks.delete, id=hook.id)
        if not right:
            self._ask(
                self.sdk.webhooks.create,
                project=project,
                url=url,
                headers={SECRET_HEADER: secret},
                send_payload=False,
                send_for_all_actions=False,
                actions=list(HOOK_ACTIONS),
            )
        return ours != right[:1] or not right

    def ensure_photos(self, project: int, folder: Path) -> bool:
        """Let the project show files of `folder` as /data/local-files/?d=…; storages of an older place are removed.

        Returns whether the storage had to be made. It only grants access and is never synced: that would make a task of
        each file.
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
        return not here
