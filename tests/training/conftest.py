"""A small real site: photos whose colour and shape are their facts, a third of the captions wrong and corrected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data.records import caption_id, pair_id
from data.settings_retrain import RetrainSection
from data.site import Site, init_site
from data.store import Database, now
from tests.scoring.conftest import write_tiny_encoder

MATERIALS = {"brass": (205, 170, 60), "steel": (120, 130, 150)}
PARTS = ("bolt", "nut")
JAPANESE = {"brass": "真鍮", "steel": "steel", "bolt": "ボルト", "nut": "nut"}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("encoders") / "tiny", {"languages": ["en", "ja"]})


@dataclass(frozen=True)
class Facts:
    """What a photo shows, and the words for it."""

    material: str
    part: str
    scratch: bool

    def caption(self, language: str = "en") -> str:
        if language == "ja":
            return f"{JAPANESE[self.material]} の {JAPANESE[self.part]}" + (" 傷" if self.scratch else "")
        return f"a {self.material} {self.part}" + (" with a scratch" if self.scratch else "")


def draw_facts(rng: np.random.Generator) -> Facts:
    return Facts(str(rng.choice(list(MATERIALS))), str(rng.choice(PARTS)), bool(rng.random() < 0.5))


def draw_photo(facts: Facts, rng: np.random.Generator, side: int = 40) -> Image.Image:
    """The part in its colour on a dark ground: a bolt is tall, a nut is a square; a scratch is a white line."""
    pixels = rng.integers(10, 60, (side, side, 3)).astype(np.uint8)
    half = (4, 15) if facts.part == "bolt" else (10, 10)
    middle = side // 2
    rows, columns = slice(middle - half[1], middle + half[1]), slice(middle - half[0], middle + half[0])
    pixels[rows, columns] = np.clip(np.array(MATERIALS[facts.material]) + rng.integers(-20, 20, 3), 0, 255)
    if facts.scratch:
        pixels[middle - 1 : middle + 1, columns] = 255
    return Image.fromarray(pixels)


@dataclass(frozen=True)
class Made:
    """A site with what is true of its photos, by image_id."""

    site: Site
    facts: dict[str, Facts]


def make_site(
    folder: Path,
    encoder: Path | str,
    photos: dict[str, int],
    seed: int = 0,
    retrain: RetrainSection | None = None,
    labels: bool = False,
) -> Made:
    """photos: how many of each split. A third of the captions is wrong and fixed; all held-out ones are checked."""
    rng = np.random.default_rng(seed)
    source = folder / "photos"
    source.mkdir(parents=True)
    name = encoder if isinstance(encoder, str) else f"local-dir:{encoder}"
    site = init_site(folder / "site", [source], "parts", name, retrain=retrain or RetrainSection(
        seeds=2, steps=30, batch=16, learning_rate=3e-3))  # fmt: skip
    facts: dict[str, Facts] = {}
    rows: list[dict[str, Any]] = []
    for split, count in photos.items():
        for number in range(count):
            found = draw_facts(rng)
            image_id = f"{split}{number:04d}".encode().hex().ljust(64, "0")
            draw_photo(found, rng).save(source / f"{split}{number}.png")
            facts[image_id] = found
            rows.append(image_row(image_id, f"{split}{number}.png", split))
            if labels:
                write_labels(folder / "labels", f"{split}{number}", found)
    with site.connect() as db:
        db.insert("images", rows)
        for row in rows:
            right = facts[row["image_id"]]
            wrong = draw_facts(rng) if rng.random() < 1 / 3 else right
            old = add_pair(db, row["image_id"], wrong.caption(), "en")
            if wrong != right:
                fix(db, old, row["image_id"], right)
            elif row["split"] != "train":
                add_correction(db, old, "ok")
    if labels:
        from data.dense_labels import ingest_labels

        ingest_labels(site, folder / "labels/masks", "masks", {0: "ground", 1: "brass", 2: "steel"})
        ingest_labels(site, folder / "labels/depth", "depth", metres_per_unit=0.001)
    return Made(site, facts)


def write_labels(folder: Path, name: str, facts: Facts, side: int = 40) -> None:
    half = (4, 15) if facts.part == "bolt" else (10, 10)
    where = np.zeros((side, side), np.uint8)
    where[side // 2 - half[1] : side // 2 + half[1], side // 2 - half[0] : side // 2 + half[0]] = 1
    for kind, values in (
        ("masks", where * (1 + list(MATERIALS).index(facts.material))),
        ("depth", 200 - 40 * where),
    ):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(values.astype(np.uint8)).save(folder / kind / f"{name}.png")


def image_row(image_id: str, uri: str, split: str, group_id: str = "") -> dict[str, Any]:
    return {"image_id": image_id, "uri": uri, "root": 0, "width": 40, "height": 40,
            "group_id": group_id or image_id[:32], "split": split, "added_at": now()}  # fmt: skip


def add_pair(
    db: Database, image_id: str, caption: str, language: str = "en", origin: str = "legacy", state: str = ""
) -> str:
    key = pair_id(image_id, caption)
    db.insert("pairs", [{"pair_id": key, "image_id": image_id, "caption": caption, "caption_id": caption_id(caption),
                         "language": language, "origin": origin, "extra": {}, "added_at": now(),
                         "state": state or ("captioned" if caption else "missing")}], on_conflict="ignore")  # fmt: skip
    return key


def add_correction(
    db: Database, old: str, verdict: str, new: Sequence[str] = (), state: str = "active", **more: Any
) -> str:
    key = f"{old}-{verdict}-{state}"
    db.insert("corrections", [{
        "correction_id": key, "old_pair_id": old, "new_pair_ids": list(new) or [old], "verdict": verdict,
        "template": "parts", "template_version": 1, "slots": {}, "reason": "", "annotator": "佐藤", "simulated": False,
        "active_seconds": 20.0, "source": "app", "state": state, "created_at": now(), **more}])  # fmt: skip
    return key


def fix(db: Database, old: str, image_id: str, right: Facts) -> None:
    new = [
        add_pair(db, image_id, right.caption(language), language, "correction") for language in ("ja", "en")
    ]
    add_correction(db, old, "fix", new, slots=vars(right))


@pytest.fixture
def small_site(tmp_path: Path, tiny_encoder: Path) -> Callable[..., Made]:
    """A maker of sites with the tiny encoder; 48 train, 24 val and 24 test photos unless told otherwise."""

    def make(**given: Any) -> Made:
        photos = given.pop("photos", {"train": 48, "val": 24, "test": 24})
        return make_site(tmp_path / given.pop("name", "small"), tiny_encoder, photos, **given)

    return make
