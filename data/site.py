"""A site: one folder that holds everything but the photos. `Site.open(folder)` is the first line of every verb."""

from __future__ import annotations

import os
import secrets
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from data import store
from data.errors import GenbaError
from data.settings import Language, Settings, load_settings, settings_from, write_settings
from data.settings_retrain import RetrainSection

if TYPE_CHECKING:
    from data.templates import Template

SUBFOLDERS = ("vectors", "snapshots", "runs", "models", "templates", "served", "label-studio", "logs")
WORK = ("vectors", "snapshots", "runs", "models", "served")  # those that hold what the store knows of


@dataclass(frozen=True)
class Site:
    """An opened site. Cheap to make: no connection is held, settings are read on first use."""

    root: Path

    @classmethod
    def open(cls, folder: str | Path) -> Site:
        """Raises GenbaError when the folder is no site or its settings are wrong."""
        site = cls(Path(folder).resolve())
        site.settings  # noqa: B018  (validates now, so that every verb fails before it starts)
        return site

    @cached_property
    def settings(self) -> Settings:
        return load_settings(self.settings_path)

    @property
    def settings_path(self) -> Path:
        return self.root / "genba.toml"

    @property
    def language(self) -> str:
        """The default language of what staff see."""
        return self.settings.site.languages[0]

    def folder(self, name: str) -> Path:
        """One of SUBFOLDERS, made when it is not there."""
        if name not in SUBFOLDERS:
            raise ValueError(f"a site has no folder {name!r}; it has {SUBFOLDERS}")
        path = self.root / name
        path.mkdir(exist_ok=True)
        return path

    def connect(self, within: store.Database | None = None) -> AbstractContextManager[store.Database]:
        """One short transaction on the store; see data/store.py. within: one that is open already, which goes on."""
        if within is not None:
            return nullcontext(within)
        path = self.root / "genba.duckdb"
        if not path.exists():
            self._require_unused(path)
        return store.connect(path)

    def _require_unused(self, path: Path) -> None:
        """A new store is for a new site: where one was opened before (its lock is there) and work lies in the folders,
        it has been lost, and a site that looks new would hide that."""
        used = [name for name in WORK if any((self.root / name).glob("*"))]
        if used and path.with_suffix(".lock").exists():
            raise GenbaError(
                f"{path} is gone, but the site has been worked on: {', '.join(used)} are not empty.",
                next=f"put {path.name} back, or unpack the last backup beside the site: tar -xzf BACKUP.tar.gz",
            )

    def photo_path(self, root: int, uri: str) -> Path:
        """The file of a photo. Raises GenbaError when the path would leave its root."""
        roots = self.settings.photos.roots
        if not 0 <= root < len(roots):
            raise GenbaError(f"Photo root {root} is not in {self.settings_path}.", choices=roots)
        base = Path(roots[root]).resolve()
        path = (base / uri).resolve()
        if not path.is_relative_to(base):
            raise GenbaError(f"The photo {uri!r} lies outside its root {base}.")
        return path

    def template(self) -> Template:
        """The site's template in its newest version."""
        from data.templates import load_template

        return load_template(self.settings.site.template, folder=self.root / "templates")

    def encoder_id(self) -> str:
        """The encoder in use: the promoted model's, else the base encoder of genba.toml.

        A promoted model stands as `local-dir:models/ID`, relative to the site, so that a copied site works.
        """
        with self.connect() as db:
            champion = db.value("SELECT encoder FROM models WHERE state = 'champion'")
        return str(champion) if champion else self.settings.site.encoder

    def queue_encoder(self, within: store.Database | None = None) -> str:
        """The encoder whose scores rank the queue: the last one that has scored the whole site.

        After a promotion this is the old one until the new one's scores are there, so that the queue never runs empty.
        """
        with self.connect(within) as db:
            scored = db.get_state("scored_encoder")
        return str(scored) if scored else self.settings.site.encoder

    def secret(self, name: str) -> str:
        """A random hex secret of this site, made on first use, in a file that only its owner can read."""
        path = self.root / f".{name}.secret"
        if not path.exists():
            temporary = self.root / f".{name}.{os.getpid()}.{secrets.token_hex(4)}"
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
            with suppress(FileExistsError):  # another process was first: its secret counts
                os.link(temporary, path)
            temporary.unlink()
        return path.read_text(encoding="ascii")


def init_site(
    folder: str | Path,
    photos: list[str | Path],
    template: str,
    encoder: str,
    languages: list[Language] | None = None,
    name: str | None = None,
    demo: bool = False,
    web_port: int = 8501,
    label_studio_port: int = 8502,
    retrain: RetrainSection | None = None,
) -> Site:
    """Make a new site. Refuses a folder that is not empty and photo roots that are not folders."""
    from data.templates import load_template

    root = Path(folder).resolve()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise GenbaError(
            f"{root} is not an empty folder, so nothing was written.", next="choose another folder"
        )
    roots = [Path(photo).resolve() for photo in photos]
    for photo_root in roots:
        if not photo_root.is_dir():
            raise GenbaError(
                f"The photo folder {photo_root} does not exist.", next="genba init SITE --photos DIR"
            )
        if root.is_relative_to(photo_root) and root != photo_root and not demo:
            raise GenbaError(f"The site {root} would lie inside the photo folder {photo_root}.")
    load_template(template)  # an unknown template fails before anything is written
    settings = settings_from(
        {
            "site": {"name": name or root.name, "languages": languages or ["ja", "en"], "template": template,
                     "encoder": encoder, "demo": demo},
            "photos": {"roots": [str(photo_root) for photo_root in roots]},
            "web": {"port": web_port}, "label_studio": {"port": label_studio_port},
            "retrain": (retrain or RetrainSection()).model_dump(),
        },
        str(root / "genba.toml"),
    )  # fmt: skip
    root.mkdir(parents=True, exist_ok=True)
    for subfolder in SUBFOLDERS:
        (root / subfolder).mkdir(exist_ok=True)
    with store.connect(root / "genba.duckdb") as db:
        db.event("genba", "site.created", {"template": template, "encoder": encoder})
    write_settings(root / "genba.toml", settings)  # last: its presence means that the site is complete
    return Site.open(root)
