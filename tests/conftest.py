"""What several test files share: the folder of real photos beside the checkout, and a small real site."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real photos and the small real encoder. Tests that need it say so when it is absent."""
    folder = Path(os.environ.get("GENBA_SHARED", CHECKOUT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"needs the real photos: no {folder}/data (set GENBA_SHARED to their folder)")
    return folder
