"""Which model ranks the queue: promotion with its gate and its check, and the way back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from data.errors import GenbaError
from data.jobs import jobs
from data.site import Site
from data.store import now
from scoring.encoders import load_for_site
from tests.training.conftest import Made
from training import registry
from training.bench import items_of
from training.model_files import encoder_of, model_folder, write_model
from training.registry import evaluate, gate, models, promote, rollback

Small = Callable[..., Made]


@pytest.fixture
def made(small_site: Small) -> Made:
    return small_site(photos={"train": 2, "test": 6})


def effect(
    low: float, high: float, arm: str = "corrected", versus: str = "original", **more: Any
) -> dict[str, Any]:
    return {"task": "retrieval", "metric": "recall_at_1_text_to_image", "arm": arm, "versus": versus,
            "value": (low + high) / 2, "low": low, "high": high, "higher_is_better": True, "unit": "fraction",
            "n": 100, "seeds": 2, **more}  # fmt: skip


def add_model(site: Site, model_id: str, effects: list[dict[str, Any]] | None = None) -> str:
    """A candidate with real files: the base encoder's weights, a little changed."""
    from data.snapshots import collect

    encoder = load_for_site(site, site.settings.site.encoder, "cpu")
    weights = {name: value * 1.01 for name, value in encoder.model.state_dict().items()}
    meta = {"run_id": f"run-{model_id}", "snapshot_id": "s", "arm": "corrected", "effects": []}
    meta = write_model(site, encoder, weights, model_id, meta, items_of(collect(site), "test"))
    found = [effect(0.01, 0.2)] if effects is None else effects
    with site.connect() as db:
        db.insert("models", [{"model_id": model_id, "run_id": f"run-{model_id}", "arm": "corrected",
                              "state": "candidate", "encoder": encoder_of(model_id), "base_encoder": encoder.id,
                              "meta": meta, "created_at": now()}])  # fmt: skip
        db.insert("effects", [{"run_id": f"run-{model_id}", **one} for one in found])
    return model_id


def states(site: Site) -> dict[str, str]:
    return {row["model_id"]: row["state"] for row in models(site)}


def queued(site: Site) -> list[tuple[str, str]]:
    with site.connect() as db:
        return [(job.name, job.requested_by) for job in jobs(db)]


def test_a_promoted_model_is_in_use_and_scored_with(made: Made) -> None:
    site = made.site
    add_model(site, "m1")
    promote(site, "m1", "佐藤")
    assert site.encoder_id() == "local-dir:models/m1"
    assert load_for_site(site).id == "local-dir:models/m1"
    assert queued(site) == [("score", "佐藤")]
    with pytest.raises(GenbaError, match="m1 is in use already"):
        promote(site, "m1", "佐藤")


def test_promoting_another_retires_the_one_before(made: Made) -> None:
    site = made.site
    for name in ("m1", "m2"):
        promote(site, add_model(site, name), "佐藤")
    assert states(site) == {"m2": "champion", "m1": "retired"}
    assert models(site)[0]["model_id"] == "m2"


def test_rolling_back_goes_step_by_step_to_the_base(made: Made) -> None:
    site = made.site
    for name in ("m1", "m2", "m3"):
        promote(site, add_model(site, name), "佐藤")
    seen = []
    for _ in range(3):
        rollback(site, "田中")
        seen.append(site.encoder_id())
    assert seen == ["local-dir:models/m2", "local-dir:models/m1", site.settings.site.encoder]
    with pytest.raises(GenbaError, match="nothing to go back to"):
        rollback(site, "田中")
    assert ("score", "田中") in queued(site) or ("score", "佐藤") in queued(site)


def test_a_rollback_never_comes_back_to_a_model_that_was_left(made: Made) -> None:
    site = made.site
    promote(site, add_model(site, "m1"), "佐藤")
    promote(site, add_model(site, "bad"), "佐藤")
    rollback(site, "佐藤")
    assert site.encoder_id() == "local-dir:models/m1"
    promote(site, add_model(site, "m2"), "佐藤")
    rollback(site, "佐藤")
    assert site.encoder_id() == "local-dir:models/m1"
    promote(site, "bad", "佐藤")  # by hand it can be taken up again
    assert states(site)["bad"] == "champion"


def test_a_rollback_passes_over_a_model_without_files(made: Made) -> None:
    site = made.site
    for name in ("m1", "m2", "m3"):
        promote(site, add_model(site, name), "佐藤")
    shutil.rmtree(model_folder(site, "m2"))
    rollback(site, "佐藤")
    assert site.encoder_id() == "local-dir:models/m1"


