"""Keeps a click fast: Streamlit looks for garbage after every run, through all that the process holds.

With torch, pandas and an encoder in memory that takes 0.3 s of a processor, each time. What has been imported or loaded
stays until the process ends, so it is taken out of the search (gc.freeze) once, and again when more was imported.
"""

from __future__ import annotations

import functools
import gc
import sys


def settle() -> None:
    """Called at the end of a page's run; does something only when modules have come since the last time."""
    _freeze(len(sys.modules))


@functools.cache
def _freeze(modules: int) -> None:
    gc.collect()  # real garbage goes first: what is frozen is never looked at again
    gc.freeze()
