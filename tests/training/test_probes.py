"""Linear probes: closed form against a known library, the strength, and which photos are used."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import torch

from training import probes
from training.probes import PLACES, Places, PlacesFile, cell_means, class_shares, draw_places, fit, ridge
from training.row_files import RowFile
from training.state import DiskFull


def test_a_cell_is_the_mean_of_its_labelled_pixels() -> None:
    maps = np.array([[[1.0, 3.0], [np.nan, np.nan]]])
    assert cell_means(maps, 1).tolist() == [[[[2.0]]]]
    cells = cell_means(maps, 2)
    assert cells[0, 0, 0].tolist() == [1.0, 3.0] and np.isnan(cells[0, 0, 1]).all()


def test_a_cell_has_the_share_of_each_class() -> None:
    labels = np.array([[[0, 1, 9, 9], [1, 1, 9, 9], [0, 0, 2, 9], [0, 0, 9, 9]]])
    found = class_shares(labels, 3, 2, ignored=9)
    assert found[0, :, 0, 0].tolist() == [0.25, 0.75, 0.0] and np.isnan(found[0, :, 0, 1]).all()
    assert found[0, :, 1, 0].tolist() == [1, 0, 0] and found[0, :, 1, 1].tolist() == [0, 0, 1]


@pytest.mark.parametrize("side", [12, 13])
def test_cells_hold_the_pixels_of_their_part_of_the_photo(side: int) -> None:
    """Also where the grid does not divide the side: the cell in which the middle of the pixel lies, pixel by pixel."""
    values = np.random.default_rng(0).normal(size=(1, side, side))
    found = cell_means(values, 4)[0, 0]
    for row in range(4):
        for column in range(4):
            mine = [values[0, y, x] for y in range(side) for x in range(side)
                    if (int((y + 0.5) * 4 / side), int((x + 0.5) * 4 / side)) == (row, column)]  # fmt: skip
            assert found[row, column] == pytest.approx(np.mean(mine))


def test_ridge_agrees_with_scikit_learn() -> None:
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)) * [1, 5, 0.1, 1, 2, 3] + 4
    y = x @ rng.normal(size=(6, 2)) + rng.normal(size=(200, 2))
    weights = rng.random(200)
    none = torch.zeros(200, dtype=torch.bool)
    probe = ridge(*(torch.from_numpy(one).float() for one in (x, y, weights)), none, [0.05])
    share = weights / weights.sum()
    scaled = (x - share @ x) / np.sqrt(share @ (x - share @ x) ** 2)
    expected = Ridge(alpha=0.05).fit(scaled, y, sample_weight=share).predict(scaled)
    features = torch.from_numpy(x).float()[None].transpose(1, 2)[..., None]  # one photo, 200 x 1 places
    found = probe.maps(features)[0, :, :, 0].T.numpy()
    assert np.abs(found - expected).max() < 1e-3


def test_where_only_the_largest_output_counts_small_outputs_are_no_merit() -> None:
    """The held-back photos follow the same rule a tenth as strongly: squared errors want weights near nothing, but up
    to a factor the weakest ridge is right."""
    rng = np.random.default_rng(2)
    x = torch.from_numpy(rng.normal(size=(400, 4))).float()
    back = torch.arange(400) >= 200
    y = x[:, :1] * torch.where(back, 0.1, 1.0)[:, None]
    weights = [
        ridge(x, y, torch.ones(400), back, [1e-3, 100.0], is_scale_free=way).weight for way in (True, False)
    ]
    none = torch.zeros(400, dtype=torch.bool)
    fixed = [ridge(x, y, torch.ones(400), none, [strength]).weight for strength in (1e-3, 100.0)]
    assert torch.allclose(weights[0], fixed[0], atol=1e-5) and torch.allclose(weights[1], fixed[1], atol=1e-5)


@pytest.mark.parametrize(("noise", "strength"), [(0.0, 1e-3), (30.0, 100.0)])
def test_the_strength_is_the_one_that_holds_on_other_photos(noise: float, strength: float) -> None:
    """Without noise the weakest, with nothing but noise the strongest; then all rows count."""
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.normal(size=(60, 20))).float()
    y = x[:, :1] + noise * torch.from_numpy(rng.normal(size=(60, 1))).float()
    back = torch.arange(60) >= 48
    chosen = ridge(x, y, torch.ones(60), back)
    fixed = ridge(x, y, torch.ones(60), torch.zeros(60, dtype=torch.bool), [strength])
    assert torch.allclose(chosen.weight, fixed.weight, atol=1e-5)


def features(number: int) -> torch.Tensor:
    """Photo 7 has 7 in its first channel and its places in the second, on a grid of 8."""
    return torch.stack([torch.full((8, 8), float(number)), torch.arange(64.0).reshape(8, 8)])


def joined(drawn: Iterable[tuple[torch.Tensor, torch.Tensor]], folder: Path) -> Places:
    kept = PlacesFile.begin(folder)
    for one in drawn:
        kept.add(*one)
    return kept.places()


def test_places_are_drawn_among_the_labelled_ones_and_by_the_photo_alone(tmp_path: Path) -> None:
    """The left half of each photo has no label."""
    targets = torch.ones(1, 8, 8)
    targets[..., :4] = np.nan
    drawn = [draw_places(features(number), targets, f"p{number}") for number in range(5)]
    places = joined(drawn, tmp_path)
    assert torch.bincount(places.photo).tolist() == [PLACES] * 5
    assert torch.equal(places.features[:, 0].long(), places.photo)
    assert bool((places.features[:, 1] % 8 >= 4).all())
    full = [draw_places(features(number), torch.ones(1, 8, 8), f"p{number}")[0][:, 1] for number in (3, 3, 4)]
    assert torch.equal(full[0], full[1]) and not torch.equal(full[0], full[2])
    assert len(full[0]) == PLACES < 64


def test_only_the_first_photos_are_learned_from(tmp_path: Path) -> None:
    """The first four say that the target is the place, the others nothing but noise."""
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 1000, (8, 1, 8, 8))).float()
    drawn = [draw_places(features(n), features(n)[1:] if n < 4 else noise[n], f"p{n}") for n in range(8)]
    places = joined(drawn, tmp_path)
    few, all_of_them = (fit(places, photos).maps(features(2)[None])[0, 0] for photos in (4, 8))
    right = features(2)[1]
    assert (few - right).abs().max() < 0.2
    assert (all_of_them - right).abs().max() > 10


def test_blocks_of_rows_give_what_all_rows_at_once_give(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    x, y = (torch.from_numpy(rng.normal(size=(500, width))).float() for width in (8, 3))
    back = torch.from_numpy(rng.random(500) < 0.2)
    whole = ridge(x, y, torch.ones(500), back)
    monkeypatch.setattr(probes, "ROWS", 64)
    parts = ridge(x, y, torch.ones(500), back)
    assert torch.allclose(whole.weight, parts.weight, atol=1e-5) and torch.allclose(
        whole.bias, parts.bias, atol=1e-5
    )


def test_a_disk_that_is_full_is_told_and_the_file_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = RowFile(tmp_path, "labels")
    rows.add(np.arange(6.0).reshape(2, 3))
    rows.add(np.ones((1, 3)))
    assert rows.array().tolist() == [[0, 1, 2], [3, 4, 5], [1, 1, 1]] and list(tmp_path.iterdir()) == []

    def full(**given: object) -> IO[bytes]:
        return open("/dev/full", "wb", buffering=0)

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(DiskFull, match=r"The labels cannot be written to .*No space left on device"):
        RowFile(tmp_path, "labels").add(np.ones((1, 3)))
