"""A map of the site: every embedded photo at two coordinates, near to what is like it. `genba map SITE`

    made = make(site, method="tsne")           # MapResult; a second call finds nothing to do
    found = load(site, source)                 # SiteMap: keys, xy (N, 2); None while there is none

SITE/vectors/ENCODER/map.parquet holds image_id, x, y. Beside it map-slots.parquet holds what each caption states of the
template's choices, so that the map can be coloured by it, and search-….faiss the search index (scoring/search.py).
"pca": the two directions in which the photos differ most; exact, in one pass, the same every time. "tsne": LANDMARKS
photos laid out so that neighbours stay neighbours (van der Maaten and Hinton 2008), each other photo among the
landmarks most like it; what is far apart there says nothing of how unlike it is.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.errors import GenbaError
from data.jobs import Progress, silent
from scoring import search
from scoring.vectors import VectorStore
from scoring.wording import CHOICES

if TYPE_CHECKING:
    import pyarrow

    from data.site import Site
    from data.templates import Template
    from scoring.encoder_files import EncoderSource
    from scoring.rows import Rows

    Photos = NDArray[np.float32] | Rows

FILE, SLOTS_FILE = "map.parquet", "map-slots.parquet"
READ = 8192  # vectors held at a time
LANDMARKS = 4000  # t-SNE of so many takes half a minute on two cores
DIRECTIONS = 50  # of the photos, before t-SNE
PERPLEXITY = 30.0
BESIDE = 3  # landmarks between which another photo stands
SHARPNESS = 20.0  # of their weights, exp(SHARPNESS * cosine)
CAPTIONS_STEP = 2000  # captions read between two reports

XY = NDArray[np.float32]


@dataclass(frozen=True)
class SiteMap:
    """N photos. keys: their ids, xy: (N, 2) float32, each axis in [-1, 1]."""

    keys: pyarrow.Array
    xy: XY
    method: str

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True)
class MapResult:
    """What one run did."""

    encoder: str
    method: str
    photos: int
    placed: int  # photos whose coordinates this run computed; 0 when nothing was new
    captions_read: int  # captions whose slots this run read
    indexed: int  # photos in the search index; 0: they are few enough without
    seconds: float


def make(site: Site, method: str | None = None, progress: Progress = silent) -> MapResult:
    """Place all embedded photos, read the slots of new captions, build the search index where it is due.

    method: one of METHODS; None: as the last time. Raises GenbaError when nothing is embedded yet.
    """
    from scoring.encoders import source_for_site

    started = time.monotonic()
    source = source_for_site(site, site.queue_encoder())
    store = VectorStore.of(site, source)
    images = store.load("images", remove=False)
    if not len(images):
        raise GenbaError("No photo is embedded yet, so there is no map.", next=f"genba score {site.root}")
    before = load(site, source)
    method = method or (before.method if before else "pca")
    if method not in METHODS:
        raise GenbaError(f"No map {method!r}.", choices=METHODS)
    placed = 0
    if before is None or before.method != method or not before.keys.equals(images.keys):
        xy = scaled(METHODS[method](images.array, progress))
        _write_map(store, images.keys, xy, method)
        placed = len(images)
    read = _read_slots(site, store, source, progress)
    index = search.build(store, progress)
    return MapResult(source.id, method, len(images), placed, read, len(images) if index else 0,
                     round(time.monotonic() - started, 1))  # fmt: skip


def load(site: Site, source: EncoderSource) -> SiteMap | None:
    """The map of an encoder, None while there is none. Raises GenbaError for a damaged file."""
    import pyarrow
    import pyarrow.parquet

    path = VectorStore.of(site, source).folder / FILE
    try:
        table = pyarrow.parquet.read_table(path)
        said = table.schema.metadata or {}
        if said.get(b"fingerprint") != source.fingerprint.encode():
            return None  # of another checkpoint
        xy = np.column_stack([table[axis].to_numpy() for axis in ("x", "y")])
        return SiteMap(table["image_id"].combine_chunks(), xy, said[b"method"].decode())
    except FileNotFoundError:
        return None
    except (OSError, KeyError, pyarrow.ArrowException) as error:
        raise GenbaError(
            f"The map {path} is damaged: {error}.", next=f"rm {path}; genba map {site.root}"
        ) from error


def is_due(site: Site, source: EncoderSource) -> bool:
    """Whether photos were embedded that the map or the search index does not know; looks at names and counts alone."""
    import pyarrow.parquet

    store = VectorStore.of(site, source)
    manifest = store.manifest()
    if manifest is None or not manifest["counts"]["images"]:
        return False  # nothing is embedded, or a scoring is under way
    count, path = manifest["counts"]["images"], store.folder / FILE
    if not path.exists():
        return True
    known = pyarrow.parquet.read_metadata(path)
    return known.num_rows != count or known.metadata.get(b"fingerprint") != source.fingerprint.encode()


def _write_map(store: VectorStore, keys: pyarrow.Array, xy: XY, method: str) -> None:
    import pyarrow

    table = pyarrow.table(
        {"image_id": keys, "x": xy[:, 0], "y": xy[:, 1]},
        metadata={"fingerprint": store.fingerprint, "method": method},
    )
    _replace(table, store.folder / FILE)


def _replace(table: pyarrow.Table, path: Path) -> None:
    """Another process sees the old file or the new one, never half of one."""
    import pyarrow.parquet

    half_written = path.with_suffix(f".{os.getpid()}.half")
    pyarrow.parquet.write_table(table, half_written)
    os.replace(half_written, path)


def scaled(xy: NDArray[np.floating[Any]]) -> XY:
    """Each axis to [-1, 1]; an axis on which all are equal to 0."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    return ((2 * xy - low - high) / width).astype(np.float32)


