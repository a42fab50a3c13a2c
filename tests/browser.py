"""A Chromium for the tests: found, or from the system's packages when root, or playwright's own download.

python -m tests.browser          installs what is missing, prints the path
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def chromium() -> str | None:
    """Path of a Chromium that is there, or None. GENBA_CHROMIUM names one."""
    named = os.environ.get("GENBA_CHROMIUM")
    found = named or next((path for path in map(shutil.which, NAMES) if path), None)
    return found or _playwrights()


def _playwrights() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def japanese_font() -> bool:
    """Whether Japanese text shows as Japanese: fontconfig knows a font for it."""
    if not shutil.which("fc-list"):
        return False
    return bool(subprocess.run(["fc-list", ":lang=ja"], capture_output=True, check=True).stdout.strip())


def install() -> str:
    """Make sure that there is a Chromium. Raises SystemExit that says what to install by hand."""
    is_debian_root = shutil.which("apt-get") and os.geteuid() == 0
    if is_debian_root and not (chromium() and japanese_font()):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=True, stdout=sys.stderr, env=environment)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-noto-cjk"],
            check=True, stdout=sys.stderr, env=environment,
        )  # fmt: skip
    elif not chromium():
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    path = chromium()
    if path is None:
        raise SystemExit(
            "No Chromium found. Install one (Debian: apt-get install chromium) or set GENBA_CHROMIUM."
        )
    return path


if __name__ == "__main__":
    print(install())
