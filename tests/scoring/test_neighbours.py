"""Neighbours against a plain search, by FAISS against the exact one, and the memory they take."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from scoring import neighbours
from scoring.neighbours import Neighbours, members, nearest, standing
from tests.conftest import CHECKOUT, ENVIRONMENT
from tests.scoring.synthetic import normalised, unit


def brute_force(vectors, queries, k, groups, query_groups):
    """Row by row, in plain Python."""
    rows, cosines = [], []
    for query, own in zip(queries, query_groups, strict=True):
        found = sorted(
            (-float(vector @ query), row)
            for row, (vector, group) in enumerate(zip(vectors, groups, strict=True))
            if group != own
        )[:k]
        rows.append([row for _, row in found] + [-1] * (k - len(found)))
        cosines.append([-cosine for cosine, _ in found] + [-2.0] * (k - len(found)))
    return np.array(rows), np.array(cosines)


def clustered(n: int, dim: int = 32, clusters: int = 60, spread: float = 0.5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dim))[rng.integers(0, clusters, n)]
    return normalised(centres + spread * rng.normal(size=(n, dim)))


def among_themselves(vectors, k, groups) -> Neighbours:
    rows = np.arange(len(vectors))
    return nearest(vectors, rows, rows, k, groups, groups)


@pytest.mark.parametrize("k", [1, 5, 50, 80])
def test_exact_is_what_a_plain_search_finds(k):
    """Rows 5 to 54 are looked among, rows 50 to 69 asked."""
    vectors, rows, asked = unit(70), np.arange(5, 55), np.arange(50, 70)
    groups = np.arange(70) // 3
    found = nearest(vectors, rows, asked, k, groups[rows], groups[asked])
    place, cosine = brute_force(vectors[rows], vectors[asked], min(k, 50), groups[rows], groups[asked])
    assert np.array_equal(found.place, place) and np.allclose(found.cosine, cosine, atol=1e-6)


@pytest.mark.parametrize("in_group", [20, 60, 300])
def test_however_many_near_duplicates_there_are_others_are_found(in_group):
    """A camera that does not move makes hundreds of photos that are most like each other."""
    groups = np.arange(600) // in_group
    vectors = normalised(unit(600 // in_group + 1, seed=1)[groups] + 0.01 * unit(600))
    found = among_themselves(vectors, 5, groups)
    place, cosine = brute_force(vectors, vectors, 5, groups, groups)
    assert np.array_equal(found.place, place) and np.allclose(found.cosine, cosine, atol=1e-6)


@pytest.mark.parametrize("n", [2, 100])
def test_nothing_but_near_duplicates(n):
    found = among_themselves(unit(n), 5, np.zeros(n, dtype=np.int64))
    assert (found.place == -1).all() and (found.cosine == -2).all()


def test_on_disk_or_in_memory(tmp_path):
    vectors, groups = unit(200), np.arange(200) // 2
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    assert np.array_equal(
        among_themselves(mapped, 5, groups).place, among_themselves(vectors, 5, groups).place
    )


def test_where_there_are_fewer_it_fills_up():
    vectors = np.eye(3, dtype=np.float32)
    found = among_themselves(vectors, 3, np.array([0, 0, 1]))
    assert found.place.tolist() == [[2, -1, -1], [2, -1, -1], [0, 1, -1]]
    assert found.cosine.tolist() == [[0, -2, -2], [0, -2, -2], [0, 0, -2]]


@pytest.mark.parametrize(("n", "q"), [(0, 3), (3, 0), (0, 0)])
def test_nothing_to_look_at_or_for(n, q):
    found = nearest(unit(3), np.arange(n), np.arange(q), 5, np.arange(n), np.arange(q))
    assert found.place.shape == (q, min(5, n)) == found.cosine.shape


def test_blocks_give_the_same_as_one(monkeypatch):
    vectors, groups = unit(200), np.arange(200) // 2
    whole = among_themselves(vectors, 7, groups)
    monkeypatch.setattr(neighbours, "READ", 30)
    monkeypatch.setattr(neighbours, "RANKED", 1000)
    parts = among_themselves(vectors, 7, groups)
    assert np.array_equal(whole.place, parts.place) and np.array_equal(whole.cosine, parts.cosine)


class TestPastExact:
    """The index that looks into a part of the rows, from 1,000 rows and 100 asked on."""

    @pytest.fixture(autouse=True)
    def past_exact(self, monkeypatch):
        monkeypatch.setattr(neighbours, "EXACT_ROWS", 1000)
        monkeypatch.setattr(neighbours, "FEW_ASKED", 100)

    @pytest.mark.parametrize("spread", [0.5, 0.8])
    def test_finds_nearly_all(self, spread, monkeypatch):
        made = clustered(6000, spread=spread)
        found = among_themselves(made, 30, np.arange(6000))
        monkeypatch.setattr(neighbours, "EXACT_ROWS", 6000)
        exact = among_themselves(made, 30, np.arange(6000))
        shared = [len(set(a) & set(b)) for a, b in zip(found.place, exact.place, strict=True)]
        assert np.mean(shared) / 30 > 0.9
        assert (found.place[:, 0] == exact.place[:, 0]).mean() > 0.95

    def test_leaves_the_near_duplicates_out_and_gives_true_cosines(self):
        vectors = clustered(3000)
        vectors[1::2] = vectors[::2]  # each stands there twice, as one group
        groups = np.arange(3000) // 2
        found = among_themselves(vectors, 10, groups)
        assert (found.place >= 0).all() and (groups[found.place] != groups[:, None]).all()
        of_rows = np.einsum("nd,nkd->nk", vectors, vectors[found.place])
        assert np.allclose(found.cosine, of_rows, atol=1e-6)
        assert (np.diff(found.cosine, axis=1) <= 0).all(), "nearest first"

    def test_a_few_are_compared_with_all_rows_without_building_an_index(self, monkeypatch):
        import faiss

        vectors, rows, asked = clustered(2000), np.arange(1900), np.arange(1850, 1950)
        monkeypatch.setattr(faiss, "index_factory", lambda *_: pytest.fail("an index for so few"))
        monkeypatch.setattr(neighbours, "READ", 64)
        found = nearest(vectors, rows, asked, 5, rows, asked)
        place, cosine = brute_force(vectors[rows], vectors[asked], 5, rows, asked)
        assert np.array_equal(found.place, place) and np.allclose(found.cosine, cosine, atol=1e-6)

    def test_what_a_gpu_does_compares_with_all_rows(self, monkeypatch):
        """The same code on the CPU: blocks of a few rows, so that their best are merged."""
        vectors, groups = clustered(1500), np.arange(1500) // 2
        monkeypatch.setattr(neighbours, "GPU_BLOCK", 100 * 400)
        monkeypatch.setattr(neighbours, "READ", 400)
        held = neighbours.OnDevice(vectors, np.arange(1500), "cpu")
        monkeypatch.setattr(neighbours, "OnDevice", lambda *_: held)
        found = nearest(vectors, np.arange(1500), np.arange(700), 10, groups, groups[:700], "cuda")
        place, cosine = brute_force(vectors, vectors[:700], 10, groups, groups[:700])
        assert np.array_equal(found.place, place) and np.allclose(found.cosine, cosine, atol=1e-6)

    def test_the_same_every_time(self):
        vectors = clustered(2000)
        first, second = (among_themselves(vectors, 5, np.arange(2000)) for _ in range(2))
        assert np.array_equal(first.place, second.place)

    @pytest.mark.parametrize("order", ["import torch, faiss", "import faiss, torch"])
    def test_works_beside_torch(self, order):
        """Both bring a runtime of threads; together they must neither crash nor wait for each other."""
        program = f"""
{order}
import numpy as np
from scoring import neighbours
neighbours.EXACT_ROWS = neighbours.FEW_ASKED = 10
rows = np.arange(3000)
vectors = np.random.default_rng(0).normal(size=(3000, 16)).astype("float32")
for _ in range(2):
    torch.linalg.svd(torch.randn(200, 200) @ torch.randn(200, 200))
    print(neighbours.nearest(vectors, rows, rows, 5, rows, rows).place.shape)