def directions(vectors: Photos, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Principal components from one pass over blocks: mean (D,) and the directions (D, count) of largest variance.

    Each direction's largest number is positive, so that a second run shows the same map, not its mirror image.
    """
    width = vectors.shape[1]
    total, products = np.zeros(width), np.zeros((width, width))
    for start in range(0, len(vectors), READ):
        block = np.asarray(vectors[start : start + READ], dtype=np.float32)
        total += block.sum(axis=0, dtype=np.float64)
        products += block.T @ block
    mean = total / len(vectors)
    _, found = np.linalg.eigh(products / len(vectors) - np.outer(mean, mean))
    found = found[:, ::-1][:, :count]
    return mean, found * np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])])


def projected(vectors: Photos, count: int, progress: Progress = silent) -> XY:
    """(N, count): along the principal components."""
    mean, along = directions(vectors, min(count, vectors.shape[1]))
    found = np.empty((len(vectors), along.shape[1]), dtype=np.float32)
    for start in range(0, len(vectors), READ):
        found[start : start + READ] = (vectors[start : start + READ] - mean) @ along
        progress(min(start + READ, len(vectors)), len(vectors), "photos")
    return found


def by_pca(vectors: Photos, progress: Progress = silent) -> XY:
    """(N, 2)"""
    return projected(vectors, 2, progress)


def by_tsne(vectors: Photos, progress: Progress = silent) -> XY:
    """(N, 2): landmarks by t-SNE on their principal components, the others beside the landmarks most like them."""
    from sklearn.manifold import TSNE

    if len(vectors) < 3 * BESIDE:
        return by_pca(vectors, progress)  # too few to have neighbourhoods
    drawn = np.random.default_rng(0).permutation(len(vectors))[:LANDMARKS]
    landmarks = np.ascontiguousarray(vectors[np.sort(drawn)], dtype=np.float32)
    perplexity = min(PERPLEXITY, (len(landmarks) - 1) / 3)
    shape = projected(landmarks, min(DIRECTIONS, len(landmarks)))
    laid = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(shape)
    return beside(vectors, landmarks, np.asarray(laid, dtype=np.float32), progress)


def beside(vectors: Photos, landmarks: XY, laid: XY, progress: Progress = silent) -> XY:
    """Each photo between its nearest landmarks, weighed by how like it they are; a landmark where it was laid."""
    import faiss

    index = faiss.IndexFlatIP(landmarks.shape[1])
    index.add(landmarks)
    found = np.empty((len(vectors), 2), dtype=np.float32)
    for start in range(0, len(vectors), READ):
        block = np.ascontiguousarray(vectors[start : start + READ], dtype=np.float32)
        cosine, place = index.search(block, BESIDE)
        weight = np.exp(SHARPNESS * (cosine - cosine[:, :1]))
        weight[cosine[:, 0] > 1 - 1e-5, 1:] = 0  # a landmark itself
        weight /= weight.sum(axis=1, keepdims=True)
        found[start : start + READ] = np.einsum("nk,nkd->nd", weight, laid[place])
        progress(min(start + READ, len(vectors)), len(vectors), "photos")
    return found


METHODS: Mapping[str, Callable[[Photos, Progress], XY]] = {"pca": by_pca, "tsne": by_tsne}


# What captions state.


@dataclass(frozen=True)
class Stated:
    """What captions state of each choice of the template: caption ids, and by slot the value of each, None = none."""

    keys: pyarrow.Array
    values: Mapping[str, pyarrow.Array]

    @cached_property
    def slots(self) -> list[str]:
        return list(self.values)


def stated(site: Site, source: EncoderSource, template: Template) -> Stated | None:
    """What was read with the site's template; None while nothing was."""
    import pyarrow
    import pyarrow.parquet

    path = VectorStore.of(site, source).folder / SLOTS_FILE
    try:
        table = pyarrow.parquet.read_table(path)
    except (FileNotFoundError, pyarrow.ArrowException):
        return None  # the next run writes it anew
    if (table.schema.metadata or {}).get(b"template") != _template_key(template):
        return None
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    return Stated(columns.pop("caption_id"), columns)


def _template_key(template: Template) -> bytes:
    return hashlib.sha256(template.model_dump_json().encode()).hexdigest().encode()


def _read_slots(site: Site, store: VectorStore, source: EncoderSource, progress: Progress) -> int:
    """Read captions that were not read before with this template; how many."""
    import pyarrow
    import pyarrow.compute

    template = site.template()
    before = stated(site, source, template)
    names = [slot.id for slot in template.slots if slot.type in CHOICES]
    with site.connect() as db:
        table = db.table(
            "SELECT caption_id, any_value(caption) AS caption, any_value(language) AS language FROM pairs "
            "WHERE state = 'captioned' AND list_contains(?, language) GROUP BY caption_id ORDER BY caption_id",
            [list(template.languages)],
        )
    if before is not None:
        known = pyarrow.compute.is_in(table["caption_id"], value_set=before.keys)  # type: ignore[attr-defined]
        table = table.filter(pyarrow.compute.invert(known))  # type: ignore[attr-defined]
        if not len(table):
            return 0
    rows: list[dict[str, Any]] = []
    for row in table.to_pylist():
        found = template.parse(row["caption"], row["language"])
        rows.append({"caption_id": row["caption_id"]} | {name: _as_text(found.get(name)) for name in names})
        if len(rows) % CAPTIONS_STEP == 0:
            progress(len(rows), len(table), "captions")
    schema = pyarrow.schema([(name, pyarrow.string()) for name in ("caption_id", *names)])
    parts = [pyarrow.Table.from_pylist(rows, schema)]
    if before is not None:
        parts.insert(0, pyarrow.table({"caption_id": before.keys, **before.values}, schema))
    whole = pyarrow.concat_tables(parts).replace_schema_metadata({"template": _template_key(template)})
    _replace(whole, store.folder / SLOTS_FILE)
    return len(rows)


def _as_text(value: Any) -> str | None:
    return None if value is None else str(value)
