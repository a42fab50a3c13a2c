"""The real photos on which the finder is measured, and the pairs with planted errors made of them.

    one = SETS["inspection"](Path("../shared"))       # BenchmarkSet: where the photos lie, which captions they have
    site = make_site(one, Path("/tmp/x"), encoder)    # through the product's own ingest
    pairs = planted_pairs(captioned_pairs(site), one, share=0.3, seed=0)

The folder ../shared (or GENBA_SHARED) holds them; they are never copied into the project.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import GenbaError
from data.records import caption_id, normalise_caption
from scoring.planting import plant
from scoring.ranking import CaptionedPair

if TYPE_CHECKING:
    from data.site import Site

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
    """N pairs: image (relative to `folder`) and caption. `facts_of` a caption: see planting.plant; None: not known.
    `template`: a pack that fits, or None."""

    name: str
    folder: Path
    pairs: list[tuple[str, str]]
    facts_of: Callable[[str], frozenset[str]] | None
    template: str | None


@dataclass(frozen=True)
class PlantedPair:
    """A pair as the scorer gets it; `kind` is the kind of error that was planted, "" when the caption is its own."""

    pair: CaptionedPair
    kind: str


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
    return BenchmarkSet("inspection", folder, pairs, stated, "lab-inspection")


def flickr8k(shared: Path) -> BenchmarkSet:
    """Everyday photos with five captions each, dev rows only: the small encoder was trained on the others."""
    folder = shared / "data" / "flickr8k"
    with (folder / "captions.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "dev"]
    return BenchmarkSet(
        "flickr8k dev", folder / "images", [(row["image"], row["caption"]) for row in rows], None, None
    )


def stated(caption: str) -> frozenset[str]:
    """The words of a caption that state something, in the singular, without codes in brackets.

    stated("Two molds sit on the tray (tp).") == {"two", "mold", "tray"}
    """
    words = re.findall(r"[a-z0-9]+(?:-[a-z]+)*", re.sub(r"\([^)]*\)|\u2011", "-", caption.lower()))
    return frozenset(word.removesuffix("s") for word in words if word not in FILLERS)


SETS: dict[str, Callable[[Path], BenchmarkSet]] = {"inspection": inspection, "flickr8k": flickr8k}


def make_site(one: BenchmarkSet, folder: Path, encoder_id: str) -> Site:
    """A site in `folder`/site with all pairs of the set, ingested as a user would: near-duplicates share a group."""
    from data.ingest import ingest
    from data.site import init_site

    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "captions.jsonl"
    lines = [json.dumps({"image": image, "caption": caption}) for image, caption in one.pairs]
    source.write_text("\n".join(lines), encoding="utf-8")
    site = init_site(folder / "site", [one.folder], one.template or "parts", encoder_id, languages=["en"])
    ingest(site, source)
    return site


def planted_pairs(
    pairs: Sequence[CaptionedPair], one: BenchmarkSet, share: float, seed: int
) -> list[PlantedPair]:
    """The pairs in their order, `share` of them with a wrong caption (see planting.plant)."""
    captions = [pair.caption for pair in pairs]
    facts = [one.facts_of(caption) for caption in captions] if one.facts_of else None
    wrong = {w.index: w for w in plant(captions, [pair.group_id for pair in pairs], share, seed, facts=facts)}
    found = []
    for index, pair in enumerate(pairs):
        if index in wrong:
            words = normalise_caption(wrong[index].caption)
            pair = replace(pair, caption=words, caption_id=caption_id(words))
        found.append(PlantedPair(pair, wrong[index].kind if index in wrong else ""))
    return found
