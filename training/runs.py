"""The record of a run (kind "retrain" or "pilot"): its rows, its folder, and what becomes of one that was killed.

A run's row is written before it starts and says `running` until it ends. Only the holder of the lock
(training/arm_runs.py) calls these functions, so a row that says `running` meanwhile belongs to a killed process: the
run goes on when the same thing is asked for within a day, and keeps what it has finished as long; then it is marked as
interrupted.
"""

from __future__ import annotations

import json
import logging
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from data.errors import GenbaError
from data.site import Site
from data.store import now
from training.compare import ByArm, Comparison
from training.measures import Measured

GOES_ON_WITHIN = timedelta(days=1)
INTERRUPTED = "interrupted"
log = logging.getLogger(__name__)
Row = dict[str, Any]


def folder(site: Site, run_id: str) -> Path:
    """SITE/runs/ID: config.json, results.parquet, and work/ while it runs."""
    return site.folder("runs") / run_id


def results_file(site: Site, run_id: str) -> Path:
    """What a run measured, item by item. Raises GenbaError when the file is gone or cannot be read."""
    path = folder(site, run_id) / "results.parquet"
    _columns(path)
    return path


def _columns(path: Path) -> list[str]:
    """Of a file of results. Raises GenbaError when it is gone or cannot be read."""
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        return list(parquet.read_schema(path).names)
    except (OSError, pyarrow.ArrowException) as error:
        raise GenbaError(
            f"The results of the run {path.parent.name} are gone or damaged: {error}",
            next="restore a backup, or genba retrain SITE",
        ) from None


def work_folder(site: Site, run_id: str) -> Path:
    """Decoded photos, training states and weights: removed when the run ends, kept when its process is killed."""
    return folder(site, run_id) / "work"


def interrupted(site: Site, config: Row, kind: str) -> Row | None:
    """The killed run that asked for the same as `config` (and so goes on), or None. Those of more than a day end."""
    asked = json.loads(json.dumps(config))
    fresh = [row for row in killed(site) if not give_up(site, row)]
    for row in fresh:
        if row["kind"] == kind and row["config"].get("asked") == asked:
            return row
    for row in fresh:
        log.warning(
            "The %s of %s UTC was killed before its end and asked for something else than this one. What it has "
            "finished is kept for a day: it goes on when the same is asked for again.",
            row["kind"], f"{row['created_at']:%H:%M}",
        )  # fmt: skip
    return None


def killed(site: Site) -> list[Row]:
    """Runs that say `running`, the newest first: killed ones, where nobody holds the lock."""
    with site.connect() as db:
        return db.rows("SELECT * FROM runs WHERE state = 'running' ORDER BY created_at DESC")


def give_up(site: Site, row: Row) -> bool:
    """Mark a killed run as interrupted when it is too old to go on. Returns whether it was."""
    is_old = now() - row["created_at"] >= GOES_ON_WITHIN
    if is_old:
        end(site, row["run_id"], "failed", INTERRUPTED)
    return is_old


def begin(site: Site, snapshot_id: str, base_encoder: str, config: Row, kind: str) -> str:
    """Write the row of a new run and return its id. `config`: what was asked for; see `interrupted`."""
    may_go_on = {row["run_id"] for row in killed(site)}
    for left in site.folder("runs").glob("*/work"):  # states of runs that failed; no run is at work
        if left.parent.name not in may_go_on:
            shutil.rmtree(left)
    run_id = f"{now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    folder(site, run_id).mkdir(parents=True)
    with site.connect() as db:
        db.insert("runs", [{"run_id": run_id, "kind": kind, "state": "running", "snapshot_id": snapshot_id,
                            "base_encoder": base_encoder, "config": {**config, "asked": config},
                            "created_at": now()}])  # fmt: skip
    return run_id


def note(site: Site, run_id: str, more: Row) -> None:
    """Add to the config of a run that is at work: what was said before the first arm trained."""
    with site.connect() as db:
        config = db.rows("SELECT config FROM runs WHERE run_id = ?", [run_id])[0]["config"]
        db.execute(
            "UPDATE runs SET config = ? WHERE run_id = ?",
            [json.dumps({**config, **more}, ensure_ascii=False), run_id],
        )


# The newest finished one that measured something.
LAST_RUN_SQL = """
SELECT run_id, created_at FROM runs r
WHERE state = 'done' AND EXISTS (SELECT 1 FROM effects e WHERE e.run_id = r.run_id)
ORDER BY created_at DESC LIMIT 1
"""

EARLIER_SQL = """
SELECT e.* FROM effects e JOIN runs r USING (run_id) WHERE r.state = 'done' AND r.kind = 'retrain'
ORDER BY r.created_at DESC, e.run_id
"""


def earlier_effects(site: Site) -> list[Row]:
    """The effects of finished retrainings, the newest first: how widely they varied says what another can detect."""
    with site.connect() as db:
        return db.rows(EARLIER_SQL)


