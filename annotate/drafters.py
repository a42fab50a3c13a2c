"""Drafters by name: what proposes answers for a photo. Each takes a View and gives one proposal for each case.

    DRAFTERS["near-photos"](view)          # Drafted(version, [Proposal, …])

A drafter proposes and never decides: annotate/drafts.py says what is shown, annotate/lots.py what a lead may approve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from annotate.draft_model import model
from annotate.draft_near import near_photos
from annotate.draft_view import Drafted, View
from annotate.draft_zero_shot import zero_shot
from data.errors import GenbaError

Drafter = Callable[[View], Drafted]

DRAFTERS: dict[str, Drafter] = {
    "zero-shot": zero_shot,
    "near-photos": near_photos,
    "model": model,
}


def require_drafters(names: Sequence[str]) -> list[str]:
    """The drafters, each once. Raises GenbaError for one that is not known."""
    for name in names:
        if name not in DRAFTERS:
            raise GenbaError(f"No drafter {name!r}.", choices=DRAFTERS, next="genba draft SITE make")
    return list(dict.fromkeys(names))
