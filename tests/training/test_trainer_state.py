"""What a kill, a full disk and a damaged file leave: the last whole state, and a training that goes on bit for bit."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch

from annotate.pages.elements import Opened
from annotate.pages.jobs_strip import message_words, progress_words
from data import jobs
from data.errors import GenbaError
from data.messages import translator
from data.settings_retrain import RetrainSection
from data.snapshots import collect
from scoring.encoders import load_for_site
from tests.conftest import CHECKOUT, ENVIRONMENT
from tests.training.conftest import Made
from tests.training.encoders import again, files_end_at, lesson, random_encoder, weights
from training import runs
from training import step as step_room
from training.meter import Meter
from training.pixels import load_pixels
from training.plan import Plan
from training.retrain import retrain
from training.state import DiskFull, State
from training.trainer import fine_tune

PLAN = Plan(steps=10, batch=16, learning_rate=3e-3, seed=1, save_every=3, ema=0.8)


def test_a_training_that_is_killed_again_and_again_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """Real processes, real kills: at random moments, while a state is written, and before it takes its place. With
    dropout, a mean of the weights and cached gradients."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.killed_training", str(tmp_path / "it"), str(time.time_ns() % 1000)],
        cwd=CHECKOUT, env=ENVIRONMENT, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["whole"] == {"steps": list(range(1, 16)), "killed": False, "code": 0}
    assert [one["killed"] for one in found["lives"]] == [True] * 5 + [False], found
    assert found["lives"][1]["steps"][-1] % 2 == 1, "killed in the save after an even step"
    assert any(one["steps"][0] > 1 for one in found["lives"]), "none went on from a saved state"
    assert found["lives"][-1]["steps"][-1] == 15
    assert found["same"], found


def test_a_training_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill_at_8(step: int, loss: float) -> None:
        if step == 8:
            raise Killed

    whole = random_encoder(tmp_path / "encoder", "vit-dropout", "bert")
    encoder, third = again(whole), again(whole)
    loss = fine_tune(whole, *lesson(), PLAN)
    path = tmp_path / "it.state"
    with pytest.raises(Killed):
        fine_tune(encoder, *lesson(), PLAN, path, kill_at_8)
    assert State(path, "").step() == 6
    assert [one.name for one in tmp_path.iterdir() if one.name != "encoder"] == ["it.state"]
    seen: list[int] = []
    assert fine_tune(third, *lesson(), PLAN, path, lambda step, loss: seen.append(step)) == loss
    assert seen == [7, 8, 9, 10]
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(third)[name]), name


def test_a_full_disk_keeps_the_state_before_and_says_so(tmp_path: Path) -> None:
    """The system refuses to let the second state's file grow, as a full disk does."""
    whole = random_encoder(tmp_path / "encoder", "vit-dropout", "bert")
    path, encoder = tmp_path / "it.state", again(whole)
    with (
        files_end_at(20_000) as fill,
        pytest.raises(
            GenbaError,
            match=r"cannot save its state after step 6 to .*it.state: .*File too large.*The state after step 3 is kept"
            r".*Next: free space on that disk",
        ),
    ):
        fine_tune(encoder, *lesson(), PLAN, path, lambda step, loss: fill() if step == 4 else None)
    assert not list(tmp_path.glob("*.tmp"))
    encoder = again(whole)
    seen: list[int] = []
    fine_tune(whole, *lesson(), PLAN)
    fine_tune(encoder, *lesson(), PLAN, path, lambda step, loss: seen.append(step))
    assert seen[0] == 4
    assert all(torch.equal(value, weights(encoder)[name]) for name, value in weights(whole).items())


