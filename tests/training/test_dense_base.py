"""Bases that are no CLIP: real timm models, small, from files on this machine; nothing is fetched or guessed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from data.errors import GenbaError
from data.snapshots import collect
from genba import cli
from scoring.encoder_files import WeightsAbsent
from scoring.encoders import load_for_site
from scoring.torchvision_ops import ensure_torchvision
from tests.training.conftest import Made
from training.bench import prepare
from training.dense_base import is_base, load_base
from training.dense_comparison import compare_with_base
from training.dense_plan import DensePlan
from training.dense_tasks import measure_dense


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny vision transformer with a classifier, as `hf download timm/NAME --local-dir` leaves it."""
    ensure_torchvision()
    import timm
    from timm.models import save_for_hf

    torch.manual_seed(3)
    save_for_hf(timm.create_model("test_vit", num_classes=5), tmp_path / "vit", safe_serialization=True)
    return tmp_path / "vit"


def test_a_folder_is_loaded_as_it_is(folder: Path) -> None:
    from safetensors.torch import load_file

    base = load_base(f"timm:{folder}", "cpu")
    kept = load_file(folder / "model.safetensors")
    weights = base.model.visual.trunk.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(value, kept[name]) for name, value in weights.items())
    assert set(kept) - set(weights) == {
        "head.weight",
        "head.bias",
    }  # the classifier has nothing to say of places
    assert base.image_size == 160 and len(base.fingerprint) == 32 and not base.model.training
    assert load_base(f"timm:{folder}", "cpu").fingerprint == base.fingerprint


def test_dense_tasks_take_a_base_as_they_take_an_encoder(
    small_site: Callable[..., Made], folder: Path, tmp_path: Path
) -> None:
    """Photos and labels at the base's own size and in its own colours; no captions are asked for."""
    made = small_site(labels=True, photos={"train": 12, "test": 10})
    base = load_base(f"timm:{folder}", "cpu")
    bench = prepare(made.site, collect(made.site), base, tmp_path / "pixels")
    assert bench.items == [] and bench.masks is not None and bench.masks.side == 160
    found, skipped = measure_dense(base, bench)
    assert skipped == {} and {one.task for one in found} == {"segmentation", "depth"}
    values = {one.metric: one.value for one in found}
    assert values["miou"] > 0.33 and 0 < values["rmse"] < 0.02


def test_random_weights_only_when_they_are_asked_for() -> None:
    first, again, other = (
        load_base("timm-random:test_vit", "cpu", seed).model.state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert any(not torch.equal(value, other[name]) for name, value in first.items())
    assert load_base("timm-random:test_vit", "cpu").fingerprint == ""
    with pytest.raises(WeightsAbsent, match=r"hf download timm/vit_base_patch16_224\.mae model\.safetensors"):
        load_base("timm:vit_base_patch16_224.mae", "cpu")


def test_a_weight_that_is_missing_is_an_error(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    kept = load_file(folder / "model.safetensors")
    kept.pop("blocks.0.attn.qkv.weight")
    save_file(kept, folder / "model.safetensors")
    with pytest.raises(
        GenbaError, match=r"cannot be loaded from .*Missing key.*blocks\.0\.attn\.qkv\.weight"
    ):
        load_base(f"timm:{folder}", "cpu")


def test_pickles_are_not_read(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(GenbaError, match=r"holds pytorch_model.bin, which could run code"):
        load_base(f"timm:{folder}", "cpu")
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(WeightsAbsent, match=r"has no model\.safetensors"):
        load_base(f"timm:{folder}", "cpu")
    (folder / "config.json").unlink()
    with pytest.raises(GenbaError, match=r"has no config\.json"):
        load_base(f"timm:{folder}", "cpu")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:vit_bse_patch16_224.mae", "timm has no model .* Did you mean 'vit_base_patch16_224.mae'"),
        ("timm:vit_base_patch16_224.nonsense", "timm has no model 'vit_base_patch16_224.nonsense'"),
        ("timm-random:no_such_net", "timm has no model 'no_such_net'"),
        ("timm:no/such/folder", "There is no folder no/such/folder"),
        ("timm:", "Known: timm:NAME, timm:FOLDER, timm-random:NAME"),
        ("ViT-B-32/openai", "Known: timm:NAME, timm:FOLDER, timm-random:NAME"),
    ],
)
def test_names_that_lead_nowhere(name: str, message: str) -> None:
    with pytest.raises(GenbaError, match=message):
        load_base(name, "cpu")


def test_which_ids_are_bases() -> None:
    assert is_base("timm:x") and is_base("timm-random:x")
    assert not is_base("local-dir:x") and not is_base("demo")


def test_a_model_beside_a_base_from_the_command_line(
    small_site: Callable[..., Made], folder: Path, tmp_path: Path
) -> None:
    """Both at one size, which the base's patches must divide; the difference is that of the two measured apart."""
    made = small_site(labels=True, photos={"train": 12, "test": 10})
    asked = ["evaluate", str(made.site.root), "base", "--base", f"timm:{folder}", "--device", "cpu", "--json"]
    answer = CliRunner().invoke(cli, asked)
    assert answer.exit_code == 0, answer.output
    found = {one["metric"]: one for one in json.loads(answer.output)["effects"]}
    assert set(found) >= {"miou", "rmse", "abs_rel", "delta_1_25", "iou_ground"}
    plan = DensePlan(size=32)
    values = []
    for one in (load_for_site(made.site, device="cpu"), load_base(f"timm:{folder}", "cpu")):
        bench = prepare(made.site, collect(made.site), one, tmp_path / "pixels", plan=plan)
        values.append({measure.metric: measure.value for measure in measure_dense(one, bench)[0]})
    for metric, effect in found.items():
        assert effect["value"] == pytest.approx(values[0][metric] - values[1][metric])
        assert effect["low"] <= effect["high"] and effect["n"] == 10
    nothing = small_site(name="none", photos={"train": 12, "test": 10})
    with pytest.raises(GenbaError, match=r"Nothing can be measured.*the site has no masks"):
        compare_with_base(nothing.site, nothing.site.encoder_id(), f"timm:{folder}", "cpu")
