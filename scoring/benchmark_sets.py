"""The real photos on which the finder is measured, and the pairs with planted errors made of them.

    one = SETS["inspection"](Path("../shared"))     # BenchmarkSet: folder, images, captions, facts, template

The folder ../shared (or GENBA_SHARED) holds them; they are never copied into the project.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data.errors import GenbaError

CHECKOUT = Path(__file__).resolve().parent.parent
ENCODER = Path("models") / "mobilenet-minilm"

# Words that state nothing of a finding: "A mold sits on the tray" and "Mold on the tray" are one.
FILLERS = frozenset(
    {"a", "an", "the", "on", "of", "in", "at", "by", "to", "with", "its", "it", "is", "are", "and", "but", "only",
     "single", "one", "present", "sit", "sits", "sitting", "lie", "lies", "stand", "stands", "upright", "remains",
     "still", "held", "holds", "holding", "near", "next", "inside", "don", "t", "matter", "amount"}
)  # fmt: skip


@dataclass(frozen=True)
class BenchmarkSet:
    """N pairs: image (relative to `folder`) and caption. `facts`: see planting.plant. `template`: a pack, or None."""

    name: str
    folder: Path
    images: list[str]
    captions: list[str]
    facts: list[frozenset[str]] | None
    template: str | None


def shared_folder() -> Path:
    """The folder with real photos. Raises GenbaError when it is absent."""
    folder = Path(os.environ.get("GENBA_SHARED", CHECKOUT.parent / "shared"))
    if not (folder / "data").is_dir() or not (folder / ENCODER).is_dir():
        raise GenbaError(
            f"The benchmark needs real photos and an encoder, which are not part of the project: no {folder}/data and "
            f"{folder / ENCODER}.",
            next="GENBA_SHARED=/folder/with/them make bench",
        )
    return folder


def inspection(shared: Path) -> BenchmarkSet:
    """Photos of a robot laboratory. Only 108 distinct captions, so a swap has to change what is stated."""
    folder = shared / "data" / "inspection"
    with (folder / "records.jsonl").open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    pairs = list(dict.fromkeys((record["image"], record["caption"]) for record in records))
    captions = [caption for _, caption in pairs]
    return BenchmarkSet(
        "inspection", folder, [image for image, _ in pairs], captions, [stated(one) for one in captions],
        "lab-inspection",
    )  # fmt: skip


def flickr8k(shared: Path) -> BenchmarkSet:
    """Everyday photos with five captions each, dev rows only: the small encoder was trained on the others."""
    folder = shared / "data" / "flickr8k"
    with (folder / "captions.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "dev"]
    return BenchmarkSet(
        "flickr8k-dev", folder / "images", [row["image"] for row in rows], [row["caption"] for row in rows],
        None, None,
    )  # fmt: skip


def stated(caption: str) -> frozenset[str]:
    """The words of a caption that state something, in the singular, without codes in brackets.

    stated("Two molds sit on the tray (tp).") == {"two", "mold", "tray"}
    """
    words = re.findall(r"[a-z0-9]+(?:-[a-z]+)*", re.sub(r"\([^)]*\)|\u2011", "-", caption.lower()))
    return frozenset(word.removesuffix("s") for word in words if word not in FILLERS)


SETS: dict[str, Callable[[Path], BenchmarkSet]] = {"inspection": inspection, "flickr8k": flickr8k}
