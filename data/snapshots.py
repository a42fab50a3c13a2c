"""Frozen training data: what a retraining trains on and is measured with, so that it can be made again exactly.

    snapshot = freeze(site)                  # SITE/snapshots/ID/, the manifest written last
    snapshot = load_snapshot(site, "3f…")    # the same, later

The id is a hash of the content: nothing has changed, the same snapshot. Three Parquet files:

    train.parquet    one row for each legacy caption of a training photo: the verdict, and what each arm says instead
    items.parquet    captions of held-out photos (val, test) that a person has checked
    labels.parquet   masks and depth maps of train and test photos, each with the hash of its file

Training photos have a caption both before and after the corrections, so that every arm trains on the same photos. A
photo that somebody called unusable or private is in no file. Everything that an arm needs is put into words here, once:
what the template made of a caption, and what a machine drafted, does not change afterwards.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.dense_labels import label_path
from data.errors import GenbaError
from data.records import normalise_caption
from data.site import Site
from data.store import Database, now
from data.templates import Template

if TYPE_CHECKING:
    import pyarrow

MANIFEST = "manifest.json"
CAPTIONS_OF_ARMS = ("new_captions", "reworded", "draft_captions")
FORMAT = 2  # raised when the files' columns change: part of the id
Row = dict[str, Any]


@dataclass(frozen=True)
class Contents:
    """The rows of a snapshot, before or after they are written. All sorted, so that equal content is equal bytes.

    train: pair_id, image_id, root, uri, group_id, caption ("" where it was missing), language, verdict (None: not
    judged); slots (JSON of the answer, or of what the words of a caption called right state; None: not known) and
    template (the version that they belong to, "parts@1"). Captions [{"caption", "language"}] of arms: new_captions (a
    person's), reworded (a caption that nobody called wrong, in the template's words; [] where it cannot be read),
    draft_captions (the newest draft). inclusion: the chance with which a blind audit drew the pair; None: it did not.

    items: item_id, image_id, root, uri, split, group_id, caption, language, verdict, slots and template as above, facts
    (the slots of a fix as JSON, equal where two photos show the same; None: not known).
    labels: image_id, root, uri, split, group_id, kind, path, file_hash, meta.
    """

    train: list[Row]
    items: list[Row]
    labels: list[Row]

    def counts(self) -> dict[str, int]:
        """Photos and captions by their use; `corrected_photos` are training photos whose caption was replaced."""
        test = [row for row in self.items if row["split"] == "test"]
        val = [row for row in self.items if row["split"] == "val"]
        fixed = {row["image_id"] for row in self.train if row["verdict"] == "fix"}
        kinds = Counter((row["kind"], row["split"]) for row in self.labels)
        return {
            "train_photos": len({row["image_id"] for row in self.train}), "corrected_photos": len(fixed),
            "test_photos": len({row["image_id"] for row in test}), "test_captions": len(test),
            "val_photos": len({row["image_id"] for row in val}), "val_captions": len(val),
            **{f"{split}_{kind}": number for (kind, split), number in sorted(kinds.items())},
        }  # fmt: skip

    def read_by(self, reads: Callable[[str], bool]) -> Contents:
        """What an encoder can use: the captions in languages that it reads, old and new.

        A row whose old caption, or whose every new one, it does not read is in no arm: each arm has the same photos.
        """
        train = []
        for row in self.train:
            said = {of: [one for one in row[of] if reads(one["language"])] for of in CAPTIONS_OF_ARMS}
            if reads(row["language"]) and (said["new_captions"] or not row["new_captions"]):
                train.append({**row, **said})
        return Contents(train, [row for row in self.items if reads(row["language"])], self.labels)

    def snapshot_id(self) -> str:
        """16 hex digits of the sha256 over everything."""
        digest = hashlib.sha256(f"genba snapshot {FORMAT}\n".encode())
        for name, rows in self.files().items():
            digest.update(f"{name}\n".encode())
            for row in rows:
                digest.update(json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n")
        return digest.hexdigest()[:16]

    def files(self) -> dict[str, list[Row]]:
        return {"train": self.train, "items": self.items, "labels": self.labels}


@dataclass(frozen=True)
class Snapshot:
    """A frozen snapshot on disk."""

    snapshot_id: str
    folder: Path
    contents: Contents

    @property
    def counts(self) -> dict[str, int]:
        return self.contents.counts()


def freeze(site: Site, contents: Contents | None = None) -> Snapshot:
    """Write what there is now, or find that it is written already. contents: what `collect` has just found."""
    contents = contents or collect(site)
    snapshot_id = contents.snapshot_id()
    folder = site.folder("snapshots") / snapshot_id
    if not (folder / MANIFEST).exists():
        folder.mkdir(exist_ok=True)
        files = {name: _write_rows(folder, name, rows) for name, rows in contents.files().items()}
        manifest = {"snapshot_id": snapshot_id, "format": FORMAT, "created_at": now().isoformat(),
                    "counts": contents.counts(), "files": files}  # fmt: skip
        _replace(folder / MANIFEST, json.dumps(manifest, indent=1).encode())
    return Snapshot(snapshot_id, folder, contents)


def load_snapshot(site: Site, snapshot_id: str) -> Snapshot:
    """Read a snapshot back. Raises GenbaError: it is not there, of another format, or its files do not make its id."""
    folder = site.folder("snapshots") / snapshot_id
    if not (folder / MANIFEST).exists():
        known = sorted(path.parent.name for path in site.folder("snapshots").glob(f"*/{MANIFEST}"))
        raise GenbaError(f"No snapshot {snapshot_id!r}.", choices=known, next=f"genba retrain {site.root}")
    written_as = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["format"]
    if written_as != FORMAT:
        raise GenbaError(
            f"The snapshot {snapshot_id} was written in format {written_as}; this version of Genba reads {FORMAT}.",
            next=f"genba retrain {site.root}",
        )
    contents = Contents(*(_read_rows(folder / f"{name}.parquet") for name in ("train", "items", "labels")))
    if contents.snapshot_id() != snapshot_id:
        raise GenbaError(f"The files of the snapshot {folder} were changed after it was frozen.",
                         next=f"genba retrain {site.root}")  # fmt: skip
    return Snapshot(snapshot_id, folder, contents)


def collect(site: Site) -> Contents:
    """What a snapshot taken now would hold. Writes nothing."""
    with site.connect() as db:
        pairs = db.rows(PAIRS_SQL)
        verdicts, barred = _verdicts(db)
        captions = {row["pair_id"]: row for row in db.rows(CAPTIONS_SQL)}
        drafts = {row["pair_id"]: row["captions"] for row in db.rows(DRAFTS_SQL)}
        inclusion = {row["pair_id"]: row["inclusion_probability"] for row in db.rows(AUDITS_SQL)}
        labels = db.rows(LABELS_SQL)
        conflicts = db.rows("SELECT detail FROM events WHERE what = 'split.conflict'")
    pairs = [row for row in pairs if row["image_id"] not in barred]
    known = Known(site, site.template(), verdicts, captions, drafts, inclusion)
    return Contents(
        _train(pairs, known, _apart([row["detail"] for row in conflicts])),
        _items(pairs, known),
        _labels(site, (row for row in labels if row["image_id"] not in barred)),
    )


PAIRS_SQL = """
SELECT p.pair_id, p.image_id, i.root, i.uri, i.split, i.group_id, p.caption, p.language, p.origin
FROM pairs p JOIN images i USING (image_id) WHERE p.origin IN ('legacy', 'draft') ORDER BY p.image_id, p.pair_id
"""
VERDICTS_SQL = """
SELECT c.old_pair_id, c.verdict, c.slots, c.template || '@' || c.template_version AS template, c.new_pair_ids, c.state,
       p.image_id