def test_without_a_proven_gain_only_by_force(made: Made) -> None:
    site = made.site
    add_model(site, "m1", [effect(-0.01, 0.2)])
    with pytest.raises(GenbaError, match=r"no gain is proven: .* \+0.095 .*-0.010 to \+0.200.*--force"):
        promote(site, "m1", "佐藤")
    assert states(site) == {"m1": "candidate"} and queued(site) == []
    promote(site, "m1", "佐藤", force=True)
    assert states(site) == {"m1": "champion"}
    with site.connect() as db:
        detail = db.value("SELECT detail FROM events WHERE what = 'model.promoted'")
    assert '"forced": true' in detail


GAIN = effect(0.01, 0.2)
VALUES = {
    (metric, arm): 0.5 for arm in ("original", "base")
    for metric in ("recall_at_1_text_to_image", "recall_at_1_image_to_text", "rmse")
}  # fmt: skip


@pytest.mark.parametrize(
    ("of_run", "of_model", "doubt"),
    [
        ([GAIN], [], ""),
        ([], [], "no control arm"),
        ([effect(-0.1, 0.1)], [], "no gain is proven"),
        ([effect(-0.2, -0.1)], [], "no gain is proven"),
        ([GAIN, effect(-0.2, -0.1, metric="recall_at_1_image_to_text")], [], "worse than original"),
        ([GAIN, effect(-0.2, -0.1, versus="base")], [], "worse than base"),
        (
            [GAIN, effect(0.001, 0.02, metric="rmse", higher_is_better=False)],
            [],
            "worse than original in rmse",
        ),
        ([GAIN, effect(-0.01, -0.001, metric="rmse", higher_is_better=False)], [], ""),
        (
            [GAIN, effect(0.001, 0.008, metric="rmse", higher_is_better=False)],
            [],
            "",
        ),  # 0.0045 of 0.5: negligible
        ([GAIN, effect(-0.008, -0.001, versus="base")], [], ""),
        ([GAIN, effect(-0.008, -0.004, versus="base")], [], "worse than base"),
        ([GAIN, effect(-0.2, -0.1, arm="original", versus="base")], [], ""),  # the control's loss is not ours
        ([GAIN], [effect(-0.2, -0.1, arm="candidate", versus="base")], "worse than base"),
        ([GAIN], [effect(-0.2, 0.1, arm="candidate", versus="base")], ""),
    ],
)
def test_the_gate(of_run: list[dict[str, Any]], of_model: list[dict[str, Any]], doubt: str) -> None:
    found = gate(of_run, of_model, VALUES)
    assert doubt in found and bool(found) is bool(doubt)


@pytest.mark.parametrize("harm", ["weights", "missing", "unlike"])
def test_a_model_whose_files_do_not_give_what_was_measured_is_refused(made: Made, harm: str) -> None:
    site = made.site
    add_model(site, "m1")
    folder = model_folder(site, "m1")
    if harm == "weights":
        path = folder / "open_clip_model.safetensors"
        content = bytearray(path.read_bytes())
        content[-3] ^= 0x40
        path.write_bytes(bytes(content))
        message = "not those that its retraining wrote"
    elif harm == "missing":
        (folder / "meta.json").unlink()
        message = "has lost its files"
    else:
        meta = (folder / "meta.json").read_text()
        first = registry.models(site)[0]["meta"]["check"][0]["cosine"]
        (folder / "meta.json").write_text(meta.replace(f'"cosine": {first}', f'"cosine": {first + 0.1}', 1))
        message = "read back, scores"
    with pytest.raises(GenbaError, match=message):
        promote(site, "m1", "佐藤", force=True)
    assert states(site) == {"m1": "candidate"}


def test_unknown_models_name_the_known_ones(made: Made) -> None:
    add_model(made.site, "m1")
    for act in (lambda: promote(made.site, "m9", "佐藤"), lambda: evaluate(made.site, "m9")):
        with pytest.raises(GenbaError, match=r"No model 'm9'. Known: .*m1"):
            act()


def test_evaluate_measures_a_model_on_what_is_checked_now(made: Made, tmp_path: Path) -> None:
    site = made.site
    add_model(site, "m1")
    rows = {row["metric"]: row for row in evaluate(site, "m1", device="cpu")}
    assert set(rows["recall_at_1_text_to_image"]) == {"task", "metric", "value", "unit", "n"}
    assert 0 <= rows["recall_at_1_text_to_image"]["value"] <= 1
    assert evaluate(site, "base", device="cpu") == evaluate(site, site.settings.site.encoder, device="cpu")
    promote(site, "m1", "佐藤")
    assert evaluate(site, "current", device="cpu") == evaluate(site, "m1", device="cpu")
    with site.connect() as db:
        db.execute("UPDATE corrections SET state = 'withdrawn', created_at = ?", [now() - timedelta(days=1)])
    with pytest.raises(GenbaError, match=r"Nothing can be measured. retrieval: no held-out .*audit"):
        evaluate(site, "base", device="cpu")
