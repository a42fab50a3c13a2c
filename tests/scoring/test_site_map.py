"""The map of a site: places by hand-computed and reference cases, and the job on a real site with a tiny encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.errors import GenbaError
from data.records import caption_id, pair_id
from data.site import Site, init_site
from data.store import now
from scoring import site_map
from scoring.encoders import source_for_site
from scoring.vectors import VectorStore
from tests.scoring.synthetic import normalised, unit

CAPTIONS = (
    "two steel bolts with a scratch",
    "真鍮製ナット1個、キズあり",
    "a part",
    "steel washer with a dent",
)


def embed(site: Site, ids: list[str], seed: int = 0) -> None:
    store = VectorStore.of(site, source_for_site(site))
    with store.writing():
        store.append("images", ids, unit(len(ids), store.dim, seed))
        store.write_manifest()


@pytest.fixture
def site(tmp_path: Path, tiny_encoder: Path) -> Site:
    """Forty embedded photos, the first four with a caption."""
    (tmp_path / "photos").mkdir()
    made = init_site(tmp_path / "site", [tmp_path / "photos"], "parts", f"local-dir:{tiny_encoder}")
    ids = [f"{number:064x}" for number in range(40)]
    with made.connect() as db:
        db.insert("pairs", [
            {"pair_id": pair_id(one, text), "image_id": one, "caption": text, "caption_id": caption_id(text),
             "language": "en" if text.isascii() else "ja", "origin": "legacy", "state": "captioned", "extra": {},
             "added_at": now()} for one, text in zip(ids, CAPTIONS, strict=False)])  # fmt: skip
    embed(made, ids)
    return made


def test_principal_components_are_those_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_map, "READ", 7)
    vectors = normalised(np.random.default_rng(3).normal(size=(60, 6)) * [5, 3, 1, 1, 1, 1])
    centred = vectors - vectors.mean(axis=0)
    along = np.linalg.svd(centred, full_matrices=False)[2][:2].T
    along *= np.sign(along[np.abs(along).argmax(axis=0), [0, 1]])
    assert site_map.by_pca(vectors) == pytest.approx(centred @ along, abs=1e-4)


def test_the_same_photos_give_the_same_map() -> None:
    vectors = unit(50, 16)
    for method in site_map.METHODS.values():
        first, second = (method(vectors, lambda *_: None) for _ in range(2))
        assert np.array_equal(first, second) and first.shape == (50, 2) and np.isfinite(first).all()


def test_scaled_fills_the_square_and_leaves_equal_ones_in_the_middle() -> None:
    assert site_map.scaled(np.array([[0.0, 7], [5, 7], [10, 7]])).tolist() == [[-1, 0], [0, 0], [1, 0]]


def test_a_photo_stands_between_the_landmarks_most_like_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_map, "BESIDE", 2)
    landmarks = np.eye(3, dtype=np.float32)
    laid = np.array([[0, 0], [10, 0], [0, 99]], dtype=np.float32)
    asked = normalised(np.array([[1, 1, 0], [1, 0, 0], [3, 1, 0]]))
    found = site_map.beside(asked, landmarks, laid)
    assert found[0] == pytest.approx([5, 0], abs=1e-4) and found[1] == pytest.approx([0, 0])
    assert 0 < found[2, 0] < 5


def test_neighbours_stay_neighbours_beyond_the_landmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_map, "LANDMARKS", 60)
    cluster = np.arange(150) % 3
    vectors = normalised(np.eye(3, 16)[cluster] + 0.15 * np.random.default_rng(1).normal(size=(150, 16)))
    xy = site_map.scaled(site_map.by_tsne(vectors, lambda *_: None))
    centres = np.array([xy[cluster == one].mean(axis=0) for one in range(3)])
    nearest = np.linalg.norm(xy[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == cluster).mean() > 0.95


def test_the_job_places_photos_and_reads_captions_once(site: Site) -> None:
    source = source_for_site(site)
    assert site_map.is_due(site, source) and site_map.load(site, source) is None
    made = site_map.make(site)
    assert (made.method, made.photos, made.placed, made.captions_read, made.indexed) == ("pca", 40, 40, 4, 0)
    found = site_map.load(site, source)
    assert (
        found is not None and len(found) == 40 and found.method == "pca" and not site_map.is_due(site, source)
    )
    again = site_map.make(site)
    assert (again.placed, again.captions_read) == (0, 0)
    assert site_map.make(site, "tsne").placed == 40 and site_map.make(site).method == "tsne"
    stated = site_map.stated(site, source, site.template())
    assert stated is not None
    told = {name: dict(zip(stated.keys.to_pylist(), column.to_pylist(), strict=True))
            for name, column in stated.values.items()}  # fmt: skip
    keys = [caption_id(text) for text in CAPTIONS]
    assert [told["part"][key] for key in keys] == ["bolt", "nut", None, "washer"]
    assert [told["defect"][key] for key in keys] == ["scratch", "scratch", None, "dent"]
    assert [told["count"][key] for key in keys][:2] == ["2", "1"]


def test_new_photos_make_the_map_due(site: Site) -> None:
    source = source_for_site(site)
    site_map.make(site)
    embed(site, [f"{number:064x}" for number in range(40, 45)], seed=4)
    assert site_map.is_due(site, source)
    assert site_map.make(site).placed == 45 and not site_map.is_due(site, source)


def test_what_cannot_be_made_or_read_is_said(site: Site, tmp_path: Path, tiny_encoder: Path) -> None:
    with pytest.raises(GenbaError, match=r"No map 'umap'.*Known: pca, tsne|No map 'umap'"):
        site_map.make(site, "umap")
    site_map.make(site)
    path = VectorStore.of(site, source_for_site(site)).folder / site_map.FILE
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(GenbaError, match="is damaged"):
        site_map.load(site, source_for_site(site))
    bare = init_site(tmp_path / "bare", [tmp_path / "photos"], "parts", f"local-dir:{tiny_encoder}")
    with pytest.raises(GenbaError, match="No photo is embedded yet"):
        site_map.make(bare)