FROM corrections c JOIN pairs p ON p.pair_id = c.old_pair_id WHERE c.state IN ('active', 'conflict')
ORDER BY c.created_at, c.correction_id
"""
# Any origin: a new caption that says what a legacy one of the same photo says is that pair.
CAPTIONS_SQL = "SELECT pair_id, caption, language FROM pairs WHERE state = 'captioned'"
# Planted drafts are known to be wrong; the newest of the others is what a machine says today.
DRAFTS_SQL = """
SELECT pair_id, captions FROM drafts WHERE NOT planted
QUALIFY row_number() OVER (PARTITION BY pair_id ORDER BY drafted_at DESC, draft_id) = 1
"""
AUDITS_SQL = "SELECT pair_id, inclusion_probability FROM audits WHERE kind IN ('drawn', 'mixed')"
LABELS_SQL = """
SELECT l.image_id, i.root, i.uri, i.split, i.group_id, l.kind, l.path, l.meta
FROM dense_labels l JOIN images i USING (image_id) WHERE i.split IN ('train', 'test') ORDER BY l.image_id, l.kind
"""


def _verdicts(db: Database) -> tuple[dict[str, Row], set[str]]:
    """The newest active correction of each pair, and the photos that are barred.

    Private counts also where another answer was saved first: one person's word is enough.
    """
    rows = db.rows(VERDICTS_SQL)
    active = [row for row in rows if row["state"] == "active"]
    barred = {row["image_id"] for row in active if row["verdict"] == "unusable"}
    barred |= {row["image_id"] for row in rows if row["verdict"] == "private"}
    return {row["old_pair_id"]: row for row in active}, barred


def _apart(conflicts: Sequence[Row]) -> dict[str, set[str]]:
    """group_id -> groups that hold near-duplicates of its photos, but lie on another side of the split."""
    near: dict[str, set[str]] = {}
    for one in conflicts:
        near.setdefault(one["group_id"], set()).add(one["other_id"])
        near.setdefault(one["other_id"], set()).add(one["group_id"])
    return near


@dataclass(frozen=True)
class Known:
    """What is known of pairs, by pair_id: verdicts, captions, drafts (by language), chances of the audits."""

    site: Site
    template: Template
    verdicts: dict[str, Row]
    captions: dict[str, Row]
    drafts: dict[str, dict[str, str]]
    inclusion: dict[str, float]

    def slots(self, row: Row) -> tuple[str | None, str | None]:
        """(slots as JSON, template with version): a fix's answer, or what the words of a right caption state."""
        verdict = self.verdicts.get(row["pair_id"])
        if verdict is None or verdict["verdict"] not in ("ok", "fix"):
            return None, None
        if verdict["verdict"] == "fix":
            return (_json(verdict["slots"]) if verdict["slots"] else None), verdict["template"]
        stated = self.template.parse_all(row["caption"], row["language"])
        sure = {slot_id: values[0] for slot_id, values in stated.items() if len(values) == 1}
        return (_json(sure) if sure else None), f"{self.template.id}@{self.template.version}"

    def reworded(self, row: Row) -> list[dict[str, str]]:
        """A caption in the template's words, in each language of the site; [] where that would change what it says.

        Read with the words of the template and put together again, it must state the same. No error is mended: what
        nobody has judged may be wrong, and then says the same wrong thing.
        """
        verdict = self.verdicts.get(row["pair_id"], {}).get("verdict")
        if verdict not in (None, "ok", "not_sure") or not row["caption"]:
            return []
        slots = self.template.parse(row["caption"], row["language"])
        written = [
            {"caption": self.template.caption(slots, language), "language": language}
            for language in self.site.settings.site.languages
        ] if slots else []  # fmt: skip
        is_same = all(self.template.parse(one["caption"], one["language"]) == slots for one in written)
        return written if is_same else []

    def drafted(self, row: Row) -> list[dict[str, str]]:
        """The newest draft, in the languages of the site."""
        found = self.drafts.get(row["pair_id"], {})
        languages = self.site.settings.site.languages
        return [{"caption": found[one], "language": one} for one in languages if found.get(one)]


