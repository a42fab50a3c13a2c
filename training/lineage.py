"""Which code made a model: the package's version, what git calls the checkout, and a hash of the code itself.

    code_version()      # {"version": "0.1.0", "describe": "2c2ff20-dirty", "content": "5f2d…"}

The hash answers where git does not: an installed copy, a checkout with changes that nobody committed.
"""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("data", "scoring", "annotate", "training")  # what a model's numbers depend on
GIT_SECONDS = 10


@cache
def code_version() -> dict[str, str]:
    """version ("" when not installed), describe ("" without git), content (16 hex digits of a sha256)."""
    return {"version": _package(), "describe": _describe(), "content": content_hash(ROOT)}


def _package() -> str:
    try:
        return version("genba")
    except PackageNotFoundError:
        return ""


def _describe() -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--tags"],
            capture_output=True, text=True, timeout=GIT_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):  # no git on this machine
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def content_hash(root: Path) -> str:
    """sha256 over the names and bytes of the rooms' Python files, in order of their names; 16 hex digits."""
    digest = hashlib.sha256()
    for path in sorted(path for room in ROOMS for path in (root / room).rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
