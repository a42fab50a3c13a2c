"""A site with as many pairs as a test wants, and answers for them, straight into a real store."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from data.records import caption_id
from data.site import Site, init_site
from data.store import now

ENCODER = "demo"


class Sure(random.Random):
    """Gives the same chance at every call of random(); what is drawn with randrange stays random."""

    def __init__(self, chance: float, seed: int = 0) -> None:
        super().__init__(seed)
        self.chance = chance

    def random(self) -> float:
        return self.chance


NEVER, ALWAYS = 0.999, 0.0


def pair_name(number: int) -> str:
    return f"p{number:05d}"


def pile(
    folder: Path,
    size: int,
    risk: Callable[[int], float | None] = lambda number: number % 10 / 10,
    split: Callable[[int], str] = lambda number: "test",
    extra: Callable[[int], dict[str, Any]] = lambda number: {},
    group: Callable[[int], str] = str,
    demo: bool = True,
) -> Site:
    """Pairs p00000, p00001, …, one a photo; a risk of None leaves the pair unscored."""
    (folder / "photos").mkdir()
    site = init_site(folder / "site", [folder / "photos"], "parts", ENCODER, demo=demo)
    add(site, range(size), risk, split, extra, group)
    return site


def add(
    site: Site,
    numbers: Iterable[int],
    risk: Callable[[int], float | None] = lambda number: 0.5,
    split: Callable[[int], str] = lambda number: "test",
    extra: Callable[[int], dict[str, Any]] = lambda number: {},
    group: Callable[[int], str] = str,
) -> None:
    """More pairs, read in now."""
    images, pairs, scores, at = [], [], [], now()
    for number in numbers:
        caption, image = f"caption {number}", f"{number:064x}"
        images.append({"image_id": image, "uri": f"{number}.jpg", "root": 0, "width": 4, "height": 3,
                       "group_id": group(number), "split": split(number), "added_at": at})  # fmt: skip
        pairs.append({"pair_id": pair_name(number), "image_id": image, "caption": caption,
                      "caption_id": caption_id(caption), "language": "ja" if number % 2 else "en",
                      "origin": "legacy", "state": "captioned", "extra": extra(number), "added_at": at})  # fmt: skip
        if (its := risk(number)) is not None:
            scores.append({"pair_id": pair_name(number), "encoder": ENCODER, "fingerprint": "f", "cosine": 0.1,
                           "signals": {"cosine": 0.1}, "risk": its, "priority": its, "scored_at": at,
                           "reasons": [{"code": "fits_worse", "percent": 93}]})  # fmt: skip
    with site.connect() as db:
        for table, rows in (("images", images), ("pairs", pairs), ("scores", scores)):
            db.insert(table, rows)


def judge(
    site: Site,
    pair_ids: Iterable[str],
    verdict: str = "fix",
    annotator: str = "佐藤",
    state: str = "active",
    at: datetime | None = None,
    seconds: float = 10.0,
    simulated: bool = False,
) -> None:
    """Answers, one a pair, with the labels that corrections.submit writes."""
    given, labels, at = [], [], at or now()
    with site.connect() as db:
        chances = {row["pair_id"]: row["inclusion_probability"] for row in db.rows("SELECT * FROM audits")}
        for pair_id in pair_ids:
            key = f"c-{pair_id}-{state}-{at.isoformat()}"
            given.append({"correction_id": key, "old_pair_id": pair_id, "new_pair_ids": [], "verdict": verdict,
                          "slots": {}, "reason": "", "annotator": annotator, "simulated": simulated,
                          "active_seconds": seconds, "source": "app", "state": state, "created_at": at})  # fmt: skip
            labels.append({"pair_id": pair_id, "correction_id": key, "needs_correction": verdict == "fix",
                           "source": "audit" if pair_id in chances else "queue",
                           "inclusion_probability": chances.get(pair_id), "labelled_at": at})  # fmt: skip
        db.insert("corrections", given)
        if verdict in ("fix", "ok") and state == "active":
            db.insert("labels", labels)


def audits(site: Site, where: str = "true") -> list[dict[str, Any]]:
    """The rows of the table, in the order of the pairs."""
    with site.connect() as db:
        return db.rows(f"SELECT * FROM audits WHERE {where} ORDER BY pair_id")
