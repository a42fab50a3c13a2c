"""The order of the queue: expected gain for a person's time, near-duplicates held apart.

    order = priority(risk, group_of)       # (N,) in [0, 1], higher = sooner

Looking at a caption takes about as long whichever it is (the seconds of a fix and of a confirmation differ, and both
enter through the risk alone), so the expected gain for a second is highest where the risk is. What changes it is what
one has just seen: a photo twice in a row teaches nothing new. The riskiest caption of a photo and its near-duplicates
keeps its place, the k-th after it waits at HELD_BACK ** k of its risk. Among the first 100 of the queue that finds
errors on more photos (docs/benchmarks/finder.md), also against holding back only the same words.
"""

from __future__ import annotations

import numpy as np

from scoring.pairs import Floats, Ints

HELD_BACK = 0.5


def priority(risk: Floats, group_of: Ints) -> Floats:
    """risk: (N,) in [0, 1]. group_of: (N,) equal for near-duplicates.

    priority([0.9, 0.8, 0.7], [1, 1, 2]) == [0.9, 0.4, 0.7]
    """
    order = np.lexsort((-risk, group_of))
    group = group_of[order]
    place = np.arange(len(order)) - np.searchsorted(group, group, "left")
    found = np.empty(len(risk))
    found[order] = risk[order] * HELD_BACK**place
    return found