def test_a_damaged_state_is_told_and_not_taken(tmp_path: Path) -> None:
    encoder = random_encoder(tmp_path / "encoder")
    path = tmp_path / "it.state"
    fine_tune(encoder, *lesson(), PLAN, path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(
        GenbaError, match=r"it.state is damaged: .*Next: delete .*it.state: that training starts anew"
    ):
        fine_tune(encoder, *lesson(), PLAN, path)


def test_a_retraining_on_a_full_disk_goes_on_when_there_is_space(
    small_site: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second arm's first state finds no space: the run stays as after a kill, with all that it has done."""
    few = RetrainSection(seeds=1, steps=52, batch=16, learning_rate=1e-3)
    site = small_site(photos={"train": 36, "val": 4, "test": 20}, retrain=few).site
    real = safetensors.torch.save_file
    saved: list[str] = []

    def save(tensors: dict[str, torch.Tensor], path: str, *more: object) -> None:
        saved.append(path)
        if "corrected-0.state" in path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        real(tensors, path, *more)  # type: ignore[arg-type]

    monkeypatch.setattr("safetensors.torch.save_file", save)
    with pytest.raises(GenbaError, match=r"cannot save its state after step 50 to .*No space left on device"):
        retrain(site)
    with site.connect() as db:
        (run,) = db.rows("SELECT run_id, state FROM runs")
    assert run["state"] == "running" and any("original-0" in path for path in saved)
    monkeypatch.undo()
    reports: list[tuple[int, int | None, str]] = []
    assert retrain(site, progress=lambda *given: reports.append(given)) == run["run_id"]  # type: ignore[arg-type]
    assert not any(message.startswith("original, seed 0, loss") for _, _, message in reports)
    assert any(message.startswith("corrected, seed 0, loss") for _, _, message in reports)
    assert reports[-1][0] == reports[-1][1]
    with site.connect() as db:
        assert db.value("SELECT state FROM runs") == "done"


def test_weights_and_results_that_find_no_space_are_written_when_there_is_some(
    small_site: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    """First the trained weights of the second arm do not fit, then the run's results; nothing is trained twice."""
    few = RetrainSection(seeds=1, steps=4, batch=16, learning_rate=1e-3)
    site = small_site(photos={"train": 36, "val": 4, "test": 20}, retrain=few).site
    real = safetensors.torch.save_file

    def save(tensors: dict[str, torch.Tensor], path: str, *more: object) -> None:
        if "corrected-0.tmp" in path:
            raise safetensors.SafetensorError(
                "Error while serializing: No space left on device (os error 28)"
            )
        real(tensors, path, *more)  # type: ignore[arg-type]

    def write(*given: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    trained: list[str] = []

    def watch(done: int, total: int | None = None, message: str = "") -> None:
        if ", loss " in message:
            trained.append(message.partition(",")[0])

    with monkeypatch.context() as full:
        full.setattr("safetensors.torch.save_file", save)
        with pytest.raises(DiskFull, match=r"cannot be written: .*No space left.*What it has done is kept"):
            retrain(site, progress=watch)
    assert set(trained) == {"original", "corrected"}
    trained.clear()
    with monkeypatch.context() as full:
        full.setattr("training.runs.write_results", write)
        with pytest.raises(DiskFull, match=r"No space left on device.*free space on that disk"):
            retrain(site, progress=watch)
    assert set(trained) == {"corrected", "reworded"}
    with site.connect() as db:
        (run,) = db.rows("SELECT run_id, state FROM runs")
    trained.clear()
    assert retrain(site, progress=watch) == run["run_id"] and trained == []
    with site.connect() as db:
        assert (run["state"], db.value("SELECT state FROM runs")) == ("running", "done")


def test_the_meter_counts_what_a_killed_training_has_done() -> None:
    reports: list[tuple[int, int | None]] = []
    meter = Meter(lambda done, total=None, message="": reports.append((done, total)))
    meter.plan(photos=0, steps=20, batch=8, models=0, measured=0)
    for step in (7, 8, 9, 10, 1, 2):  # the first training goes on at its seventh step, the second begins
        meter.step("", step)
    assert [done for done, _ in reports] == [0, 56, 64, 72, 80, 88, 96]
    assert reports[-1][1] == 160


def test_the_time_left_does_not_depend_on_how_long_photos_took_to_read() -> None:
    """100 photos in 50 s, then 20 steps of 8 photos and half a second: after each step half a second less is left."""
    reports: list[tuple[int, int]] = []
    ticks = [0.0]
    meter = Meter(lambda done, total=None, message="": reports.append((done, total or 0)), lambda: ticks[0])
    meter.plan(photos=100, steps=20, batch=8, models=0, measured=0)
    for _ in range(100):
        ticks[0] += 0.5
        meter.photos(1)
    assert reports[0] == (0, 100) and reports[-1] == (100, 100)
    meter.say("fine-tuning")
    for step in range(1, 21):
        ticks[0] += 0.5
        meter.step("", step)
        done, total = reports[-1]
        assert ticks[0] * (total - done) / done == pytest.approx((20 - step) / 2, abs=0.1)
    assert reports[-1] == (960, 960)  # the reading counts as the 800 photos that were trained in as long


def test_decoded_photos_on_a_full_disk_are_told(small_site: Callable[..., Made], tmp_path: Path) -> None:
    """Twelve photos of 3 kB do not fit; later, with space, they are decoded."""
    site = small_site(photos={"train": 12}).site
    encoder = load_for_site(site)
    rows = collect(site).train
    with files_end_at(20_000) as fill:
        fill()
        with pytest.raises(
            GenbaError, match=r"decoded photos, 0.0 GB, cannot be written to .*: File too large"
        ):
            load_pixels(site, encoder, rows, tmp_path / "px")
    assert not list((tmp_path / "px").iterdir())
    assert load_pixels(site, encoder, rows, tmp_path / "px").array.shape == (12, 3, 32, 32)


def test_loss_rate_and_time_left_reach_the_app(small_site: Callable[..., Made]) -> None:
    """What a training reports is in its job's row, and told on the page in Japanese."""
    site = small_site(photos={"train": 16}).site
    encoder = load_for_site(site)
    with site.connect() as db:
        job_id = jobs.enqueue(db, "retrain")
        jobs.claim(db, os.getpid())
        db.execute("UPDATE jobs SET started_at = started_at - INTERVAL 10 SECOND")
    meter = Meter(jobs.JobProgress(site, job_id))
    meter.plan(photos=0, steps=8, batch=16, models=0, measured=0)

    def report(step: int, loss: float) -> None:
        meter.progress.written_at = 0.0  # type: ignore[attr-defined] - not once a second, but at every step
        meter.step(f"corrected, seed 0, loss {loss:.2f}", step)

    losses = fine_tune(encoder, *lesson(16), Plan(2, 16, 1e-4, 0), progress=report)
    with site.connect() as db:
        (job,) = jobs.jobs(db)
    at = Opened(site, "ja", translator("ja"), "田中")
    assert message_words(job.message, at) == f"修正後のキャプション、シード 0、損失 {losses:.2f}"
    assert re.fullmatch(r"128件?中 ?32件? · 毎秒 ?[\d.]+ ?件 · 残り.*秒", progress_words(job, at)), (
        progress_words(job, at)
    )
    with site.connect() as db:
        jobs.cancel(db, job_id)
    with pytest.raises(jobs.JobCancelled):
        fine_tune(encoder, *lesson(16), Plan(2, 16, 1e-4, 0), progress=report)


def test_a_retraining_that_runs_away_keeps_the_last_good_state(
    small_site: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At step 55 a photo's vector becomes NaN: the run fails, names the photos, and the state after step 50 stays."""
    few = RetrainSection(seeds=1, steps=60, batch=16, learning_rate=1e-3)
    site = small_site(photos={"train": 36, "val": 4, "test": 20}, retrain=few).site
    real, calls = step_room.normalised, [0]

    def normalised(*given: Any) -> torch.Tensor:
        calls[0] += 1
        return real(*given) * (math.nan if calls[0] == 55 else 1.0)

    monkeypatch.setattr(step_room, "normalised", normalised)
    with pytest.raises(
        GenbaError, match=r"loss is nan, at step 55 of 60 .*Photos of the batch: train\d+.png, .*kept in"
    ):
        retrain(site)
    with site.connect() as db:
        (run,) = db.rows("SELECT run_id, state, error FROM runs")
    assert run["state"] == "failed" and "after step 50 is kept" in run["error"]
    (kept,) = (site.root / "runs" / run["run_id"] / "work").iterdir()
    assert kept.name in run["error"] and State(kept, "").step() == 50
    runs.begin(site, "", "demo", {}, "retrain")
    assert not kept.exists()