"""
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=CHECKOUT, env=ENVIRONMENT, capture_output=True, text=True,
            timeout=120,
        )  # fmt: skip
        assert done.returncode == 0 and done.stdout.split("\n")[:2] == ["(3000, 5)"] * 2, done.stderr


@pytest.mark.parametrize("exact_rows", [0, 6000])
@pytest.mark.parametrize("in_group", [1, 1000])
def test_memory_does_not_grow_with_rows_times_asked(monkeypatch, exact_rows, in_group):
    """All similarities of 6,000 rows are 144 MB, all candidates' vectors 98 MB."""
    import faiss  # noqa: F401  (its own modules are not counted)

    vectors = clustered(6000, dim=64)
    for name, value in (("READ", 512), ("RANKED", 1 << 18), ("EXACT_ROWS", exact_rows), ("FEW_ASKED", 10)):
        monkeypatch.setattr(neighbours, name, value)
    tracemalloc.start()
    try:
        among_themselves(vectors, 30, np.arange(6000) // in_group)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 25e6, f"{peak / 1e6:.0f} MB"


def test_members_by_hand():
    found = members(np.array([2, 0, 2, 2, 0]), 2, np.array([True, True, True, False, True]))
    assert found.shape == (3, 2)
    assert set(found[0]) == {1, 4} and found[1].tolist() == [-1, -1] and set(found[2]) == {0, 2}


def test_members_draws_when_there_are_more():
    found = members(np.zeros(1000, dtype=int), 10, np.ones(1000, dtype=bool))[0]
    assert len(set(found)) == 10 and 300 < found.mean() < 700, "not the first ones"
    assert np.array_equal(found, members(np.zeros(1000, dtype=int), 10, np.ones(1000, dtype=bool))[0])


def test_members_do_not_change_with_what_is_not_counted():
    item, counted = np.random.default_rng(0).integers(0, 5, 100), np.arange(100) < 80
    assert np.array_equal(members(item, 4, counted)[:5], members(item[:80], 4, counted[:80]))


def test_standing_by_hand():
    of_item = np.array([[10, 11], [20, -1], [30, 31]])
    near = np.array([[2, 1, 0], [1, -1, -1]])
    assert standing(near, of_item, 4).tolist() == [[30, 31, 20, 10], [20, -1, -1, -1]]
    unwanted = np.zeros((2, 6), dtype=bool)
    unwanted[0, 1] = unwanted[1, 0] = True
    assert standing(near, of_item, 4, unwanted).tolist() == [[30, 20, 10, 11], [-1, -1, -1, -1]]
