"""One model on the site's test set as it is checked now: every task's metrics, nothing trained.

genba evaluate SITE MODEL               evaluate(site, "base")
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from data.errors import GenbaError
from data.jobs import Progress, silent
from data.site import Site
from data.snapshots import collect
from scoring.encoders import load_for_site
from training import registry
from training.arm_runs import bench_of
from training.bench import photos_to_decode
from training.caption_bench import photos_of
from training.dense_plan import DensePlan
from training.meter import Meter
from training.model_files import encoder_of
from training.runs import metric_row
from training.tasks import measure

Row = dict[str, Any]


def evaluate(site: Site, model: str, device: str = "auto", progress: Progress = silent) -> list[Row]:
    """Rows of metrics: task, metric, value, unit, n.

    model: a model's id, "base" (the base encoder of genba.toml), "current" (the one in use), or any encoder id. Raises
    GenbaError for an unknown one, and where nothing can be measured, with the reasons.
    """
    encoder = load_for_site(site, encoder_named(site, model), device)
    contents = collect(site).read_by(encoder.source.reads)
    with tempfile.TemporaryDirectory() as folder:
        meter = Meter(progress)
        photos = photos_to_decode(contents, DensePlan.of(site.settings.retrain))
        probed = len(photos_of(contents.train, site.template()))
        meter.plan(photos=photos + probed, steps=0, batch=0, models=1, measured=photos)
        bench = bench_of(site, contents, encoder, Path(folder), meter.photos)
        meter.say(f"measuring {model}")
        found, skipped = measure(encoder, bench)
        meter.model(f"measured {model}")
    if not found:
        reasons = "; ".join(f"{task}: {reason}" for task, reason in skipped.items())
        raise GenbaError(f"Nothing can be measured. {reasons}.", next=f"genba audit {site.root} draw 100")
    return [metric_row(one) for one in found]


def encoder_named(site: Site, model: str) -> str:
    """The encoder id of a model. Raises GenbaError that names those there are."""
    if model == "base":
        return site.settings.site.encoder
    if model == "current":
        return site.encoder_id()
    known = [row["model_id"] for row in registry.models(site)]
    if model in known:
        return encoder_of(model)
    if ":" in model or "/" in model or model == site.settings.site.encoder:
        return model  # an encoder id: loading it says what is wrong with it
    raise GenbaError(
        f"No model {model!r}.", choices=["base", "current", *known], next=f"genba models {site.root}"
    )
