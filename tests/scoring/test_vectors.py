"""Vectors on disk: what is written comes back, what is half, damaged or of another checkpoint does not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.errors import GenbaError
from scoring import vectors as vectors_module
from scoring.vectors import Vectors, VectorStore


def unit(n: int, dim: int = 4, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def store(folder: Path, fingerprint: str = "f1", dim: int = 4) -> VectorStore:
    return VectorStore(folder, "local-dir:/x", fingerprint, dim)


@pytest.fixture(params=["in memory", "on disk"], autouse=True)
def held(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small sites have their vectors in memory, large ones on disk: everything holds for both."""
    monkeypatch.setattr(vectors_module, "HELD_BYTES", 1 << 20 if request.param == "in memory" else 0)


@pytest.fixture
def filled(tmp_path: Path) -> VectorStore:
    """Two shards of images, one of captions, and the manifest."""
    made = store(tmp_path / "v")
    with made.writing():
        made.append("images", ["a", "b"], unit(2))
        made.append("images", ["c"], unit(1, seed=1))
        made.append("captions", ["t"], unit(1, seed=2))
        made.write_manifest()
    return made


def test_what_is_written_comes_back_by_id(filled):
    found = filled.load("images")
    assert found.ids == ["a", "b", "c"] and found.array.dtype == np.float32
    assert np.array_equal(
        found.take(["c", "a", "c"]), np.concatenate([unit(1, seed=1), unit(2)[:1], unit(1, seed=1)])
    )
    assert found.take([]).shape == (0, 4)
    with pytest.raises(GenbaError, match="no vector for 'z'"):
        found.take(["a", "z"])


def test_an_empty_store_has_no_vectors(tmp_path):
    found = store(tmp_path / "new").load("images")
    assert len(found) == 0 and found.array.shape == (0, 4)


def test_the_manifest_says_what_there_is_and_is_written_last(filled):
    manifest = json.loads((filled.folder / "manifest.json").read_text())
    assert manifest["counts"] == {"images": 3, "captions": 1}
    assert (manifest["encoder"], manifest["fingerprint"], manifest["dim"]) == ("local-dir:/x", "f1", 4)
    assert filled.manifest() == manifest
    with filled.writing():
        filled.append("images", ["d"], unit(1))
    assert filled.manifest() is None, "a shard that it does not name: the run was killed before its end"


@pytest.mark.parametrize("harm", ["absent", "no json", "other checkpoint", "shard gone"])
def test_a_manifest_that_does_not_fit_counts_as_none(filled, harm):
    path = filled.folder / "manifest.json"
    if harm == "absent":
        path.unlink()
    elif harm == "no json":
        path.write_text("{")
    elif harm == "shard gone":
        filled.shards("images")[0].unlink()
    asked = store(filled.folder, "f2" if harm == "other checkpoint" else "f1")
    assert asked.manifest() is None


