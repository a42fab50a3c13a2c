"""A snapshot holds what may be trained on and nothing that leaks; the same content is the same snapshot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data.dense_labels import ingest_labels
from data.errors import GenbaError
from data.site import Site
from data.snapshots import FORMAT, Contents, collect, freeze, load_snapshot
from data.store import Database
from tests.data import makers
from tests.training.conftest import add_correction, add_pair, image_row


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "photos").mkdir()
    return makers.site(tmp_path / "site", [tmp_path / "photos"])


def image(db: Database, number: int, split: str = "train", group: str = "") -> str:
    image_id = f"{number:064x}"
    db.insert("images", [image_row(image_id, f"{number}.jpg", split, group or f"group-{number}")])
    return image_id


def fixed(db: Database, image_id: str, old: str, new: dict[str, str], **more: Any) -> None:
    pairs = [add_pair(db, image_id, caption, language, "correction") for language, caption in new.items()]
    add_correction(db, old, "fix", pairs, **more)


def photos(contents: Contents) -> set[int]:
    return {int(row["image_id"], 16) for row in contents.train}


def items(contents: Contents) -> set[tuple[int, str, str]]:
    return {(int(row["image_id"], 16), row["split"], row["caption"]) for row in contents.items}


def test_training_photos_have_a_caption_before_and_after(site: Site) -> None:
    with site.connect() as db:
        first = image(db, 1)
        fixed(db, first, add_pair(db, first, "old"), {"ja": "新しい", "en": "new"})
        add_pair(db, image(db, 2), "never judged")
        missing = image(db, 3)
        fixed(db, missing, add_pair(db, missing, ""), {"ja": "説明", "en": "said now"})
        image_id = image(db, 4)
        add_pair(db, image_id, "drafted by a machine", origin="draft")
        add_correction(db, add_pair(db, image(db, 5), "right"), "ok")
    contents = collect(site)
    assert photos(contents) == {1, 2, 5}
    row = contents.train[0]
    assert (row["caption"], row["verdict"]) == ("old", "fix")
    assert row["new_captions"] == [
        {"caption": "新しい", "language": "ja"},
        {"caption": "new", "language": "en"},
    ]
    assert [row["verdict"] for row in contents.train] == ["fix", None, "ok"]
    assert contents.train[1]["new_captions"] == [] == contents.train[2]["new_captions"]


@pytest.mark.parametrize(("verdict", "state", "stays"), [
    ("unusable", "active", False), ("private", "active", False), ("private", "conflict", False),
    ("unusable", "conflict", True), ("private", "withdrawn", True), ("not_sure", "active", True),
])  # fmt: skip
def test_a_barred_photo_is_in_no_file(site: Site, verdict: str, state: str, stays: bool) -> None:
    with site.connect() as db:
        for number, split in ((1, "train"), (2, "test")):
            image_id = image(db, number, split)
            add_correction(db, add_pair(db, image_id, "one"), "ok")
            add_correction(db, add_pair(db, image_id, "another"), verdict, state=state)
    contents = collect(site)
    assert (photos(contents) == {1}) is stays
    assert (items(contents) == {(2, "test", "one")}) is stays


def test_items_are_checked_captions_of_held_out_photos(site: Site) -> None:
    with site.connect() as db:
        for number, split, verdict in (
            (1, "test", "ok"), (2, "test", "fix"), (3, "val", "fix"), (4, "test", "not_sure"), (5, "train", "ok"),
            (6, "test", ""), (7, "test", "superseded"),
        ):  # fmt: skip
            image_id = image(db, number, split)
            old = add_pair(db, image_id, f"old {number}")
            if verdict == "fix":
                fixed(
                    db, image_id, old, {"ja": f"新 {number}", "en": f"new {number}"}, slots={"part": "bolt"}
                )
            elif verdict == "superseded":
                add_correction(db, old, "ok", state="superseded")
            elif verdict:
                add_correction(db, old, verdict)
    contents = collect(site)
    assert items(contents) == {
        (1, "test", "old 1"), (2, "test", "新 2"), (2, "test", "new 2"), (3, "val", "新 3"), (3, "val", "new 3")
    }  # fmt: skip
    facts = {row["caption"]: row["facts"] for row in contents.items}
    assert facts["old 1"] is None
    assert json.loads(facts["new 2"]) == {"part": "bolt"}
    assert len({row["item_id"] for row in contents.items}) == len(contents.items)
    assert contents.counts()["test_photos"] == 2
    assert contents.counts()["test_captions"] == 3
    assert contents.counts()["val_photos"] == 1


def test_no_near_duplicate_of_a_held_out_photo_is_trained_on(site: Site) -> None:
    with site.connect() as db:
        for number, split, group in (
            (1, "train", "a"), (2, "test", "b"), (3, "train", "c"), (4, "train", "d"), (5, "val", "e"),
            (6, "train", "b"),
        ):  # fmt: skip
            add_pair(db, image(db, number, split, group), f"caption {number}")
        # what ingest writes when a newcomer joins "c" and is also near photos of "b"
        db.event("genba", "split.conflict", {"group_id": "c", "other_id": "b", "image_ids": ["x"]})
        db.event("genba", "split.conflict", {"group_id": "e", "other_id": "d", "image_ids": ["y"]})
    contents = collect(site)
    assert photos(contents) == {1}
    held_out = {"b", "e"}
    assert not held_out & {row["group_id"] for row in contents.train}


def test_a_new_caption_that_the_photo_had_already_is_found(site: Site) -> None:
    with site.connect() as db:
        image_id = image(db, 1)
        right = add_pair(db, image_id, "a bolt")
        add_correction(db, add_pair(db, image_id, "a nut"), "fix", [right])
    rows = collect(site).train
    assert [one["caption"] for row in rows for one in row["new_captions"]] == ["a bolt"]


def test_the_same_content_is_the_same_snapshot(site: Site) -> None:
    with site.connect() as db:
        image_id = image(db, 1)
        old = add_pair(db, image_id, "old")
        add_correction(db, add_pair(db, image(db, 2, "test"), "checked"), "ok")
    first = freeze(site)
    manifest = first.folder / "manifest.json"
    written = manifest.stat().st_mtime_ns
    assert freeze(site) == first
    assert manifest.stat().st_mtime_ns == written
    manifest.unlink()  # killed before the end
    assert freeze(site).snapshot_id == first.snapshot_id
    assert manifest.exists()
    with site.connect() as db:
        fixed(db, image_id, old, {"en": "new"})
    second = freeze(site)
    assert second.snapshot_id != first.snapshot_id
    assert load_snapshot(site, first.snapshot_id).contents == first.contents
    assert load_snapshot(site, second.snapshot_id) == second
    assert not list(second.folder.glob("*.tmp"))


def test_a_snapshot_that_was_changed_or_is_unknown_is_refused(site: Site) -> None:
    with site.connect() as db:
        add_pair(db, image(db, 1), "old")
    first = freeze(site)
    with site.connect() as db:
        add_pair(db, image(db, 2), "another")
    second = freeze(site)
    (first.folder / "train.parquet").write_bytes((second.folder / "train.parquet").read_bytes())
    manifest = second.folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace(f'"format": {FORMAT}', '"format": 1'))
    with pytest.raises(
        GenbaError, match=rf"was written in format 1; this version of Genba reads {FORMAT}. Next"
    ):
        load_snapshot(site, second.snapshot_id)
    with pytest.raises(GenbaError, match="changed after it was frozen"):
        load_snapshot(site, first.snapshot_id)
    with pytest.raises(GenbaError, match=f"No snapshot 'no'.*{second.snapshot_id}"):
        load_snapshot(site, "no")


def label(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((40, 40), value, np.uint8)).save(path)


def test_labels_are_named_with_the_hash_of_their_files(site: Site, tmp_path: Path) -> None:
    with site.connect() as db:
        for number, split in ((1, "train"), (2, "test"), (3, "val"), (4, "train")):
            image_id = image(db, number, split)
            old = add_pair(db, image_id, f"caption {number}")
            if number == 4:
                add_correction(db, old, "private")
            label(tmp_path / f"depth/{number}.png", number)
    ingest_labels(site, tmp_path / "depth", "depth", metres_per_unit=0.01)
    before = collect(site)
    assert [(int(row["image_id"], 16), row["kind"]) for row in before.labels] == [(1, "depth"), (2, "depth")]
    assert before.counts()["train_depth"] == 1
    label(tmp_path / "depth/1.png", 99)
    after = collect(site)
    assert after.labels[0]["file_hash"] != before.labels[0]["file_hash"]
    assert after.snapshot_id() != before.snapshot_id()
    (tmp_path / "depth/2.png").unlink()
    with pytest.raises(GenbaError, match=r"depth/2\.png.*--as depth"):
        collect(site)


def test_the_order_in_which_things_were_entered_does_not_matter(tmp_path: Path) -> None:
    def build(name: str, order: Callable[[list[int]], list[int]]) -> str:
        (tmp_path / name).mkdir()
        made = makers.site(tmp_path / f"{name}-site", [tmp_path / name])
        with made.connect() as db:
            for number in order([1, 2, 3]):
                image_id = image(db, number)
                fixed(db, image_id, add_pair(db, image_id, f"old {number}"), {"en": f"new {number}"})
        return collect(made).snapshot_id()

    assert build("a", list) == build("b", lambda numbers: numbers[::-1])


def test_an_encoder_gets_only_captions_that_it_reads_and_every_arm_the_same_photos(site: Site) -> None:
    with site.connect() as db:
        both, other, only_japanese = image(db, 1), image(db, 2), image(db, 3)
        fixed(db, both, add_pair(db, both, "old"), {"ja": "新しい", "en": "new"})
        add_pair(db, other, "古い", "ja")
        fixed(db, only_japanese, add_pair(db, only_japanese, "old too"), {"ja": "日本語だけ"})
        held_out = image(db, 4, "test")
        fixed(db, held_out, add_pair(db, held_out, "old as well"), {"ja": "試験", "en": "test"})
    english = collect(site).read_by(lambda language: language in ("en", "und"))
    assert [(row["caption"], [one["caption"] for one in row["new_captions"]]) for row in english.train] == [
        ("old", ["new"])
    ]
    assert items(english) == {(4, "test", "test")}
    assert photos(collect(site).read_by(lambda _language: True)) == {1, 2, 3}
