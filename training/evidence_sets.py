"""Sites made of real photos whose captions are known to be right or wrong: what docs/evidence is measured on.

    site = make_site("rooms", folder, seed=0)      # ../shared/data/nyuv2, 40 % of its captions wrong, then corrected

Captions are read off the label maps, so that the truth of each is known. The old ones are worded loosely, in one of
PATTERNS; a share of them is made wrong (scoring/planting.py); the corrections are the truth in the template's words.
Of the held-out photos every caption is judged: what is right stays as it stands, what is wrong gets its correction, so
that retrieval is measured on both wordings. Nobody's time is in this: the answers are simulated, and say so.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from data.settings_retrain import RetrainSection
from data.site import Site, init_site
from scoring.benchmark_sets import ENCODER, shared_folder
from scoring.planting import plant

if TYPE_CHECKING:
    import numpy as np

    from data.templates import Template

TEMPLATES = Path(__file__).resolve().parent / "evidence_templates"
ANNOTATOR = "oracle (simulated)"
WRONG = 0.4  # of the old captions at most: not every kind of error fits every caption
VAL_SHARE = 0.15  # of the training photos, the last of them: neighbours are alike in rooms
Facts = dict[str, Any]
Row = dict[str, str]

ROOM_CLASSES = (
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture",
    "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor_mat", "clothes",
    "ceiling", "books", "refrigerator", "television", "paper", "towel", "shower_curtain", "box", "whiteboard",
    "person", "night_stand", "toilet", "sink", "lamp", "bathtub", "bag", "other_structure", "other_furniture",
)  # fmt: skip
ROOM_UNLABELLED = 39
METRES_PER_UNIT = 9.9955 / 255  # one scale for all frames: see the README of the photos
UNNAMED = {"wall", "floor", "ceiling", "floor_mat", "other_structure", "other_furniture"}
LEAST_SHARE, MOST_THINGS = 0.02, 4
STEEL_CLASSES = ("background", "inclusion", "patches", "scratches")
WIDE, VERY_WIDE = 0.06, 0.18  # of the photo: about thirds of the set

ROOM_PATTERNS = (
    "there is {things} in this room",
    "a photo of {things}",
    "{things}",
    "inside, {things} can be seen",
)
STEEL_PATTERNS = (
    "{extent} {defect} on metal",
    "surface photo, {defect}, {side}",
    "{defect} near the {height}, {extent}",
    "a grey plate showing {extent} {defect} at the {side}",
)


@dataclass(frozen=True)
class EvidenceSet:
    """Photos with label maps, and how to caption them. rows: file -> list of {image, split}; facts: a label map's."""

    name: str
    folder: str  # under shared/data
    template: str
    images: str  # below the folder
    masks: str
    classes: tuple[str, ...]
    ignore: tuple[int, ...]
    depth: str | None
    patterns: tuple[str, ...]
    facts: Callable[[np.ndarray], Facts | None]


def room_facts(mask: np.ndarray) -> Facts | None:
    """(H, W) classes -> the things by size and the third in which the largest lies; None where nothing is named."""
    import numpy as np

    counts = np.bincount(mask.ravel(), minlength=ROOM_UNLABELLED + 1)
    large = [int(c) for c in np.argsort(-counts, kind="stable") if counts[c] >= LEAST_SHARE * mask.size]
    things = [c for c in large if c < len(ROOM_CLASSES) and ROOM_CLASSES[c] not in UNNAMED][:MOST_THINGS]
    if not things:
        return None
    return {"things": [ROOM_CLASSES[c] for c in things],
            "side": third(mask == things[0], 1, ("left", "middle", "right"))}  # fmt: skip


def steel_facts(mask: np.ndarray) -> Facts | None:
    """(H, W) classes -> the widest defect, how wide it is, and where its middle lies; None without a defect."""
    import numpy as np

    counts = np.bincount(mask.ravel(), minlength=len(STEEL_CLASSES))[: len(STEEL_CLASSES)]
    if not counts[1:].any():
        return None
    widest = 1 + int(counts[1:].argmax())
    share = counts[widest] / mask.size
    extent = "very_wide" if share >= VERY_WIDE else "wide" if share >= WIDE else "small"
    where = mask == widest
    return {"defect": STEEL_CLASSES[widest], "extent": extent,
            "side": third(where, 1, ("left", "middle", "right")),
            "height": third(where, 0, ("top", "centre", "bottom"))}  # fmt: skip


def third(where: np.ndarray, axis: int, names: Sequence[str]) -> str:
    """In which third of an axis the middle of the true pixels lies.

    third([[True, False, False]], 1, ("left", "middle", "right")) == "left"
    """
    import numpy as np

    middle = (np.nonzero(where)[axis].mean() + 0.5) / where.shape[axis]
    return names[min(int(3 * middle), 2)]


SETS = {
    one.name: one
    for one in (
        EvidenceSet("rooms", "nyuv2", "rooms", "rgb", "labels40", ROOM_CLASSES, (ROOM_UNLABELLED,), "depth",
                    ROOM_PATTERNS, room_facts),
        EvidenceSet("steel", "steel", "steel", "images", "masks", STEEL_CLASSES, (), None, STEEL_PATTERNS, steel_facts),
    )
}  # fmt: skip


def require_set(name: str) -> EvidenceSet:
    """Raises GenbaError for a name that is not known."""
    if name not in SETS:
        raise GenbaError(f"No evidence set {name!r}.", choices=SETS)
    return SETS[name]