@pytest.mark.parametrize("harm", ["cut short", "empty", "a bit flipped", "no parquet"])
def test_a_damaged_shard_is_removed_and_counted_the_others_stay(filled, harm, caplog):
    path = filled.shards("images")[0]
    content = bytearray(path.read_bytes())
    if harm == "cut short":
        content = content[: len(content) // 2]
    elif harm == "empty":
        content = bytearray()
    elif harm == "a bit flipped":
        at = content.index(
            unit(2).tobytes()[:16]
        )  # in the vectors themselves: the footer still says all is well
        content[at + 5] ^= 0x10
    else:
        content = bytearray(b"not a shard at all")
    path.write_bytes(content)
    found = filled.load("images")
    assert found.ids == ["c"] and filled.damaged == 1 and filled.discarded == 0
    assert not path.exists() and str(path) in caplog.text and "damaged" in caplog.text


def test_vectors_of_another_checkpoint_are_discarded(filled):
    other = store(filled.folder, "f2")
    assert len(other.load("images")) == 0 and other.discarded == 3 and other.damaged == 0
    assert filled.shards("images") == []
    wider = store(filled.folder, "f3", dim=6)
    assert wider.load("captions").array.shape == (0, 6) and wider.discarded == 1


def test_what_a_killed_run_left_half_written_is_removed(filled):
    half = filled.folder / "images-000009.tmp"
    half.write_bytes(b"half")
    assert "images-000009" not in [path.stem for path in filled.shards("images")]
    with filled.writing():
        assert not half.exists()


def test_many_small_shards_become_one(tmp_path):
    made = store(tmp_path / "v")
    with made.writing():
        for number in range(vectors_module.MANY_SMALL_SHARDS):
            made.append("captions", [f"t{number}"], unit(1, seed=number))
        before = made.load("captions")
        made.write_manifest()
    assert len(made.shards("captions")) == 1
    after = made.load("captions")
    assert after.ids == before.ids and np.array_equal(after.array, before.array)
    assert made.manifest() is not None


def test_merged_shards_hold_a_full_shard_each(tmp_path, monkeypatch):
    monkeypatch.setattr(vectors_module, "SHARD_ROWS", 10)
    made = store(tmp_path / "v")
    with made.writing():
        for number in range(20):
            made.append("images", [f"a{number}", f"b{number}"], unit(2, seed=number))
        made.write_manifest()
    found = made.load("images")
    rows = [shard["rows"] for shard in made.manifest()["shards"].values()]
    assert sorted(rows) == [2, 2, 2, 2, 2, 10, 10, 10] and len(found) == 40, "16 became four; four came after"
    assert np.array_equal(found.take(["b7"]), unit(2, seed=7)[1:])


def test_the_same_id_in_two_shards_counts_once(filled):
    """A run that was killed while it merged shards leaves both."""
    with filled.writing():
        filled.append("images", ["c", "d"], np.concatenate([unit(1, seed=1), unit(1, seed=3)]))
        filled.write_manifest()
    assert filled.load("images").ids == ["a", "b", "c", "d"]
    assert filled.manifest()["counts"]["images"] == 4


def test_joined_keeps_the_first_of_an_id():
    first, second = Vectors(["a"], unit(1)), Vectors(["a", "b"], unit(2, seed=1))
    joined = first.joined(second)
    assert joined.ids == ["a", "b"]
    assert np.array_equal(joined.array, np.concatenate([unit(1), unit(2, seed=1)[1:]]))
    assert first.joined(Vectors([], unit(0))) is first


def test_two_writers_do_not_meet(filled, monkeypatch):
    monkeypatch.setattr(vectors_module, "LOCK_WAIT_SECONDS", 0.1)
    other = store(filled.folder)
    with (
        filled.writing(),
        pytest.raises(GenbaError, match=r"Another process is writing vectors .*\.lock"),
        other.writing(),
    ):
        pass


def test_a_reader_without_the_lock_removes_nothing(filled):
    shards = filled.shards("images")
    shards[0].write_bytes(b"damaged")
    assert filled.load("images", remove=False).ids == ["c"] and filled.shards("images") == shards
    assert store(filled.folder, "f2").load("images", remove=False).ids == [] and filled.damaged == 0


def test_a_reader_finds_what_is_merged_while_it_looks(filled, monkeypatch):
    """The shards that it has listed are gone when it opens them."""
    reader, listed = store(filled.folder), VectorStore.shards

    def listing(self: VectorStore, kind: str) -> list[Path]:
        found = listed(self, kind)
        if self is reader and len(found) > 1:
            with filled.writing():
                filled._merge(kind, found)
        return found

    monkeypatch.setattr(VectorStore, "shards", listing)
    assert reader.load("images", remove=False).ids == ["a", "b", "c"]


def test_rows_of_many_ids_and_of_few(tmp_path):
    ids = [f"id{number}" for number in range(50)]
    found = Vectors(ids, unit(50))
    for asked in (["id3", "nobody", "id49", "id3"], [*reversed(ids), "nobody", "id1"], []):
        expected = [ids.index(one) if one in ids else -1 for one in asked]
        assert found.rows(asked).tolist() == expected
        assert found.rows(pyarrow.array(asked, pyarrow.string())).tolist() == expected
    assert found.place["id7"] == 7 and found.rows(["id7", "x"]).tolist() == [7, -1]


def test_any_parquet_reader_reads_a_shard(filled):
    """And finds the rows that were found by their place in the file."""
    import pyarrow.parquet

    tables = [pyarrow.parquet.read_table(path) for path in filled.shards("images")]
    assert [one for table in tables for one in table["id"].to_pylist()] == ["a", "b", "c"]
    vectors = [one for table in tables for one in table["vector"].to_pylist()]
    assert np.array_equal(np.array(vectors, dtype=np.float32), np.asarray(filled.load("images").array))


@given(rows=st.integers(1, 400), dim=st.integers(1, 70), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_size_the_vectors_come_back(tmp_path_factory, rows, dim, seed):
    made = store(tmp_path_factory.mktemp("v"), dim=dim)
    vectors = unit(rows, dim, seed)
    with made.writing():
        made.append("images", [f"{row:x}" for row in range(rows)], vectors)
    assert np.array_equal(np.asarray(made.load("images").array), vectors)


def test_another_layout_of_parquet_is_noticed_when_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(vectors_module, "ONE_PAGE", 64)  # bytes: many pages
    made = store(tmp_path / "v")
    with made.writing(), pytest.raises(RuntimeError, match="rows cannot be found"):
        made.append("images", [str(row) for row in range(5000)], unit(5000))
