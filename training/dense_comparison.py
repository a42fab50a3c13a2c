"""A model beside a base that is no CLIP, on the site's own masks and depth: what captions are worth as pre-training.

    genba evaluate SITE current --base timm:vit_base_patch16_224.mae

Same photos, same labels, same size, same probe (or fine-tuning): only the weights and the architecture differ. Take a
base of the model's architecture, else the difference speaks of both. Photos are drawn anew for the interval.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from data.errors import GenbaError
from data.jobs import Progress, silent
from data.site import Site
from data.snapshots import collect
from scoring.encoders import load_for_site
from training.bench import photos_to_decode, prepare
from training.compare import Comparison, effects
from training.dense_base import load_base
from training.dense_plan import DensePlan
from training.dense_tasks import measure_dense
from training.meter import Meter


def compare_with_base(
    site: Site, encoder_id: str, base_id: str, device: str = "auto", progress: Progress = silent
) -> list[Comparison]:
    """The encoder's dense metrics less the base's, with intervals. Photos have the encoder's size, or dense_size.

    Raises GenbaError: no such encoder or base, a size that the base's patches do not divide, nothing to measure.
    """
    encoder, base = load_for_site(site, encoder_id, device), load_base(base_id, device)
    plan = DensePlan.of(site.settings.retrain)
    plan = replace(plan, size=plan.size or encoder.image_size)
    contents = collect(site)
    contents = replace(contents, items=[])  # captions are not asked for
    with tempfile.TemporaryDirectory() as folder:
        meter = Meter(progress)
        photos = photos_to_decode(contents, plan)
        meter.plan(photos=2 * photos, steps=0, batch=0, models=2, measured=photos)
        found = {}
        for one in (encoder, base):
            bench = prepare(site, contents, one, Path(folder), meter.photos, plan)
            meter.say(f"measuring {one.id}")
            found[one.id, 0], skipped = measure_dense(one, bench)
            meter.model(f"measured {one.id}")
    if not found[encoder.id, 0]:
        reasons = "; ".join(f"{task}: {reason}" for task, reason in skipped.items())
        raise GenbaError(f"Nothing can be measured. {reasons}.", next="genba ingest SITE FOLDER --as masks")
    return effects(found, [(encoder.id, base.id)])