def _train(pairs: list[Row], known: Known, near: dict[str, set[str]]) -> list[Row]:
    """Rows of the photos that have a caption before and after, and no near-duplicate among the held-out photos."""
    held_out = {row["group_id"] for row in pairs if row["split"] != "train"}
    by_photo: dict[str, list[Row]] = {}
    for row in pairs:
        leaks = row["group_id"] in held_out or near.get(row["group_id"], set()) & held_out
        if row["split"] == "train" and row["origin"] == "legacy" and not leaks:
            by_photo.setdefault(row["image_id"], []).append(_train_row(row, known))
    kept = [rows for rows in by_photo.values() if any(row["caption"] for row in rows)]
    return [row for rows in kept for row in rows]


def _train_row(row: Row, known: Known) -> Row:
    verdict = known.verdicts.get(row["pair_id"])
    is_fixed = verdict is not None and verdict["verdict"] == "fix"
    columns = ("pair_id", "image_id", "root", "uri", "group_id", "caption", "language")
    slots, template = known.slots(row)
    return {
        **{column: row[column] for column in columns},
        "verdict": verdict["verdict"] if verdict else None, "slots": slots, "template": template,
        "new_captions": _new_captions(verdict, known.captions) if verdict and is_fixed else [],
        "reworded": known.reworded(row), "draft_captions": known.drafted(row),
        "inclusion": known.inclusion.get(row["pair_id"]),
    }  # fmt: skip


