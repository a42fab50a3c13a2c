"""The record of a retraining: its row in the runs table, its folder, and what becomes of one that was killed.

A run's row is written before it starts and says `running` until it ends. Only the holder of the retraining's lock
(training/retrain.py) calls these functions, so a row that says `running` meanwhile belongs to a killed process: the run
goes on when the same thing is asked for within a day, else it is marked as interrupted.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from data.site import Site
from data.store import now
from training.compare import ByArm, Comparison
from training.measures import Measured

GOES_ON_WITHIN = timedelta(days=1)
Row = dict[str, Any]


def folder(site: Site, run_id: str) -> Path:
    """SITE/runs/ID: config.json, results.parquet, and work/ while it runs."""
    return site.folder("runs") / run_id


def work_folder(site: Site, run_id: str) -> Path:
    """Decoded photos, training states and weights: removed when the run ends, kept when its process is killed."""
    return folder(site, run_id) / "work"


def interrupted(site: Site, config: Row) -> Row | None:
    """The killed run that asked for the same as `config` (and so goes on), or None. All others are marked as failed."""
    with site.connect() as db:
        rows = db.rows("SELECT * FROM runs WHERE state = 'running' ORDER BY created_at DESC")
    goes_on = None
    for row in rows:
        is_fresh = now() - row["created_at"] < GOES_ON_WITHIN
        if goes_on is None and is_fresh and row["config"].get("asked") == json.loads(json.dumps(config)):
            goes_on = row
        else:
            end(site, row["run_id"], "failed", "interrupted")
    return goes_on


def begin(site: Site, snapshot_id: str, base_encoder: str, config: Row) -> str:
    """Write the row of a new run and return its id. `config`: what was asked for; see `interrupted`."""
    run_id = f"{now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    folder(site, run_id).mkdir(parents=True)
    with site.connect() as db:
        db.insert("runs", [{"run_id": run_id, "kind": "retrain", "state": "running", "snapshot_id": snapshot_id,
                            "base_encoder": base_encoder, "config": {**config, "asked": config},
                            "created_at": now()}])  # fmt: skip
    return run_id


def end(site: Site, run_id: str, state: str, error: str | None) -> None:
    """A run that came to nothing: failed or cancelled."""
    at = now()
    with site.connect() as db:
        started = db.value("SELECT created_at FROM runs WHERE run_id = ?", [run_id])
        db.execute(
            "UPDATE runs SET state = ?, error = ?, seconds = ?, finished_at = ? WHERE run_id = ?",
            [state, error, (at - started).total_seconds(), at, run_id],
        )
    shutil.rmtree(work_folder(site, run_id), ignore_errors=True)


def complete(
    site: Site, run_id: str, config: Row, measured: ByArm, found: Sequence[Comparison], model: Row | None
) -> None:
    """Write metrics, effects, the candidate model and the end of the run: all in one transaction, or nothing."""
    path = folder(site, run_id)
    write_results(path / "results.parquet", measured)
    (path / "config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False), encoding="utf-8")
    at = now()
    with site.connect() as db:
        started = db.value("SELECT created_at FROM runs WHERE run_id = ?", [run_id])
        for table in ("metrics", "effects"):
            db.execute(f"DELETE FROM {table} WHERE run_id = ?", [run_id])
        db.insert("metrics", metric_rows(run_id, measured))
        db.insert("effects", [{"run_id": run_id, **asdict(one)} for one in found])
        if model:
            db.insert("models", [model], on_conflict="replace")
        db.execute(
            "UPDATE runs SET state = 'done', error = NULL, config = ?, seconds = ?, finished_at = ? WHERE run_id = ?",
            [json.dumps(config, ensure_ascii=False), (at - started).total_seconds(), at, run_id],
        )
        db.event("genba", "retrain.done", {"run": run_id, "model": model["model_id"] if model else None})
    shutil.rmtree(work_folder(site, run_id), ignore_errors=True)


def metric_rows(run_id: str, measured: ByArm) -> list[Row]:
    """Rows of the metrics table."""
    return [
        {"run_id": run_id, "arm": arm, "seed": seed, **metric_row(one)}
        for (arm, seed), found in measured.items()
        for one in found
    ]


def metric_row(one: Measured) -> Row:
    """task, metric, value, unit, n."""
    return {"task": one.task, "metric": one.metric, "value": one.value, "unit": one.unit, "n": one.n}


def write_results(path: Path, measured: ByArm) -> None:
    """Every item's part in every metric, so that a comparison can be made again, or another one made."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    rows = [
        {"arm": arm, "seed": seed, "task": one.task, "metric": one.metric, "item": item, "cluster": cluster,
         "statistics": statistics.tolist()}
        for (arm, seed), found in measured.items()
        for one in found
        for item, cluster, statistics in zip(one.items, one.clusters, one.statistics, strict=True)
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), path)
