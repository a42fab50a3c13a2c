"""A real site beside a running Label Studio: its photos, captions and scores, and answers for them."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from data.records import caption_id, pair_id
from data.site import Site, init_site
from data.store import now
from tests.annotate.conftest import RunningLabelStudio

BOLT: dict[str, Any] = {
    "part": "bolt", "count": 2, "material": "steel", "defect": "scratch", "place": "left", "severity": "slight",
    "background": "tray",
}  # fmt: skip
CAPTIONS = ("トレーの上の鋼製ボルト2本、左端に軽微なキズ", "three brass gears", "部品の写真", "")


def site_beside(
    running: RunningLabelStudio, captions: Sequence[str] = CAPTIONS, template: str = "parts"
) -> Site:
    """A new site that uses the running server: one photo a caption, the first the riskiest (missing ones before)."""
    root = running.root / f"site-{os.urandom(6).hex()}"
    photos = running.root / f"{root.name}-photos"
    photos.mkdir()
    site = init_site(root, [photos], template, "demo", demo=True, label_studio_port=running.port)
    (root / "label-studio").rmdir()
    (root / "label-studio").symlink_to(running.folder)
    fill(site, photos, captions)
    return site


def fill(site: Site, photos: Path, captions: Sequence[str]) -> None:
    """Photos with their pairs and scores, all of split train."""
    made: dict[str, list[dict[str, Any]]] = {"images": [], "pairs": [], "scores": []}
    for number, caption in enumerate(captions):
        with io.BytesIO() as buffer:
            Image.new("RGB", (40, 30), (number * 20 % 256, 90, os.urandom(1)[0])).save(buffer, "JPEG")
            content = buffer.getvalue() + os.urandom(8)
        (photos / f"{number}.jpg").write_bytes(content)
        risk = 1 - (number + 1) / (len(captions) + 1)
        for table, row in rows_of(number, hashlib.sha256(content).hexdigest(), caption, risk).items():
            made[table].append(row)
    with site.connect() as db:
        for table, given in made.items():
            db.insert(table, given)


def rows_of(number: int, image_id: str, caption: str, risk: float) -> dict[str, dict[str, Any]]:
    """The rows of one photo by table; a photo without a caption has no score."""
    key = pair_id(image_id, caption)
    found = {
        "images": {
            "image_id": image_id, "uri": f"{number}.jpg", "root": 0, "width": 40, "height": 30, "group_id": image_id,
            "split": "train", "added_at": now(),
        },
        "pairs": {
            "pair_id": key, "image_id": image_id, "caption": caption, "caption_id": caption_id(caption),
            "language": "en" if caption.isascii() else "ja", "origin": "legacy",
            "state": "captioned" if caption else "missing", "extra": {}, "added_at": now(),
        },
        "scores": {
            "pair_id": key, "encoder": "demo", "fingerprint": "f", "cosine": 0.1, "signals": {}, "risk": risk,
            "reasons": [], "scored_at": now(),
        },
    }  # fmt: skip
    return found if caption else {table: row for table, row in found.items() if table != "scores"}


def rows(site: Site, sql: str, *parameters: Any) -> list[dict[str, Any]]:
    """What the store holds."""
    with site.connect() as db:
        return db.rows(sql, list(parameters))


def pair_of(site: Site, number: int) -> str:
    """The pair of photo number `number`."""
    found = rows(
        site,
        "SELECT pair_id FROM pairs JOIN images USING (image_id) WHERE uri = ? AND origin = 'legacy'",
        f"{number}.jpg",
    )
    return str(found[0]["pair_id"])
