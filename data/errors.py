"""The one error a person sees: what happened, the value, the choices, the next command.

raise GenbaError("No template 'bridges'.", choices=["lab-inspection", "parts"], next="genba templates")
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GenbaError(Exception):
    """A mistake or a state that the person can mend; the command line prints it without a traceback, exit code 1.

    what: one or two sentences that name the value. choices: what would have been accepted. next: the command to run.
    """

    def __init__(self, what: str, choices: Iterable[str] | None = None, next: str | None = None) -> None:
        self.what = what
        self.choices = list(choices) if choices is not None else None
        self.next = next
        super().__init__(self.__str__())

    def __str__(self) -> str:
        parts = [self.what]
        if self.choices is not None:
            parts.append("Known: " + (", ".join(self.choices) if self.choices else "none") + ".")
        if self.next:
            parts.append(f"Next: {self.next}")
        return " ".join(parts)


def nearest(value: str, choices: Iterable[str]) -> str | None:
    """The choice spelled most like `value`, or None: nearest("heigth", ["height"]) == "height"."""
    found = difflib.get_close_matches(value, list(choices), n=1, cutoff=0.6)
    return found[0] if found else None
