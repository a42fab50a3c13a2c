"""Lets `import torchvision` work beside a CPU-only torch. Call `ensure_torchvision()` before importing open_clip.

The registry's torchvision wheel links CUDA libraries. Beside a CPU build of torch its C++ operators cannot load, and
the import then fails with "operator torchvision::nms does not exist", because torchvision describes operators that
nobody defined. Transforms and timm's towers need none of these operators, so defining their schemas is enough.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.library import Library

# The signatures that torchvision's C++ code would register; only these two are described when its operators are absent.
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache  # keeps the Library alive: when it is collected, its definitions go with it
def ensure_torchvision() -> Library | None:
    """Make `import torchvision` possible. Does nothing (returns None) when torchvision's own operators load.

    Returns the Library that holds the schemas otherwise. Cheap to call again.
    """
    if "torchvision" in sys.modules or own_operators_load():
        return None
    from torch.library import Library

    library = Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    return library


def own_operators_load() -> bool:
    """Whether torchvision's compiled operators can be loaded by this torch. False when torchvision is absent."""
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return False
    folder = Path(next(iter(spec.submodule_search_locations)))
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        compiled = folder / f"_C{suffix}"
        if compiled.exists():
            try:
                torch.ops.load_library(str(compiled))
            except OSError:
                return False  # it links libraries that this torch does not bring
            return True
    return False
