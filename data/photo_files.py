"""Where a photo that a row names lies: under a photo root, beside the source, or nowhere that may be read."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from data.photos import PhotoError
from data.told import told


@dataclass(frozen=True)
class PhotoFile:
    """A file that may be read: `path` with links followed = roots[root] / uri."""

    path: Path
    root: int
    uri: str


@dataclass
class PhotoFinder:
    """Resolves the names in a source. `roots`: the site's photo roots; `source`: the folder that holds the source."""

    roots: list[Path]
    source: Path
    _found: dict[str, PhotoFile | PhotoError] = field(default_factory=dict)

    def find(self, name: str) -> PhotoFile:
        """Looks under each root, then beside the source, then in its images/ folder.

        Japanese names are found in either Unicode form (macOS writes the other one), and with backslashes for slashes.
        Raises PhotoError: not_found, or outside_root when the file is there but its real place lies under no root.
        """
        if name not in self._found:
            self._found[name] = self._look(name)
        found = self._found[name]
        if isinstance(found, PhotoError):
            raise found
        return found

    def _look(self, name: str) -> PhotoFile | PhotoError:
        outside: Path | None = None
        for candidate in self._candidates(name):
            if not os.path.isfile(candidate):
                continue
            path = Path(os.path.realpath(candidate))
            if not _is_text(path):
                return PhotoError(
                    "unreadable",
                    told("The name of {file} is not UTF-8: rename it.", file=repr(os.fsencode(path))),
                )
            for root, base in enumerate(self.roots):
                if path.is_relative_to(base):
                    return PhotoFile(path, root, path.relative_to(base).as_posix())
            outside = outside or path
        if outside:
            what = told(
                "{name!r} is {path}, which lies under no photo root of genba.toml.",
                name=name,
                path=str(outside),
            )
            return PhotoError("outside_root", what)
        if "://" in name:
            return PhotoError(
                "not_found", told("{name!r} is an address; photos are read from files only.", name=name)
            )
        return PhotoError(
            "not_found", told("{name!r} is neither under a photo root nor beside the source.", name=name)
        )

    def _candidates(self, name: str) -> Iterator[str]:
        spellings = dict.fromkeys(
            unicodedata.normalize(form, text)
            for text in (name, name.replace("\\", "/"))
            for form in ("NFC", "NFD")
        )
        for text in dict.fromkeys((name, *spellings)):
            for base in (*self.roots, self.source, self.source / "images"):
                yield os.path.join(base, text)  # an absolute name stands for itself


def _is_text(path: Path) -> bool:
    try:
        return bool(str(path).encode())
    except UnicodeEncodeError:
        return False
