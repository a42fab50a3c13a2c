"""A whole retraining on a tiny site: what it writes, what it refuses, and what a kill leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.errors import GenbaError
from data.jobs import JobCancelled
from data.settings_retrain import RetrainSection
from data.site import Site
from data.store import now
from scoring.encoders import load_encoder, load_for_site
from tests.conftest import CHECKOUT
from tests.training.conftest import Made, add_correction, fix
from training import retrain as room
from training import runs
from training.arms import ARMS
from training.blend import choose_candidate, choose_share, interpolate, soup, surprise
from training.model_files import check_model, read_meta
from training.retrain import retrain

Small = Callable[..., Made]
QUICK = RetrainSection(seeds=1, steps=4, batch=16, learning_rate=1e-3)


def row(site: Site, run_id: str) -> dict[str, Any]:
    with site.connect() as db:
        return db.rows("SELECT * FROM runs WHERE run_id = ?", [run_id])[0]


def table(site: Site, name: str) -> list[dict[str, Any]]:
    with site.connect() as db:
        return db.rows(f"SELECT * FROM {name} ORDER BY ALL")


def test_a_retraining_writes_all_that_the_pages_show(small_site: Small) -> None:
    made = small_site(labels=True)
    reports: list[tuple[int, int | None, str]] = []
    run_id = retrain(
        made.site, progress=lambda done, total=None, message="": reports.append((done, total, message))
    )
    run = row(made.site, run_id)
    assert (run["state"], run["error"]) == ("done", None)
    assert run["seconds"] > 0 and run["base_encoder"] == made.site.settings.site.encoder
    metrics = table(made.site, "metrics")
    assert {(one["arm"], one["seed"]) for one in metrics} == {
        ("base", 0), *((arm, seed) for arm in ("original", "corrected", "reworded") for seed in (0, 1))
    }  # fmt: skip
    assert {one["task"] for one in metrics} == {
        "retrieval", "retrieval_legacy", "retrieval_template", "slots", "classification", "segmentation", "depth"
    }  # fmt: skip
    assert run["config"]["skipped"].keys() == {"inspection"}  # the facts of these photos name no defect
    names = {(one["task"], one["metric"]) for one in metrics}
    effects = {
        (one["task"], one["metric"], one["arm"], one["versus"]): one for one in table(made.site, "effects")
    }
    assert {key[2:] for key in effects} == {
        ("corrected", "original"), ("reworded", "original"), ("corrected", "reworded"),
        ("original", "base"), ("corrected", "base"), ("reworded", "base"),
    }  # fmt: skip
    assert len(effects) == len(names) * 6
    main = effects["retrieval", "recall_at_5_text_to_image", "corrected", "original"]
    assert main["low"] > 0  # the planted relation is learned from right captions, not from wrong ones
    assert main["value"] == pytest.approx(mean(metrics, "corrected") - mean(metrics, "original"))
    assert main["seeds"] == 2 and main["n"] == run["config"]["counts"]["test_captions"]
    assert main["p_value"] < 0.05
    beyond = effects["retrieval", "recall_at_5_text_to_image", "corrected", "reworded"]
    assert beyond["low"] > 0
    assert {(one["slice"], one["arm"]) for one in table(made.site, "slice_gaps")} >= {
        ("language", "base"), ("language", "corrected"), ("language", "candidate")
    }  # fmt: skip
    done, total, message = reports[-1]
    assert done == total and message == "measured the candidate"
    assert [one[0] for one in reports] == sorted(one[0] for one in reports)
    assert len({one[1] for one in reports[len(reports) // 2 :]}) == 1  # once the reading's weight has settled
    assert any(one[2].startswith("corrected, seed 1, loss ") for one in reports)
    assert not runs.work_folder(made.site, run_id).exists()
    folder = runs.folder(made.site, run_id)
    assert json.loads((folder / "config.json").read_text())["blend"]["corrected"]["share"] > 0
    import pandas

    items = pandas.read_parquet(folder / "results.parquet")
    assert set(items["arm"]) == {"base", "original", "corrected", "reworded"}
    require_examples(made, folder)


def require_examples(made: Made, folder: Path) -> None:
    """What the arms answered, where it changed most; the truth is that of the labels. The masks of these arms do not
    differ: then there is nothing to keep."""
    from data.map_pictures import read_places
    from training.examples import picture_name

    index = json.loads((folder / "examples/index.json").read_text(encoding="utf-8"))
    tasks = index["tasks"]
    assert set(tasks) == {"retrieval", "segmentation", "depth"}
    for answered in tasks["retrieval"]["items"].values():
        assert set(answered) == {"original", "corrected"}
        assert all(made.facts[one["photo"]] and one["caption"] for one in answered.values())
    assert tasks["segmentation"]["items"] == {} and 2 <= len(tasks["depth"]["items"]) <= 12
    for item in tasks["depth"]["items"]:
        shown = {of: read_places(folder / "examples" / picture_name("depth", item, of))
                 for of in ("original", "corrected", "truth")}  # fmt: skip
        assert {one.shape for one in shown.values()} == {(32, 32)}
        truth = shown["truth"]
        assert truth[16, 16] < truth[0, 0], "the part is nearer than the ground"
        assert (
            min(one.min() for one in shown.values()) == 0 and max(one.max() for one in shown.values()) == 254
        )


def mean(metrics: list[dict[str, Any]], arm: str) -> float:
    found = [
        one["value"]
        for one in metrics
        if (one["arm"], one["task"], one["metric"]) == (arm, "retrieval", "recall_at_5_text_to_image")
    ]
    return sum(found) / len(found)


def test_the_candidate_is_a_model_with_its_lineage(small_site: Small) -> None:
    made = small_site()
    run_id = retrain(made.site, seeds=1)
    (model,) = table(made.site, "models")
    assert (model["state"], model["arm"], model["run_id"]) == ("candidate", "corrected", run_id)
    assert model["encoder"] == f"local-dir:models/{model['model_id']}"
    meta = read_meta(made.site, model["model_id"])
    assert meta["snapshot_id"] == row(made.site, run_id)["snapshot_id"]
    assert (made.site.root / "snapshots" / meta["snapshot_id"] / "manifest.json").exists()
    assert meta["base_fingerprint"] == load_for_site(made.site).fingerprint
    assert {one["metric"] for one in meta["metrics"]} >= {"recall_at_1_text_to_image"}
    assert len(meta["check"]) == 8
    encoder = load_for_site(made.site, model["encoder"])
    assert encoder.languages == ("en", "ja")
    check_model(made.site, model["model_id"])


def test_equal_captions_in_both_arms_are_no_effect_at_all(
    small_site: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ARMS, "original", ARMS["corrected"])
    made = small_site(labels=True)
    retrain(made.site)
    found = [one for one in table(made.site, "effects") if one["versus"] == "original"]
    corrected = [one for one in found if one["arm"] == "corrected"]
    assert len(corrected) > 30
    assert all(
        (one["value"], one["low"], one["high"], one["p_value"]) == (0.0, 0.0, 0.0, 1.0) for one in corrected
    )


def test_what_can_be_detected_is_said_before_the_first_arm_trains(small_site: Small) -> None:
    """Assumed at first; a second run says what the first one's interval promises. Both stand beside the effects. It is
    said of the primary metric, of which the claim speaks too."""
    chosen = RetrainSection(seeds=2, steps=4, batch=16, learning_rate=1e-3, primary="slots/accuracy")
    made = small_site(retrain=chosen)
    seen: list[str] = []
    config: dict[str, Any] = {}

    def watch(done: int, total: int | None = None, message: str = "") -> None:
        seen.append(message)
        if "seed 0, loss" in message and not config:
            (run,) = [one for one in table(made.site, "runs") if one["state"] == "running"]
            config.update(run["config"])

    retrain(made.site, progress=watch)
    said = next(place for place, message in enumerate(seen) if message.startswith("can detect"))
    first = next(place for place, message in enumerate(seen) if "seed 0, loss" in message)
    assert said < first and seen[said].endswith("2 seeds, assumed)")
    assert " of slots/accuracy between corrected and original (" in seen[said]
    stated = {(one["task"], one["metric"], one["arm"], one["versus"]): one for one in config["detectable"]}
    effects = table(made.site, "effects")
    (run,) = table(made.site, "runs")
    assert run["config"]["primary"] == "slots/accuracy"
    (main,) = [e for e in effects if (e["metric"], e["arm"], e["versus"]) == ("accuracy", "corrected", "original")
               and e["task"] == "slots"]  # fmt: skip
    assert (run["config"]["claim"] == "none") == (main["low"] <= 0 <= main["high"])
    assert all(
        one["detectable"]
        == pytest.approx(stated[one["task"], one["metric"], one["arm"], one["versus"]]["detectable"])
        for one in effects
    )
    config.clear()
    retrain(made.site, progress=watch)
    before = {(one["task"], one["metric"], one["arm"], one["versus"]): one for one in effects}
    again = [one for one in config["detectable"] if one["basis"].startswith("earlier run ")]
    assert len(again) > 10
    for one in again:
        last = before[one["task"], one["metric"], one["arm"], one["versus"]]
        error = (last["high"] - last["low"]) / (2 * 1.95996)
        assert one["detectable"] == pytest.approx((1.95996 + 0.84162) * error, rel=1e-4)


def test_bad_input_is_told_before_anything_is_trained(small_site: Small) -> None:
    """An empty split, one caption for all, arms with no photo in common: no run is begun, nothing is lost."""
    made = small_site(photos={"train": 40})
    with pytest.raises(
        GenbaError, match=r"The split 'test' is empty: it has no photo with a checked caption"
    ):
        retrain(made.site)
    other = small_site(name="other", photos={"val": 4, "test": 24})
    with pytest.raises(
        GenbaError, match=r"The split 'train' is empty: .* the base encoder reads. Next: genba ingest"
    ):
        retrain(other.site)
    same = small_site(name="same", photos={"train": 60, "test": 24})
    with same.site.connect() as db:
        db.execute("UPDATE pairs SET caption = 'part' WHERE origin = 'legacy'")
    with pytest.raises(
        GenbaError, match=r"All 60 photos of the arm 'original' carry one and the same caption, 'part'"
    ):
        retrain(same.site)
    with pytest.raises(GenbaError, match="No arm 'best'"):
        retrain(same.site, ["best"])
    bad = small_site(name="bad", photos={"train": 20, "test": 24})
    with bad.site.connect() as db:
        for pair in db.rows(
            "SELECT p.pair_id, p.image_id FROM pairs p JOIN images i USING (image_id) WHERE i.split = 'train' "
            "AND p.origin = 'legacy' AND p.pair_id NOT IN (SELECT old_pair_id FROM corrections)"
        ):
            fix(db, pair["pair_id"], pair["image_id"], bad.facts[pair["image_id"]])
    with pytest.raises(GenbaError, match=r"no two photos in common .* dropped 0"):
        retrain(bad.site, ["original", "dropped"])
    for one in (made, other, same, bad):
        assert table(one.site, "runs") == [] and not list(one.site.folder("runs").iterdir())


def test_too_few_captions_name_the_count_and_the_command(small_site: Small) -> None:
    made = small_site(photos={"train": 6, "test": 30})
    with pytest.raises(
        GenbaError, match=r"training photos have a corrected caption; .* at least 10. Next: genba queue"
    ):
        retrain(made.site)
    other = small_site(name="other", photos={"train": 60, "test": 12})
    with pytest.raises(GenbaError, match=r"12 held-out photos .* at least 20. Next: genba audit .* draw 100"):
        retrain(other.site)
    assert table(made.site, "runs") == table(other.site, "runs") == []


def test_a_failed_run_says_why(small_site: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    made = small_site(retrain=RetrainSection(seeds=1, steps=4, batch=8, learning_rate=1e-3))

    def run_away(*given: Any) -> float:
        raise GenbaError("The loss is nan at step 3 of 4.")

    monkeypatch.setattr("training.trainer._step", run_away)
    with pytest.raises(GenbaError, match="loss is nan"):
        retrain(made.site)
    (run,) = table(made.site, "runs")
    assert (run["state"], run["error"]) == ("failed", "The loss is nan at step 3 of 4.")
    assert not runs.work_folder(made.site, run["run_id"]).exists()
    assert table(made.site, "metrics") == table(made.site, "models") == []


def test_a_cancelled_run_says_so(small_site: Small) -> None:
    def cancel(done: int, total: int | None = None, message: str = "") -> None:
        if "corrected" in message:
            raise JobCancelled("job")

    made = small_site(retrain=RetrainSection(seeds=1, steps=4, batch=8, learning_rate=1e-3))
    with pytest.raises(JobCancelled):
        retrain(made.site, progress=cancel)
    assert [run["state"] for run in table(made.site, "runs")] == ["cancelled"]


def test_two_retrainings_do_not_run_at_once(small_site: Small) -> None:
    made = small_site()
    with room.lock(made.site), pytest.raises(GenbaError, match="running already"):
        retrain(made.site)


KILLED = """
import os, signal, sys, torch
torch.set_num_threads(1)
from data.site import Site
from training.retrain import retrain
def kill(done, total=None, message=""):
    if message.startswith(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
retrain(Site.open(sys.argv[1]), progress=kill)
"""


def killed_at(site: Site, message: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(site.root), message], cwd=CHECKOUT, check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_killed_run_goes_on_and_ends_like_an_uninterrupted_one(small_site: Small) -> None:
    made, whole = small_site(), small_site(name="whole")
    killed_at(made.site, "corrected, seed 0")
    (left,) = table(made.site, "runs")
    assert left["state"] == "running"
    weights = runs.work_folder(made.site, left["run_id"]) / "original-1.safetensors"
    written = weights.stat().st_mtime_ns
    seen: list[str] = []
    assert (
        retrain(made.site, progress=lambda done, total=None, message="": seen.append(message))
        == left["run_id"]
    )
    assert not any(message.startswith("original, seed 0, loss") for message in seen)
    assert written and not weights.exists()
    retrain(whole.site)
    values = [
        [(one["arm"], one["seed"], one["metric"], one["value"]) for one in table(site, "metrics")]
        for site in (made.site, whole.site)
    ]
    assert values[0] == values[1]


def test_a_killed_run_of_other_settings_keeps_what_it_finished(
    small_site: Small, caplog: pytest.LogCaptureFixture
) -> None:
    made = small_site(retrain=QUICK)
    killed_at(made.site, "corrected, seed 0")
    (left,) = table(made.site, "runs")
    finished = runs.work_folder(made.site, left["run_id"]) / "original-0.safetensors"
    retrain(made.site, seeds=2)
    assert "asked for something else" in caplog.text and finished.exists()
    assert sorted(run["state"] for run in table(made.site, "runs")) == ["done", "running"]
    assert retrain(made.site) == left["run_id"]


def test_a_run_killed_long_ago_does_not_go_on(small_site: Small) -> None:
    made = small_site(retrain=QUICK)
    killed_at(made.site, "original, seed 0")
    with made.site.connect() as db:
        db.execute("UPDATE runs SET created_at = ?", [now() - timedelta(days=2)])
    retrain(made.site)
    assert sorted(run["state"] for run in table(made.site, "runs")) == ["done", "failed"]


def test_a_later_run_is_compared_with_the_model_in_use_but_starts_from_the_base(small_site: Small) -> None:
    from tests.training.gates import let_pass
    from training.registry import promote

    made = small_site()
    retrain(made.site, seeds=1)
    (model,) = table(made.site, "models")
    promote(made.site, let_pass(made.site, model["model_id"]), "佐藤")
    with made.site.connect() as db:  # one more fact, so that the snapshot is another one
        pair = db.value(
            "SELECT pair_id FROM pairs p JOIN images i USING (image_id) WHERE i.split = 'train' LIMIT 1"
        )
        add_correction(db, pair, "private")
    run_id = retrain(made.site, seeds=1)
    config = row(made.site, run_id)["config"]
    assert config["in_use"] == model["encoder"]
    assert row(made.site, run_id)["base_encoder"] == made.site.settings.site.encoder
    base = {
        (one["task"], one["metric"]): one["value"] for one in table(made.site, "metrics")
        if one["run_id"] == run_id and one["arm"] == "base"
    }  # fmt: skip
    measured = read_meta(made.site, model["model_id"])["metrics"]
    promoted = {(one["task"], one["metric"]): one["value"] for one in measured}
    assert base == pytest.approx(promoted)


def test_blending_is_exact_at_both_ends() -> None:
    base = {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor(3)}
    tuned = {"w": torch.tensor([3.0, 0.0]), "n": torch.tensor(7)}
    assert torch.equal(interpolate(base, tuned, 0.0)["w"], base["w"])
    assert torch.equal(interpolate(base, tuned, 1.0)["w"], tuned["w"])
    mixed = interpolate(base, tuned, 0.25)
    assert mixed["w"].tolist() == [1.5, 1.5] and mixed["n"] == 7
    three = [lambda: base, lambda: tuned, lambda: {"w": torch.tensor([5.0, 1.0]), "n": torch.tensor(1)}]
    assert soup(three)["w"].tolist() == pytest.approx([3.0, 1.0])
    assert base["w"].tolist() == [1.0, 2.0]  # untouched


def test_the_share_is_chosen_on_validation_photos(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    base = {"w": torch.tensor(0.0)}

    def loss(w: torch.Tensor) -> float:  # best at 0.5 for one seed, at 0.5 and 1.5 for the other
        return abs(float(w) - 0.5) if float(w) <= 1 else abs(float(w) - 1.5)

    given = lambda encoder, weights, items, photos: loss(weights["w"])  # noqa: E731
    monkeypatch.setattr("training.blend.val_loss", given)
    items = [{"image_id": f"{number}"} for number in range(20)]
    loads = [lambda: {"w": torch.tensor(1.0)}, lambda: {"w": torch.tensor(2.0)}]
    choice = choose_share(encoder, base, loads, items, None)  # type: ignore[arg-type]
    # shares 0, 1/4, 1/2, 3/4, 1: seed one .5 .25 0 .25 .5; seed two .5 0 .5 0 .5
    assert choice.losses == {0.0: 0.5, 0.25: 0.125, 0.5: 0.25, 0.75: 0.125, 1.0: 0.5}
    assert choice.share == 0.75  # the larger of two that are equal
    few = choose_share(encoder, base, loads, items[:19], None)  # type: ignore[arg-type]
    assert few.share == 0.5 and few.losses == {} and "19 validation photos" in few.chosen_on
    weights, chosen = choose_candidate(encoder, loads, items, None)  # type: ignore[arg-type]
    assert (weights["w"], chosen) == (1.5, "soup")
    weights, chosen = choose_candidate(encoder, [loads[0], lambda: {"w": torch.tensor(0.4)}], items, None)  # type: ignore[arg-type]
    assert (float(weights["w"]), chosen) == (pytest.approx(0.4), "seed 1")


def test_surprise_by_hand() -> None:
    """Shares of the softmax: one quarter; one quarter and two together; nearly all."""
    logits = np.log([[1.0, 1.0, 2.0], [1.0, 1.0, 2.0]])
    right = np.array([[True, False, False], [True, False, True]])
    assert surprise(logits, right) == pytest.approx([np.log(4), np.log(4 / 3)])
    assert surprise(np.array([[50.0, 0.0]]), np.array([[True, False]])) == pytest.approx([0.0], abs=1e-9)


def test_the_lock_dies_with_its_process(small_site: Small, tmp_path: Path) -> None:
    made = small_site(photos={"train": 1})
    code = (
        "import sys, time\nfrom data.site import Site\nfrom training.retrain import lock\n"
        "with lock(Site.open(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(made.site.root)], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout and holder.stdout.readline() == "held\n"
    with pytest.raises(GenbaError, match="running already"), room.lock(made.site):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    began = time.monotonic()
    with room.lock(made.site):
        assert time.monotonic() - began < 1
