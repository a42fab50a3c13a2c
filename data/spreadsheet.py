"""Cells that a spreadsheet program would run as formulas (CWE-1236): an apostrophe before them makes them text.

    guarded("=1+1")       # "'=1+1"
    unguarded("'=1+1")    # "=1+1"

Both are one another's inverse for every text: what begins with apostrophes before such a sign gets one more.
"""

from __future__ import annotations

import re

# Full-width signs too: Japanese spreadsheet programs take them for the half-width ones.
FORMULA = "=+\\-@\t\r\n＝＋－＠"
_GUARD = re.compile(f"'*[{FORMULA}]")
_UNGUARD = re.compile(f"'+[{FORMULA}]")


def guarded(text: str) -> str:
    """The text, with an apostrophe before it where a spreadsheet program would run it."""
    return f"'{text}" if _GUARD.match(text) else text


def unguarded(text: str) -> str:
    """What `guarded` was given."""
    return text[1:] if _UNGUARD.match(text) else text
