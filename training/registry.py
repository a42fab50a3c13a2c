"""The models of a site: which ranks the queue, which could, and the way there and back.

    genba models SITE                       models(site)
    genba models SITE promote MODEL         promote(site, model_id, by="佐藤")
    genba models SITE rollback              rollback(site, by="佐藤")
    genba evaluate SITE MODEL               evaluate(site, "base")

A model is promoted when its gain over the control arm is proven and nothing that matters is proven worse. Promotion
and rollback are one transaction each and queue a scoring; until that is done the old model's scores rank the queue.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.errors import GenbaError
from data.jobs import Progress, enqueue, silent
from data.site import Site
from data.snapshots import collect
from data.store import Database, now
from scoring.encoders import load_for_site
from training.bench import photos_to_decode, prepare
from training.meter import Meter
from training.model_files import check_model, encoder_of, model_folder
from training.runs import metric_row
from training.tasks import measure

MAIN = ("retrieval", "recall_at_1_text_to_image", "corrected", "original")  # chosen before any run
# A loss smaller than one hundredth of what the metric was: with hundreds of test photos such a loss can be proven, and
# matters to nobody.
NEGLIGIBLE = 0.01
Row = dict[str, Any]


def models(site: Site) -> list[Row]:
    """All models, the champion first, then candidates, then retired ones; newest first."""
    with site.connect() as db:
        return db.rows(
            "SELECT * FROM models ORDER BY CASE state WHEN 'champion' THEN 0 WHEN 'candidate' THEN 1 ELSE 2 END, "
            "created_at DESC, model_id"
        )


def evaluate(site: Site, model: str, device: str = "auto", progress: Progress = silent) -> list[Row]:
    """Every task's metrics of one model on the held-out photos as they are checked now: task, metric, value, unit, n.

    model: a model's id, "base" (the base encoder of genba.toml), "current" (the one in use), or any encoder id.
    """
    encoder = load_for_site(site, _encoder_id(site, model), device)
    contents = collect(site).read_by(encoder.source.reads)
    with tempfile.TemporaryDirectory() as folder:
        meter = Meter(progress)
        photos = photos_to_decode(contents)
        meter.plan(photos=photos, steps=0, batch=0, models=1, measured=photos)
        bench = prepare(site, contents, encoder, Path(folder), meter.photos)
        meter.say(f"measuring {model}")
        found, skipped = measure(encoder, bench)
        meter.model(f"measured {model}")
    if not found:
        reasons = "; ".join(f"{task}: {reason}" for task, reason in skipped.items())
        raise GenbaError(f"Nothing can be measured. {reasons}.", next=f"genba audit {site.root} draw 100")
    return [metric_row(one) for one in found]


def _encoder_id(site: Site, model: str) -> str:
    if model == "base":
        return site.settings.site.encoder
    if model == "current":
        return site.encoder_id()
    known = [row["model_id"] for row in models(site)]
    if model in known:
        return encoder_of(model)
    if ":" in model or "/" in model or model == site.settings.site.encoder:
        return model  # an encoder id: loading it says what is wrong with it
    raise GenbaError(
        f"No model {model!r}.", choices=["base", "current", *known], next=f"genba models {site.root}"
    )


def promote(site: Site, model_id: str, by: str, force: bool = False) -> None:
    """Let a model rank the queue. Raises GenbaError when it is unknown, in use already, its files do not give what was
    measured, or, unless `force`, when no gain is proven."""
    row = _model(site, model_id)
    if row["state"] == "champion":
        raise GenbaError(f"The model {model_id} is in use already.", next=f"genba models {site.root}")
    doubt = doubts(site, row)
    if doubt and not force:
        raise GenbaError(f"The model {model_id} is not promoted: {doubt}.",
                         next=f"genba models {site.root} promote {model_id} --force")  # fmt: skip
    check_model(site, model_id)
    with site.connect() as db:
        at = now()
        db.execute("UPDATE models SET state = 'retired', retired_at = ? WHERE state = 'champion'", [at])
        db.execute(
            "UPDATE models SET state = 'champion', promoted_at = ?, retired_at = NULL WHERE model_id = ?",
            [at, model_id],
        )
        db.event(by, "model.promoted", {"model": model_id, "forced": bool(doubt), "doubt": doubt})
        enqueue(db, "score", requested_by=by)


def _model(site: Site, model_id: str) -> Row:
    found = models(site)
    for row in found:
        if row["model_id"] == model_id:
            return row
    choices = [row["model_id"] for row in found]
    raise GenbaError(f"No model {model_id!r}.", choices=choices, next=f"genba models {site.root}")


def doubts(site: Site, model: Row) -> str:
    """Why a model should not be promoted, or "" when its gain is proven. model: a row of the models table."""
    with site.connect() as db:
        found = db.rows("SELECT * FROM effects WHERE run_id = ?", [model["run_id"]])
        means = db.rows("SELECT metric, arm, avg(value) AS value FROM metrics WHERE run_id = ? GROUP BY ALL",
                        [model["run_id"]])  # fmt: skip
    values = {(row["metric"], row["arm"]): row["value"] for row in means}
    return gate(found, model["meta"].get("effects", []), values)


def gate(of_run: Sequence[Row], of_model: Sequence[Row], values: Mapping[tuple[str, str], float]) -> str:
    """The rule: the main effect (MAIN) is a proven gain; no effect of the corrected arm, and none of the very model
    against the one in use, is a proven loss that matters (NEGLIGIBLE). Returns what stands against it, or "".

    of_run, of_model: rows with task, metric, arm, versus, value, low, high, higher_is_better. values: (metric, arm) ->
    the arm's mean, by which a loss is measured.
    """
    main = next((e for e in of_run if (e["task"], e["metric"], e["arm"], e["versus"]) == MAIN), None)
    if main is None:
        return "its retraining had no control arm to compare it with"
    if not is_proven(main, better=True):
        return (f"no gain is proven: {main['metric']} changed by {main['value']:+.3f} "
                f"(95 % interval {main['low']:+.3f} to {main['high']:+.3f})")  # fmt: skip
    for one in (*of_run, *of_model):
        is_ours = one["arm"] in ("corrected", "candidate") and is_proven(one, better=False)
        if is_ours and abs(one["value"]) > NEGLIGIBLE * values.get((one["metric"], one["versus"]), 0.0):
            return (f"it is worse than {one['versus']} in {one['metric']}: {one['value']:+.4f} "
                    f"(95 % interval {one['low']:+.4f} to {one['high']:+.4f})")  # fmt: skip
    return ""


def is_proven(effect: Row, better: bool) -> bool:
    """Whether the whole interval lies on the better (or the worse) side of zero."""
    return bool(effect["low"] > 0 if better == effect["higher_is_better"] else effect["high"] < 0)


def rollback(site: Site, by: str) -> None:
    """Go back to the model that was in use before, or to the base encoder. Raises GenbaError when none is in use.

    The model that is left keeps its files, but no later rollback comes back to it.
    """
    with site.connect() as db:
        champion = db.one("SELECT model_id, promoted_at FROM models WHERE state = 'champion'")
        if champion is None:
            raise GenbaError(
                f"The base encoder {site.settings.site.encoder!r} is in use; there is nothing to go back to.",
                next=f"genba models {site.root}",
            )
        before = _before(site, db, champion)
        at = now()
        db.execute(
            "UPDATE models SET state = 'retired', retired_at = ?, promoted_at = NULL WHERE model_id = ?",
            [at, champion["model_id"]],
        )
        if before:
            db.execute("UPDATE models SET state = 'champion', retired_at = NULL WHERE model_id = ?", [before])
        db.event(by, "model.rolled_back", {"from": champion["model_id"], "to": before or "base"})
        enqueue(db, "score", requested_by=by)


def _before(site: Site, db: Database, champion: Row) -> str | None:
    """The model promoted last before this one whose files are there; None: the base encoder."""
    rows = db.rows(
        "SELECT model_id FROM models WHERE state = 'retired' AND promoted_at < ? ORDER BY promoted_at DESC",
        [champion["promoted_at"]],
    )
    return next(
        (row["model_id"] for row in rows if (model_folder(site, row["model_id"]) / "meta.json").exists()),
        None,
    )
