"""What a model knew of the world beyond the site: retrieval on photos and captions from elsewhere, so that the gate can
see what a retraining forgets.

[retrain]
general_set = "/data/flickr/captions.csv"      # columns image (a path, relative to the file's folder) and caption

The task `general` of training/tasks.py's kind: recall@1 both ways, language by language, identical captions counted as
hits. Nothing of the set is stored, served or trained on; its photos are read where they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from data.errors import GenbaError
from data.photos import open_photo
from data.readers import BadRow, read_csv
from data.records import language_of, normalise_caption
from data.site import Site
from scoring.encoders import Encoder
from training.bench import Bench
from training.gate import GENERAL, GUARDED_METRIC
from training.measures import Measured
from training.pixels import load_pixels
from training.vectors import TaskSkipped

FEWEST, MOST = 20, 1000  # captions; past MOST the first ones by the hash of their photo are taken
Row = dict[str, Any]
Task = Callable[[Encoder, Bench], list[Measured]]


def general_task(site: Site, folder: Path) -> dict[str, Task]:
    """{"general": task}, or {} where the site names no set. folder: where decoded photos are kept for the run.

    Raises GenbaError for a set that cannot be read, before anything is trained.
    """
    named = site.settings.retrain.general_set
    if not named:
        return {}
    items = read_set(Path(named) if Path(named).is_absolute() else site.root / named)

    def general(encoder: Encoder, bench: Bench) -> list[Measured]:
        from training.tasks import retrieval

        read = [item for item in items if encoder.source.reads(item["language"])]
        if len(read) < FEWEST:
            raise TaskSkipped(
                f"the encoder reads {len(read)} captions of the general set; it takes {FEWEST} (retrain.general_set)"
            )
        photos = load_pixels(cast(Site, _Elsewhere()), encoder, read, folder)
        found = retrieval(encoder, Bench(read, photos, None, None))
        return [
            replace(one, task=GENERAL, strata=[])
            for one in found
            if one.task == "retrieval" and one.metric.startswith(GUARDED_METRIC)
        ]

    return {GENERAL: general}


@dataclass(frozen=True)
class _Elsewhere:
    """Photos by their own path: all that load_pixels asks of a site."""

    def photo_path(self, root: int, uri: str) -> Path:
        return Path(uri)


def read_set(path: Path) -> list[Row]:
    """Rows as those of a snapshot's items: item_id, image_id, root, uri, group_id, caption, language, verdict, facts.

    Raises GenbaError: no such file; a row without photo or caption; a photo that is not there; too few rows.
    """
    if not path.is_file():
        raise GenbaError(f"retrain.general_set names {path}, and there is no such file.",
                         next="give a CSV of image,caption, or leave it empty")  # fmt: skip
    items: list[Row] = []
    hashes: dict[Path, str] = {}
    for row in read_csv(path):
        if isinstance(row, BadRow):
            raise GenbaError(f"{path}, {row.item}: {row.detail}.", next=f"mend {path} (retrain.general_set)")
        photo, caption = (path.parent / row.image).resolve(), normalise_caption(row.caption)
        if not caption:
            raise GenbaError(
                f"{path}, {row.item}: it has no caption.", next=f"mend {path} (retrain.general_set)"
            )
        if photo not in hashes:
            hashes[photo] = _hash(photo, path, row.item)
        image_id = hashes[photo]
        items.append({"item_id": f"{image_id}-{len(items)}", "image_id": image_id, "group_id": image_id, "root": 0,
                      "uri": str(photo), "split": "test", "caption": caption, "verdict": "ok", "facts": None,
                      "slots": None, "template": None, "language": row.language or language_of(caption)})  # fmt: skip
    if len(items) < FEWEST:
        raise GenbaError(f"{path} has {len(items)} captions; a general set takes at least {FEWEST}.",
                         next="add more photos to it, or leave retrain.general_set empty")  # fmt: skip
    return sorted(items, key=lambda item: (item["image_id"], item["item_id"]))[:MOST]


def _hash(photo: Path, path: Path, item: str) -> str:
    try:
        open_photo(photo, shortest_side=32)
        return hashlib.sha256(photo.read_bytes()).hexdigest()
    except (OSError, GenbaError) as error:
        raise GenbaError(f"{path}, {item}: the photo {photo} cannot be read: {error}",
                         next=f"mend {path} (retrain.general_set)") from None  # fmt: skip
