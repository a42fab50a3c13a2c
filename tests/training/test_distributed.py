"""Two real processes, started by torchrun, give the gradients and the weights of one; a site is retrained by them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from data.settings_retrain import RetrainSection
from tests.conftest import CHECKOUT, ENVIRONMENT
from tests.training.conftest import Made
from tests.training.encoders import SIGLIP, again, random_encoder
from tests.training.two_processes import PLAN, results
from training.distributed import main
from training.state import State


def torchrun(*words: str, timeout: float = 280) -> subprocess.CompletedProcess[str]:
    """The documented command, with two processes."""
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", *words],
        cwd=CHECKOUT, env={**ENVIRONMENT, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip


def test_two_processes_give_the_gradients_and_weights_of_one(tmp_path: Path) -> None:
    """A ViT with dropout and a Hugging Face tower, SigLIP's loss; and a mobile tower with batch norm. One process cuts
    its batch into the same two parts, since each part has its own dropout and batch statistics."""
    made = {
        "siglip": random_encoder(tmp_path / "siglip", "vit-dropout", "bert", **SIGLIP),
        "mobile": random_encoder(tmp_path / "mobile", "mobile", "causal"),
    }
    done = torchrun("tests.training.two_processes", str(tmp_path), *made)
    assert done.returncode == 0, done.stderr
    for case, encoder in made.items():
        two = load_file(tmp_path / f"{case}.safetensors")
        assert State(tmp_path / f"{case}.state", "").step() == 2
        one = results(again(encoder), 2, tmp_path / "one.state", replace(PLAN, accumulate=2))
        (tmp_path / "one.state").unlink()
        assert one.keys() == two.keys()
        assert torch.allclose(one["loss"], two["loss"], rtol=1e-6)
        largest = max(float(value.abs().max()) for name, value in one.items() if name.startswith("gradient."))
        for name, value in one.items():
            if name.startswith("gradient."):
                assert torch.allclose(value, two[name], rtol=1e-4, atol=1e-6 * largest), (case, name)
            elif "running_" not in name and value.is_floating_point():
                # Running statistics are the mean of both processes' here, one after the other there
                assert torch.allclose(value, two[name], atol=2e-3), (case, name)
        moved = [name for name, value in encoder.model.state_dict().items()
                 if not torch.allclose(value.float(), two[f"weight.{name}"].float(), atol=1e-4)]  # fmt: skip
        assert len(moved) > 20


def test_a_site_is_retrained_by_two_processes(small_site: Callable[..., Made]) -> None:
    few = RetrainSection(seeds=1, steps=4, batch=15, learning_rate=1e-3)
    site = small_site(photos={"train": 36, "val": 4, "test": 20}, retrain=few).site
    done = torchrun("training.distributed", str(site.root), "--arms", "original,corrected")
    assert done.returncode == 0, done.stderr
    run_id = done.stdout.strip().splitlines()[-1]
    with site.connect() as db:
        (run,) = db.rows("SELECT * FROM runs")
        effects = db.rows(
            "SELECT * FROM effects WHERE metric = 'recall_at_5_text_to_image' AND arm = 'corrected'"
        )
        models = db.rows("SELECT * FROM models")
    assert (run["run_id"], run["state"]) == (run_id, "done")
    assert {one["versus"] for one in effects} >= {"base", "original"}
    assert [one["run_id"] for one in models] == [run_id]


@pytest.mark.long
def test_a_failed_retraining_ends_all_processes_and_says_why(small_site: Callable[..., Made]) -> None:
    site = small_site(photos={"train": 6, "test": 30}).site
    done = torchrun("training.distributed", str(site.root))
    assert done.returncode != 0
    assert "Error: " in done.stderr and "at least 10" in done.stderr


def test_without_torchrun_the_command_says_how_to_start_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    done = CliRunner().invoke(main, [str(tmp_path)])
    assert done.exit_code == 1
    assert "Next: torchrun --nproc-per-node 2 -m training.distributed SITE" in done.output