def _new_captions(verdict: Row, captions: dict[str, Row]) -> list[dict[str, str]]:
    found = [captions[pair_id] for pair_id in verdict["new_pair_ids"] if pair_id in captions]
    if not found:
        raise GenbaError(f"The correction of the pair {verdict['old_pair_id']} has lost its new captions.",
                         next="genba doctor SITE")  # fmt: skip
    return [{"caption": one["caption"], "language": one["language"]} for one in found]


def _items(pairs: list[Row], known: Known) -> list[Row]:
    """Checked captions of held-out photos: the caption itself where it was called right, the new ones where fixed."""
    items: list[Row] = []
    for row in pairs:
        verdict = known.verdicts.get(row["pair_id"])
        if row["split"] == "train" or verdict is None or verdict["verdict"] not in ("ok", "fix"):
            continue
        place = {column: row[column] for column in ("image_id", "root", "uri", "split", "group_id")}
        is_fix = verdict["verdict"] == "fix"
        slots, template = known.slots(row)
        found = _new_captions(verdict, known.captions) if is_fix else [row]
        items += [
            {"item_id": f"{row['pair_id']}-{one['language']}", **place, "caption": one["caption"],
             "language": one["language"], "verdict": verdict["verdict"], "slots": slots, "template": template,
             "facts": slots if is_fix else None}
            for one in found if normalise_caption(one["caption"])
        ]  # fmt: skip
    return items


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, ensure_ascii=False)


def _labels(site: Site, rows: Iterable[Row]) -> list[Row]:
    found = []
    for row in rows:
        try:
            content = label_path(site, row["path"]).read_bytes()
        except OSError as error:
            raise GenbaError(f"The label {row['path']} of the photo {row['uri']} cannot be read: {error.strerror}.",
                             next=f"genba ingest SITE FOLDER --as {row['kind']}") from None  # fmt: skip
        found.append({**row, "meta": json.dumps(row["meta"], sort_keys=True, ensure_ascii=False),
                      "file_hash": hashlib.sha256(content).hexdigest()})  # fmt: skip
    return found


def _schema(name: str) -> pyarrow.Schema:
    import pyarrow as pa

    text = pa.string()
    place = [("image_id", text), ("root", pa.int32()), ("uri", text)]
    caption = pa.struct([("caption", text), ("language", text)])
    columns = {
        "train": [("pair_id", text), *place, ("group_id", text), ("caption", text), ("language", text),
                  ("verdict", text), ("slots", text), ("template", text), ("new_captions", pa.list_(caption)),
                  ("reworded", pa.list_(caption)), ("draft_captions", pa.list_(caption)),
                  ("inclusion", pa.float64())],
        "items": [("item_id", text), *place, ("split", text), ("group_id", text), ("caption", text),
                  ("language", text), ("verdict", text), ("slots", text), ("template", text), ("facts", text)],
        "labels": [*place, ("split", text), ("group_id", text), ("kind", text), ("path", text), ("meta", text),
                   ("file_hash", text)],
    }  # fmt: skip
    return pa.schema(columns[name])


def _write_rows(folder: Path, name: str, rows: list[Row]) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    path = folder / f"{name}.parquet"
    temporary = path.with_name(path.name + ".tmp")
    parquet.write_table(pa.Table.from_pylist(rows, schema=_schema(name)), temporary)
    os.replace(temporary, path)
    return {"rows": len(rows), "bytes": path.stat().st_size}


def _read_rows(path: Path) -> list[Row]:
    import pyarrow.parquet as parquet

    rows: list[Row] = parquet.read_table(path).to_pylist()
    return rows


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