def rows_of(one: EvidenceSet, folder: Path) -> list[Row]:
    """image (a path below the folder), mask, split ("train", "val" or "test"), as the set's own split.csv has them."""
    with (folder / "split.csv").open(encoding="utf-8", newline="") as file:
        given = list(csv.DictReader(file))
    image, mask = ("rgb", "labels") if one.name == "rooms" else ("image", "mask")
    rows = [{"image": row[image], "mask": row[mask], "split": row["split"]} for row in given
            if row["split"] in ("train", "test")]  # fmt: skip
    train = [row for row in rows if row["split"] == "train"]
    for row in train[round(len(train) * (1 - VAL_SHARE)) :]:
        row["split"] = "val"
    return rows


@dataclass(frozen=True)
class Captioned:
    """One photo: the old caption, whether it is right, and the truth."""

    image: str
    split: str
    caption: str
    is_right: bool
    facts: Facts


def captioned(one: EvidenceSet, folder: Path, template: Template, seed: int) -> list[Captioned]:
    """Old captions in loose words, WRONG of them wrong. Drawn from the seed alone, before anything is trained."""
    import numpy as np

    from data.photos import read_map

    rng = np.random.default_rng(seed)
    known = [(row, facts) for row in rows_of(one, folder)
             if (facts := one.facts(read_map(folder / row["mask"]))) is not None]  # fmt: skip
    loose = [one.patterns[int(rng.integers(len(one.patterns)))].format(**_words(template, facts))
             for _, facts in known]  # fmt: skip
    stated = [frozenset(f"{key}={value}" for key, value in _flat(facts)) for _, facts in known]
    wrong = {
        w.index: w.caption
        for w in plant(loose, [row["image"] for row, _ in known], WRONG, seed, facts=stated)
    }
    return [
        Captioned(row["image"], row["split"], wrong.get(n, loose[n]), n not in wrong, facts)
        for n, (row, facts) in enumerate(known)
    ]  # fmt: skip


def _words(template: Template, facts: Facts) -> dict[str, str]:
    """The labels of the answers, joined as a person would."""
    words = {}
    for key, value in _grouped(facts).items():
        slot = template.slot(key)
        assert slot is not None
        labels = {option.id: option.label["en"] for option in slot.options}
        named = [labels[each] for each in value]
        words[key] = named[0] if len(named) == 1 else ", ".join(named[:-1]) + " and " + named[-1]
    return words


def _grouped(facts: Facts) -> Mapping[str, list[str]]:
    return {key: value if isinstance(value, list) else [value] for key, value in facts.items()}


def _flat(facts: Facts) -> list[tuple[str, str]]:
    return [(key, each) for key, values in _grouped(facts).items() for each in values]


def make_site(
    name: str, folder: Path, retrain: RetrainSection, seed: int = 0, most: int | None = None
) -> Site:
    """A site in folder/site: photos, loose captions, masks and depth, every wrong training caption corrected, every
    held-out caption judged. most: photos of each split at most (for a test). Raises GenbaError without the photos."""
    from data.dense_labels import ingest_labels
    from data.ingest import ingest

    one = require_set(name)
    shared = shared_folder()
    source = shared / "data" / one.folder
    encoder = f"local-dir:{shared / ENCODER}"
    template_file = TEMPLATES / f"{one.template}.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    site = init_site(folder / "site", [source / one.images], str(template_file), encoder, ["en"],
                     name=f"evidence: {name}", retrain=retrain)  # fmt: skip
    rows = _first(captioned(one, source, site.template(), seed), most)
    lines = [json.dumps({"image": Path(row.image).name, "caption": row.caption}) for row in rows]
    (folder / "captions.jsonl").write_text("\n".join(lines), encoding="utf-8")
    ingest(site, folder / "captions.jsonl")
    ingest_labels(site, source / one.masks, "masks", dict(enumerate(one.classes)), one.ignore)
    if one.depth:
        ingest_labels(site, source / one.depth, "depth", metres_per_unit=METRES_PER_UNIT)
    _set_splits(site, rows)
    _judge(site, rows)
    return site


def _first(rows: list[Captioned], most: int | None) -> list[Captioned]:
    if most is None:
        return rows
    return [row for split in ("train", "val", "test") for row in [r for r in rows if r.split == split][:most]]


def _set_splits(site: Site, rows: Sequence[Captioned]) -> None:
    """The set's own split: it keeps scenes and copies apart, which a draw by photo would not."""
    split_of = {Path(row.image).name: row.split for row in rows}
    with site.connect() as db:
        for image in db.rows("SELECT rowid, uri FROM images"):
            db.execute(
                "UPDATE images SET split = ? WHERE rowid = ?", [split_of[image["uri"]], image["rowid"]]
            )


def _judge(site: Site, rows: Sequence[Captioned]) -> None:
    """The truth about every held-out caption, and about every wrong one of the training photos."""
    from annotate import corrections

    with site.connect() as db:
        found = db.rows(
            "SELECT i.uri, p.pair_id FROM pairs p JOIN images i USING (image_id) WHERE p.origin = 'legacy'"
        )
    pairs = {row["uri"]: row["pair_id"] for row in found}
    for row in rows:
        pair_id = pairs.get(Path(row.image).name)
        if pair_id is None or (row.split == "train" and row.is_right):
            continue
        verdict = "ok" if row.is_right else "fix"
        corrections.submit(
            site, pair_id=pair_id, annotator=ANNOTATOR, verdict=verdict, slots=row.facts if verdict == "fix" else {},
            active_seconds=0.0, simulated=True,
        )  # fmt: skip
