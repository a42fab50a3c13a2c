"""kill -9 of a real `genba score` at any moment: the next run ends with the scores of an uninterrupted one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.site import Site
from scoring import embed
from scoring.decode import PHOTO_BATCH
from scoring.score import score
from tests.conftest import CHECKOUT, ENVIRONMENT
from tests.scoring.conftest import make_site, scores_of

PHOTOS, BATCH = 30, 4

# One process loads the libraries, then forks a real `genba score` for each moment; the child kills itself with SIGKILL
# in the middle of the named call. Shards come with every batch, so that the moments differ.
KILLED = """
import os, signal, sys
import torch, pyarrow.parquet, duckdb, transformers  # loaded once, used by the children only
from scoring.torchvision_ops import ensure_torchvision
ensure_torchvision()
import open_clip
from data.store import Database
from scoring import decode, embed, score, vectors
import genba

embed.SHARD_SECONDS, decode.PHOTO_BATCH["cpu"], embed.CAPTION_BATCH = 0.0, int(sys.argv[1]), 2

def die_at(owner, name, wanted, matches, after):
    whole, seen = getattr(owner, name), [0]
    def call(*given, **named):
        hit = matches(*given, **named)
        seen[0] += hit
        if hit and seen[0] == wanted and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = whole(*given, **named)
        if hit and seen[0] == wanted and after:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, call)

moments = {
    "first shard half written": lambda: die_at(vectors.os, "replace", 1, lambda *_: True, False),
    "among the photos": lambda: die_at(vectors.os, "replace", 4, lambda *_: True, True),
    "among the captions": lambda: die_at(vectors.os, "replace", 9, lambda a, b: True, False),
    "before the manifest": lambda: die_at(vectors.os, "replace", 1, lambda a, b: "manifest" in str(b), False),
    "before what the site teaches is kept": lambda: die_at(
        score.Path, "replace", 1, lambda a, b: "site-fit" in str(b), False),
    "in the transaction": lambda: die_at(
        Database, "execute", 1, lambda db, sql, *_: sql.startswith("INSERT OR REPLACE INTO scores"), True),
    "before the risk is written": lambda: die_at(
        Database, "execute", 1, lambda db, sql, *_: sql.startswith("UPDATE scores SET risk"), False),
}
for moment, site in zip(moments, sys.argv[2:], strict=True):
    child = os.fork()
    if not child:
        moments[moment]()
        sys.argv = ["genba", "score", site, "--device", "cpu"]
        genba.main()
        os._exit(0)
    print(moment, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), sep="\\t", flush=True)
"""
MOMENTS = 7


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Site:
    """A site that nobody has scored; tests take copies."""
    return make_site(tmp_path_factory.mktemp("killed"), tiny_encoder, photos=PHOTOS)


def copy_of(site: Site, folder: Path) -> Site:
    return Site.open(shutil.copytree(site.root, folder))


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PHOTO_BATCH, "cpu", BATCH)
    monkeypatch.setattr(embed, "CAPTION_BATCH", 2)


def assert_same(found: dict[str, dict], expected: dict[str, dict]) -> None:
    assert set(found) == set(expected) and len(found) == PHOTOS - 1
    for key, row in expected.items():
        for name in ("risk", "priority"):
            assert found[key][name] == pytest.approx(row[name], abs=1e-6)
        assert found[key]["reasons"] == row["reasons"] and found[key]["fingerprint"] == row["fingerprint"]
        for name, value in row["signals"].items():
            assert found[key]["signals"][name] == pytest.approx(value, abs=1e-6)


def test_killed_at_any_moment(fresh: Site, tmp_path: Path, small_batches: None) -> None:
    whole = copy_of(fresh, tmp_path / "whole")
    score(whole, device="cpu")
    sites = [copy_of(fresh, tmp_path / f"killed-{number}") for number in range(MOMENTS)]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(BATCH), *(str(site.root) for site in sites)],
        cwd=CHECKOUT, env={**ENVIRONMENT, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    ends = [line.split("\t") for line in done.stdout.splitlines()]
    assert [end for _, end in ends] == [str(-signal.SIGKILL)] * MOMENTS, done.stdout + done.stderr
    assert [len(scores_of(site)) for site in sites] == [0] * 6 + [PHOTOS - 1], "nothing half-written is seen"
    kept = []
    for site in sites:
        result = score(site, device="cpu")
        kept.append((PHOTOS - result.images_embedded, 6 - result.captions_embedded))
        assert_same(scores_of(site), scores_of(whole))
        assert not list((site.root / "vectors").glob("*/*.tmp"))
    assert kept == [(0, 0), (4 * BATCH, 0), (PHOTOS, 0), *[(PHOTOS, 6)] * 4], "whole shards are used again"


@pytest.mark.long
def test_killed_from_outside_and_run_again_on_the_command_line(fresh: Site, tmp_path: Path) -> None:
    whole, site = copy_of(fresh, tmp_path / "whole"), copy_of(fresh, tmp_path / "site")
    genba = [sys.executable, "-m", "genba", "score", "--device", "cpu"]
    subprocess.run([*genba, str(whole.root)], cwd=CHECKOUT, env=ENVIRONMENT, check=True, capture_output=True)
    command = [*genba, str(site.root)]
    running = subprocess.Popen(command, cwd=CHECKOUT, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((site.root / "vectors").glob("*/.lock")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    again = subprocess.run(
        command, cwd=CHECKOUT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert again.returncode == 0, again.stderr
    assert f"pairs {PHOTOS - 1}" in again.stdout
    assert_same(scores_of(site), scores_of(whole))
