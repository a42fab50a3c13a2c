"""Searching photos by a vector: exact for few, by an index for many; an index that is old, cut or of another order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.errors import GenbaError
from data.photos import PhotoError
from data.site import Site
from scoring import search
from scoring.encoders import load_for_site
from scoring.score import score
from scoring.search import PhotoSearch, build
from scoring.vectors import VectorStore

DIM, MANY = 24, 3000


def clustered(n: int, seed: int) -> np.ndarray:
    """(n, DIM) around forty directions that are the same for every seed."""
    centres = np.random.default_rng(0).normal(size=(40, DIM))
    rng = np.random.default_rng(seed + 1)
    made = centres[rng.integers(0, 40, n)] + 0.8 * rng.normal(size=(n, DIM))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def add(store: VectorStore, prefix: str, n: int, seed: int) -> None:
    with store.writing():
        store.append("images", [f"{prefix}{number:05d}" for number in range(n)], clustered(n, seed))
        store.write_manifest()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VectorStore:
    """Three thousand photos where two hundred are compared one by one."""
    monkeypatch.setattr(search, "EXACT_ROWS", 200)
    made = VectorStore(tmp_path / "v", "local-dir:/x", "f1", DIM)
    add(made, "a", MANY, seed=0)
    return made


def exact(store: VectorStore, query: np.ndarray, k: int) -> list[str]:
    images = store.load("images")
    return [images.ids[row] for row in np.argsort(-(np.asarray(images.array) @ query), kind="stable")[:k]]


def index_file(store: VectorStore) -> Path:
    found = search.newest(store.folder)
    assert found is not None
    return found


def test_a_few_photos_are_compared_one_by_one(tmp_path: Path) -> None:
    store = VectorStore(tmp_path / "v", "local-dir:/x", "f1", DIM)
    add(store, "a", 50, seed=0)
    assert build(store) is None and list(store.folder.glob("search*")) == []
    found = PhotoSearch.of(store)
    query = clustered(1, seed=5)[0]
    hits = found.nearest(query, 7)
    assert hits.image_ids == exact(store, query, 7) and not found.is_due
    assert hits.cosines == pytest.approx(store.load("images").take(hits.image_ids) @ query, abs=1e-6)
    assert len(found.nearest(query, 500).image_ids) == 50
    assert len(PhotoSearch.of(VectorStore(tmp_path / "none", "x", "f", DIM)).nearest(query, 3).image_ids) == 0


def test_the_index_finds_the_nearest_of_many(store: VectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PhotoSearch.of(store).is_due
    assert build(store) == index_file(store)
    found = PhotoSearch.of(store)
    assert found.index is not None and not found.is_due and found.trouble == ""
    found.index.faiss.nprobe = (
        40  # of 109 lists: about the share that is searched of a hundred thousand photos
    )
    monkeypatch.setattr(search, "LEAST_CANDIDATES", 100)
    recalls = []
    for query in clustered(40, seed=9):
        hits = found.nearest(query, 50)
        recalls.append(len(set(hits.image_ids) & set(exact(store, query, 50))) / 50)
        assert (np.diff(hits.cosines) <= 0).all()
        assert hits.cosines == pytest.approx(store.load("images").take(hits.image_ids) @ query, abs=1e-6)
    assert np.mean(recalls) > 0.95 and found.index.candidates(clustered(1, 3)[0], 10).shape == (10,)


def test_a_photo_finds_those_like_it_but_not_itself(store: VectorStore) -> None:
    build(store)
    found = PhotoSearch.of(store)
    hits = found.like("a00007", 5)
    assert "a00007" not in hits.image_ids and len(hits.image_ids) == 5
    assert hits.image_ids == exact(store, store.load("images").take(["a00007"])[0], 6)[1:]
    with pytest.raises(GenbaError, match="no vector for 'gone'"):
        found.like("gone", 5)


def test_photos_that_came_later_are_found_too_and_many_make_the_index_due(store: VectorStore) -> None:
    first = build(store)
    before = PhotoSearch.of(store)
    add(store, "b", 100, seed=77)
    assert not before.is_current(store)
    found = PhotoSearch.of(store)
    assert found.index is not None and not found.is_due
    assert found.nearest(clustered(100, seed=77)[3], 1).image_ids == ["b00003"]
    add(store, "c", 150, seed=78)
    late = PhotoSearch.of(store)
    assert late.index is None and late.is_due and late.trouble == ""
    assert late.nearest(clustered(150, seed=78)[3], 1).image_ids == ["c00003"], "slower, and right"
    second = build(store)
    assert second != first and list(store.folder.glob("search-*.faiss")) == [second]
    assert PhotoSearch.of(store).index is not None


def test_an_index_of_another_order_is_not_used(store: VectorStore) -> None:
    path = build(store)
    for shard in store.shards("images"):
        shard.unlink()
    add(store, "z", MANY, seed=0)
    assert PhotoSearch.of(store).index is None
    assert build(store) != path


@pytest.mark.parametrize("harm", ["cut", "changed"])
def test_a_damaged_index_is_told_and_built_again(store: VectorStore, harm: str) -> None:
    path = build(store)
    assert path is not None
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if harm == "cut" else whole[:-9] + b"x" + whole[-8:])
    found = PhotoSearch.of(store)
    assert found.index is None and found.is_due
    assert (
        found.trouble
        == f"The search index {path.name} is damaged: its bytes are not those that were written."
    )
    query = clustered(1, seed=5)[0]
    assert found.nearest(query, 5).image_ids == exact(store, query, 5)
    assert build(store) == path and path.read_bytes() == whole, "the same photos give the same index"
    assert PhotoSearch.of(store).trouble == ""


def test_one_builder_at_a_time(store: VectorStore) -> None:
    from filelock import FileLock

    with (
        FileLock(str(store.folder / search.LOCK)),
        pytest.raises(GenbaError, match="Another process is building"),
    ):
        build(store)


def test_a_photo_from_outside_has_the_vector_of_the_same_photo_inside(site: Site) -> None:
    score(site, device="cpu")
    encoder = load_for_site(site, site.settings.site.encoder)
    stored = VectorStore.of(site, encoder.source).load("images")
    with site.connect() as db:
        rows = db.rows("SELECT image_id, root, uri FROM images ORDER BY image_id LIMIT 3")
    for row in rows:
        data = site.photo_path(row["root"], row["uri"]).read_bytes()
        vector = search.photo_vector(encoder, data, "mine.jpg", max_megapixels=200)
        assert vector == pytest.approx(stored.take([row["image_id"]]), abs=1e-5)
    for data, reason in ((b"no photo at all", "not_an_image"), (b"", "empty_file")):
        with pytest.raises(PhotoError, match=r"mine\.jpg") as told:
            search.photo_vector(encoder, data, "mine.jpg", max_megapixels=200)
        assert told.value.reason == reason and "/tmp" not in str(told.value)
