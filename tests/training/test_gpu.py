"""What trains on a GPU; skipped where there is none. The collectives run with one process over NCCL: it takes one GPU
a process, so two of them are for a machine with two (test_distributed.py compares two processes on the CPU)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from data.settings_retrain import RetrainSection
from scoring.encoders import load_encoder, load_for_site
from tests.conftest import free_port
from tests.training.conftest import Made
from tests.training.encoders import lesson, random_encoder, weights
from training import ranks
from training.model_files import encoder_of
from training.plan import Plan
from training.retrain import retrain
from training.trainer import fine_tune

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture
def nccl(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process group of this process alone, whose functions do not take the way of a single process."""
    from torch import distributed

    distributed.init_process_group(
        "cpu:gloo,cuda:nccl", init_method=f"tcp://127.0.0.1:{free_port()}", rank=0, world_size=1
    )
    monkeypatch.setattr(ranks, "world", lambda: 2)
    yield
    distributed.destroy_process_group()


def test_what_processes_exchange_passes_over_nccl(nccl: None, tmp_path: Path) -> None:
    """With one process a sum is the number itself, and the mean "of two" its half."""
    made = random_encoder(tmp_path / "mobile", "mobile")
    model = load_encoder(made.id, device="cuda").model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ranks.take_weights(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    features = torch.rand(5, 3, device="cuda")
    assert torch.equal(ranks.gathered(features, [5]), features)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    ranks.sum_gradients(model.parameters())
    assert all(bool((parameter.grad == 1).all()) for parameter in model.parameters())
    ranks.average_statistics(model)
    name = next(name for name in before if name.endswith("running_var"))
    assert torch.allclose(model.state_dict()[name], before[name] / 2)
    pixels = torch.randint(0, 255, (4, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(ranks.scattered(pixels, [4], (3, 8, 8)), pixels)
    ranks.require_same(7, "a number")
    assert ranks.tell({"photos": 3}) == {"photos": 3}


def test_a_training_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    """Not bit for bit, as on a CPU: some of a GPU's sums are added up in any order."""
    plan = Plan(steps=6, batch=12, learning_rate=1e-3, seed=0, save_every=3, ema=0.5)
    whole, stopped = (
        load_encoder(random_encoder(tmp_path / name, "vit").id, device="cuda")
        for name in ("whole", "stopped")
    )
    fine_tune(whole, *lesson(), plan)

    def stop(step: int, loss: float) -> None:
        if step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(stopped, *lesson(), plan, tmp_path / "state", stop)
    again = load_encoder(stopped.id, device="cuda")
    steps: list[int] = []
    fine_tune(again, *lesson(), plan, tmp_path / "state", lambda step, loss: steps.append(step))
    assert steps[0] == 4
    for name, value in weights(whole).items():
        assert torch.allclose(value, weights(again)[name], atol=2e-4), name


def test_a_site_is_retrained_on_a_gpu(small_site: Callable[..., Made]) -> None:
    """All that is measured, segmentation and depth among it, and a model that loads on a CPU."""
    few = RetrainSection(seeds=2, steps=8, batch=16, learning_rate=1e-3)
    site = small_site(photos={"train": 48, "val": 16, "test": 32}, labels=True, retrain=few).site
    run_id = retrain(site, device="cuda")
    with site.connect() as db:
        (run,) = db.rows("SELECT * FROM runs")
        tasks = {
            row["task"] for row in db.rows("SELECT DISTINCT task FROM effects WHERE run_id = ?", [run_id])
        }
        (model,) = db.rows("SELECT * FROM models")
    assert run["state"] == "done" and {"retrieval", "segmentation", "depth"} <= tasks
    on_cpu = load_for_site(site, encoder_of(model["model_id"]), device="cpu")
    assert on_cpu.encode_texts(["a bolt"]).any()
