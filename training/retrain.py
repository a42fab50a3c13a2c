"""Retraining with control arms: what did the corrections buy, measured on photos that nobody trained on.

    genba retrain SITE                      run_id = retrain(site, seeds=3, progress=show)

Same base, photos, order, steps and seeds for every arm; only the captions differ (training/arms.py). Every arm starts
from the site's base encoder and not from the model in use: so arms of different runs compare, a mistake of an early
round is not carried on, and a model's whole lineage is one snapshot. What the retraining must beat is the encoder in
use: the arm "base".

The candidate is the corrected arm. The arm "reworded" is always trained: a gain counts only beyond it
(training/compare.py: claim).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from data.jobs import Progress, silent
from data.site import Site
from data.snapshots import Contents
from data.store import now
from training import examples, runs
from training.arm_runs import (
    Run,
    carried_out,
    is_running,
    lock,
    measure_arm,
    measure_base,
    measured,
    train_arm,
)
from training.arms import Captions, captions_of, require_arms
from training.blend import Choice, choose_candidate, choose_share
from training.compare import BASE, CORRECTED, claim, contrasts, effects
from training.label_efficiency import efficiency_rows, label_equivalents
from training.measures import Measured
from training.model_files import encoder_of, write_model
from training.slice_columns import slices_of
from training.slices import slice_gaps

__all__ = ["is_running", "lock", "retrain"]

CANDIDATE = "candidate"
# Compared slice by slice: of hundreds of differences between slices in every single measure most are luck.
SLICED_TASKS = ("retrieval", "slots", "classification", "inspection", "segmentation", "depth")
SLICED = re.compile(r"recall_at_1_\w+|macro_f1|miss_rate\w+|miou|rmse")
Row = dict[str, Any]


def retrain(
    site: Site,
    arms: Sequence[str] | None = None,
    seeds: int | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> str:
    """Freeze, train every arm with every seed, measure, compare, write the candidate; returns the run's id.

    progress(done, total, message) over the whole run. Raises GenbaError: another run of the site is at work; too few
    corrections or checked captions; arms that cannot be compared; the loss is no number.
    """
    settings = site.settings.retrain
    chosen = require_arms(arms or settings.arms)
    asked = {"arms": chosen, "seeds": seeds or settings.seeds, "device": device}

    def arms_of(contents: Contents) -> dict[str, Captions]:
        return {arm: captions_of(contents.train, arm) for arm in chosen}

    return carried_out(site, "retrain", asked, arms_of, progress, _carry_out)


def _carry_out(run: Run) -> None:
    """All of it, in order."""
    pairs = contrasts(list(run.arms), BASE)
    choices: dict[str, Choice] = {}
    measure_base(run, pairs)
    for arm in run.arms:
        train_arm(run, arm)
        choices[arm] = choose_share(run.encoder, run.base, run.tuned(arm), run.val, run.val_photos)
        measure_arm(run, arm, choices[arm].share, with_curve=True)
    found = effects(run.measured, pairs, stated=run.stated_by_contrast())
    config = {**run.resolved(), "blend": {arm: asdict(choice) for arm, choice in choices.items()},
              "claim": claim(found, *run.site.settings.retrain.primary_metric)}  # fmt: skip
    model, of_model = None, None
    if CORRECTED in choices:
        of_model, model = _candidate(run, choices[CORRECTED], config)
    more = {
        "slice_gaps": _gaps(run, of_model), "efficiency": efficiency_rows(run.curves),
        "label_equivalents": [asdict(one) for one in label_equivalents(run.curves, pairs)],
    }  # fmt: skip
    examples.write(runs.folder(run.site, run.run_id), run.measured, run.shown, run.bench)
    runs.complete(run.site, run.run_id, config, run.measured, found, model, more)


def _gaps(run: Run, of_model: list[Measured] | None) -> list[Row]:
    """How evenly the corrected arm, the candidate and the model before serve the slices, in the main measures."""
    primary = run.site.settings.retrain.primary_metric
    known = {key: one for key, one in run.measured.items() if key[0] in (BASE, CORRECTED)}
    if of_model is not None:
        known[CANDIDATE, 0] = of_model
    main = {
        key: [
            one for one in of_key
            if (one.task, one.metric) == primary or (one.task in SLICED_TASKS and SLICED.fullmatch(one.metric))
        ]
        for key, of_key in known.items()
    }  # fmt: skip
    return slice_gaps(main, slices_of(run.site, run.bench.items))


def _candidate(run: Run, choice: Choice, config: Row) -> tuple[list[Measured], Row]:
    """Write the corrected arm's model; what it measures, and its row of the models table."""
    blended = run.blended(CORRECTED, choice.share)
    weights, chosen = choose_candidate(run.encoder, blended, run.val, run.val_photos)
    run.encoder.model.load_state_dict(weights)
    found = measured(run, run.encoder, run.bench, "the candidate")
    against = effects({(CANDIDATE, 0): found, (BASE, 0): run.measured[BASE, 0]}, [(CANDIDATE, BASE)])
    model_id = f"{run.run_id}-{CORRECTED}"
    at = now()
    meta = {
        "run_id": run.run_id, "snapshot_id": run.snapshot.snapshot_id, "arm": CORRECTED, "created_at": at.isoformat(),
        "base_encoder": run.encoder.id, "base_fingerprint": run.encoder.fingerprint, "in_use": run.in_use,
        "weights": chosen, "share": choice.share, "config": config,
        "metrics": [runs.metric_row(one) for one in found], "effects": [asdict(one) for one in against],
    }  # fmt: skip
    meta = write_model(run.site, run.encoder, weights, model_id, meta, run.bench.items)
    row = {
        "model_id": model_id, "run_id": run.run_id, "arm": CORRECTED, "state": "candidate", "meta": meta,
        "encoder": encoder_of(model_id), "base_encoder": run.encoder.id, "created_at": at,
    }  # fmt: skip
    return found, row
