"""Evidence that the gate accepts, written into the store for tests that are about something else."""

from __future__ import annotations

import json
from typing import Any

from data.site import Site
from training import checklist
from training.gate import FORGETTING

YES = {key: {"answer": "yes", "note": "確認しました"} for key in checklist.question_names()}
METRIC = "recall_at_1_text_to_image"


def effect(
    low: float, high: float, arm: str = "corrected", versus: str = "original", **more: Any
) -> dict[str, Any]:
    return {"task": "retrieval", "metric": METRIC, "arm": arm, "versus": versus, "value": (low + high) / 2, "low": low,
            "high": high, "higher_is_better": True, "unit": "fraction", "n": 100, "seeds": 2, **more}  # fmt: skip


def model_effects() -> list[dict[str, Any]]:
    """The very model against the one in use: nothing falls."""
    return [effect(0.0, 0.1, "candidate", "base"), effect(-0.01, 0.05, "candidate", "base", task=FORGETTING)]


def slice_gap(run_id: str, change: float = 0.0, **more: Any) -> dict[str, Any]:
    return {"run_id": run_id, "arm": "candidate", "task": "retrieval", "metric": METRIC, "slice": "language",
            "part": "ja", "value": 0.5 + change, "rest": 0.6, "gap": change - 0.1, "low": -0.2, "high": 0.1, "n": 60,
            "is_enough": True, "unit": "fraction", "higher_is_better": True, "change": change,
            "change_low": change - 0.01, "change_high": change + 0.01, **more}  # fmt: skip


def let_pass(site: Site, model_id: str, by: str = "佐藤") -> str:
    """Write a proven gain, no fall against the encoder in use now, and a signed checklist. Returns its id."""
    in_use = site.encoder_id()
    with site.connect() as db:
        model = db.rows("SELECT run_id, meta FROM models WHERE model_id = ?", [model_id])[0]
        arms = db.rows("SELECT DISTINCT arm FROM metrics WHERE run_id = ?", [model["run_id"]])
        for table in ("effects", "slice_gaps"):
            db.execute(f"DELETE FROM {table} WHERE run_id = ?", [model["run_id"]])
        against = ["original", *(row["arm"] for row in arms if row["arm"] == "reworded")]
        db.insert(
            "effects", [{"run_id": model["run_id"], **effect(0.01, 0.2, versus=one)} for one in against]
        )
        db.insert("slice_gaps", [slice_gap(model["run_id"])])
        meta = {**model["meta"], "in_use": in_use, "effects": model_effects()}
        db.execute("UPDATE models SET meta = ? WHERE model_id = ?", [json.dumps(meta), model_id])
    checklist.sign(site, model_id, "promotion", YES, by)
    return model_id