def end(site: Site, run_id: str, state: str, error: str | None) -> None:
    """A run that came to nothing: failed or cancelled. The last good state of a training that failed is kept until
    another run begins (training/state.py)."""
    work = work_folder(site, run_id)
    at = last_sign(work) if error == INTERRUPTED else now()
    with site.connect() as db:
        row = db.rows("SELECT created_at, config FROM runs WHERE run_id = ?", [run_id])[0]
        at = max(at or row["created_at"], row["created_at"])
        db.execute(
            "UPDATE runs SET state = ?, error = ?, seconds = ?, finished_at = ? WHERE run_id = ?",
            [state, error, _worked(row, at), at, run_id],
        )
    kept = set(work.glob("*.state")) if state == "failed" else set()
    for path in set(work.glob("*")) - kept if kept else {work}:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def go_on(site: Site, row: Row) -> None:
    """Take up a killed run: the time in which nobody worked on it is none of its seconds."""
    at = last_sign(work_folder(site, row["run_id"])) or row["created_at"]
    note(site, row["run_id"], {"worked_before": _worked(row, at), "went_on_at": now().isoformat()})


def _worked(row: Row, until: datetime) -> float:
    """Seconds that a process was at work on a run. row: its created_at and config."""
    since = row["config"].get("went_on_at")
    started = datetime.fromisoformat(since) if since else row["created_at"]
    seconds = (until - started).total_seconds()
    return float(row["config"].get("worked_before", 0.0)) + max(seconds, 0.0)


def last_sign(work: Path) -> datetime | None:
    """UTC: when a killed run last wrote a file. It may have been noticed the next morning only."""
    written = [path.stat().st_mtime for path in work.glob("*")]
    return datetime.fromtimestamp(max(written), UTC).replace(tzinfo=None) if written else None


def complete(
    site: Site,
    run_id: str,
    config: Row,
    measured: ByArm,
    found: Sequence[Comparison],
    model: Row | None = None,
    more: Mapping[str, Sequence[Row]] | None = None,
) -> None:
    """Write metrics, effects, the candidate model, rows of other tables (`more`, by table, without the run), and the
    end of the run: all in one transaction, or nothing."""
    path = folder(site, run_id)
    write_results(path / "results.parquet", measured)
    (path / "config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False), encoding="utf-8")
    tables = {
        "metrics": metric_rows(run_id, measured),
        "effects": [asdict(one) for one in found],
        **(more or {}),
    }
    at = now()
    with site.connect() as db:
        row = db.rows("SELECT created_at, kind, config FROM runs WHERE run_id = ?", [run_id])[0]
        for table, rows in tables.items():
            db.execute(f"DELETE FROM {table} WHERE run_id = ?", [run_id])
            db.insert(table, [{**one, "run_id": run_id} for one in rows])
        if model:
            db.insert("models", [model], on_conflict="replace")
        db.execute(
            "UPDATE runs SET state = 'done', error = NULL, config = ?, seconds = ?, finished_at = ? WHERE run_id = ?",
            [json.dumps(config, ensure_ascii=False), _worked(row, at), at, run_id],
        )
        done = {"run": run_id, "model": model["model_id"] if model else None}
        db.event("genba", f"{row['kind']}.done", done)
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
        {"arm": arm, "seed": seed, "task": one.task, "metric": one.metric, "unit": one.unit,
         "higher_is_better": one.higher_is_better, "summary": one.summary, "item": item, "cluster": cluster,
         "stratum": stratum, "statistics": statistics.tolist()}
        for (arm, seed), found in measured.items()
        for one in found
        for item, cluster, stratum, statistics in zip(
            one.items, one.clusters, one.strata or [""] * one.n, one.statistics, strict=True)
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), path)


def read_results(path: Path, task: str, metric: str, arms: Sequence[str]) -> dict[str, list[Measured]]:
    """arm -> one Measured for each seed, in order of seeds, of one metric: what `training/compare.py` resamples.

    Raises GenbaError when the file is gone or damaged, or was written before it held how items are summed up.
    """
    import numpy as np
    import pyarrow.parquet as parquet

    if "summary" not in _columns(path):
        raise GenbaError(
            f"The results of the run {path.parent.name} do not say how items are summed up.",
            next="genba retrain SITE",
        )
    wanted = [("task", "=", task), ("metric", "=", metric), ("arm", "in", list(arms))]
    found: dict[str, list[Measured]] = {}
    for (arm, _), rows in sorted(_by_model(parquet.read_table(path, filters=wanted).to_pylist()).items()):
        first = rows[0]
        strata = [row["stratum"] for row in rows]
        found.setdefault(arm, []).append(
            Measured(task, metric, first["unit"], first["higher_is_better"], first["summary"],
                     [row["item"] for row in rows], [row["cluster"] for row in rows],
                     np.array([row["statistics"] for row in rows], dtype=np.float64), strata if any(strata) else [])
        )  # fmt: skip
    return found


def _by_model(rows: Sequence[Row]) -> dict[tuple[str, int], list[Row]]:
    found: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        found.setdefault((row["arm"], row["seed"]), []).append(row)
    return found
