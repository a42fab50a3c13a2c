"""What scores on a GPU; skipped where there is none: the same vectors, neighbours and scores as on a CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scoring import neighbours
from scoring.decode import PHOTO_BATCH, Photo, encoded_batches
from scoring.encoders import load_encoder
from scoring.score import score
from tests.data.makers import photo
from tests.scoring.conftest import make_site
from tests.scoring.test_neighbours import brute_force, clustered

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize(("precision", "apart"), [("fp32", 1e-3), ("bf16", 2e-2)])
def test_the_vectors_are_those_of_a_cpu(tiny_encoder, tmp_path, precision, apart):
    """Through pinned memory and threads, more than two batches of it. fp32: some multiply in tf32."""
    few = [photo(tmp_path / f"{n}.png", seed=n + 1) for n in range(40)]
    given = [Photo(str(n), few[n % 40].name, few[n % 40]) for n in range(2 * PHOTO_BATCH["cuda"] + 3)]
    found = {}
    for device, kind in (("cpu", "fp32"), ("cuda", precision)):
        encoder = load_encoder(f"local-dir:{tiny_encoder}", device=device, precision=kind)
        photos = np.concatenate([vectors for _, vectors in encoded_batches(encoder, given)])
        found[device] = np.concatenate([photos, encoder.encode_texts(["a brass bolt", "真鍮 の ボルト"])])
    assert found["cuda"].dtype == np.float32 and len(found["cuda"]) == len(given) + 2
    assert abs((found["cpu"] * found["cuda"]).sum(axis=1) - 1).max() < apart


def test_compiled(tiny_encoder, tmp_path):
    files = [photo(tmp_path / f"{n}.png", seed=n + 1) for n in range(5)]
    given = [Photo(str(n), file.name, file) for n, file in enumerate(files)]
    plain, compiled = (
        load_encoder(f"local-dir:{tiny_encoder}", device="cuda", compiled=is_on) for is_on in (False, True)
    )
    found = [
        np.concatenate([vectors for _, vectors in encoded_batches(one, given)]) for one in (plain, compiled)
    ]
    assert np.allclose(*found, atol=2e-3)


def test_neighbours_are_compared_with_all_rows(monkeypatch):
    monkeypatch.setattr(neighbours, "EXACT_ROWS", 100)
    monkeypatch.setattr(neighbours, "FEW_ASKED", 10)
    monkeypatch.setattr(neighbours, "GPU_BLOCK", 100 * 400)
    monkeypatch.setattr(neighbours, "READ", 400)
    vectors, groups = clustered(1500), np.arange(1500) // 2
    found = neighbours.nearest(vectors, np.arange(1500), np.arange(700), 10, groups, groups[:700], "cuda")
    place, cosine = brute_force(vectors, vectors[:700], 10, groups, groups[:700])
    assert (found.place == place).mean() > 0.999 and np.allclose(found.cosine, cosine, atol=1e-5)


def test_a_site_is_ranked_as_on_a_cpu(tiny_encoder, tmp_path):
    told = {}
    for device in ("cpu", "cuda"):
        site = make_site(tmp_path / device, tiny_encoder)
        score(site, device=device)
        with site.connect() as db:
            rows = db.rows("SELECT pair_id, cosine, risk FROM scores ORDER BY pair_id")
        told[device] = np.array([[row["cosine"], row["risk"]] for row in rows])
    apart = abs(told["cpu"] - told["cuda"]).max(axis=0)
    assert len(told["cpu"]) and apart[0] < 2e-3 and apart[1] < 0.05, apart
