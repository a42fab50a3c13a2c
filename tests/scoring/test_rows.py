"""Rows on disk read as a NumPy array with the same rows does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import GenbaError
from scoring.rows import FilePart, HeldPart, Rows, joined

SIZES = (3, 1, 0, 5)
N, DIM = sum(SIZES), 4
WHOLE = np.random.default_rng(0).normal(size=(N, DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """Parts on disk at odd addresses, and one in memory."""
    folder, parts, start = tmp_path_factory.mktemp("rows"), [], 0
    for number, size in enumerate(SIZES):
        some = WHOLE[start : start + size]
        path = folder / f"{number}"
        path.write_bytes(b"x" * (number + 1) + some.tobytes() + b"tail")
        parts.append(FilePart(path, number + 1, size, DIM) if size != 1 else HeldPart(some))
        start += size
    return Rows(parts, DIM)


def test_shape_and_whole(rows):
    assert (rows.shape, rows.dtype, len(rows), rows.ndim) == ((N, DIM), np.float32, N, 2)
    assert np.array_equal(np.asarray(rows), WHOLE) and np.asarray(rows, dtype=np.float64).dtype == np.float64
    assert np.array_equal(np.concatenate([rows[a:b] for a, b in rows.blocks(2)]), WHOLE)


@given(start=st.integers(-12, 12), stop=st.integers(-12, 12), step=st.sampled_from([1, 2, -1, 3]))
def test_slices(rows, start, stop, step):
    found = rows[start:stop:step]
    assert np.array_equal(found, WHOLE[start:stop:step]) and found.dtype == np.float32


@given(numbers=st.lists(st.integers(-N, N - 1), max_size=20))
def test_numbers_in_any_order(rows, numbers):
    assert np.array_equal(rows[numbers], WHOLE[np.array(numbers, dtype=int)])
    assert np.array_equal(rows[np.array(numbers, dtype=np.int32)], WHOLE[np.array(numbers, dtype=int)])


@given(mask=st.lists(st.booleans(), min_size=N, max_size=N))
def test_masks(rows, mask):
    assert np.array_equal(rows[np.array(mask)], WHOLE[np.array(mask)])


def test_one_row_and_a_product(rows):
    assert np.array_equal(rows[4], WHOLE[4]) and np.array_equal(rows[np.int64(-1)], WHOLE[-1])
    assert np.allclose(rows @ WHOLE[:2].T, WHOLE @ WHOLE[:2].T) and np.allclose(
        rows @ WHOLE[0], WHOLE @ WHOLE[0]
    )


@pytest.mark.parametrize("key", [N, -N - 1, [0, N], np.ones(N + 1, dtype=bool)])
def test_a_row_that_is_not_there_is_an_error(rows, key):
    with pytest.raises(IndexError, match=r"there is no row|mask of"):
        rows[key]


@pytest.mark.parametrize("key", ["a", (0, 1), [[0, 1]], [0.5], None])
def test_only_rows_are_named(rows, key):
    with pytest.raises((TypeError, IndexError)):
        rows[key]


def test_copies_do_not_change_what_is_stored(rows):
    for key in (slice(0, 4), [3, 0], 3):
        found = rows[key]
        found[...] = 7
    assert np.array_equal(np.asarray(rows), WHOLE)


def test_joined_rows(rows):
    both = joined(rows, WHOLE[:2], DIM)
    assert np.array_equal(np.asarray(both), np.concatenate([WHOLE, WHOLE[:2]]))
    assert np.array_equal(np.asarray(joined(WHOLE, rows, DIM)), np.concatenate([WHOLE, WHOLE]))


def test_a_file_that_is_gone_meanwhile_is_still_read(tmp_path: Path):
    """Another process merges shards while this one reads them."""
    path = tmp_path / "shard"
    path.write_bytes(WHOLE.tobytes())
    found = Rows([FilePart(path, 0, N, DIM)], DIM)
    path.unlink()
    assert np.array_equal(found[:], WHOLE)


def test_a_file_that_was_cut_short_meanwhile_is_an_error(tmp_path: Path):
    path = tmp_path / "shard"
    path.write_bytes(WHOLE.tobytes())
    found = Rows([FilePart(path, 0, N, DIM)], DIM)
    with path.open("r+b") as file:
        file.truncate(DIM * 4 * 2 + 5)
    assert np.array_equal(found[:2], WHOLE[:2])
    with pytest.raises(GenbaError, match=r"shard has become shorter.*genba score"):
        found[2]


def test_rows_far_apart_are_read_one_by_one(tmp_path: Path):
    """Both ways of reading give the same: all between the first and the last, or each for itself."""
    many = np.arange(4000, dtype=np.float32).reshape(1000, 4)
    path = tmp_path / "shard"
    path.write_bytes(many.tobytes())
    found = Rows([FilePart(path, 0, 1000, 4)], 4)
    for numbers in ([0, 999], [3, 4, 5], [990, 1, 500, 500, 2]):
        assert np.array_equal(found[numbers], many[numbers])
