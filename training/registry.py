"""The models of a site: which ranks the queue, which could, and the way there and back.

    genba models SITE                       models(site)
    genba models SITE promote MODEL         promote(site, model_id, by="佐藤")
    genba models SITE rollback              rollback(site, by="佐藤")
    genba models SITE sign MODEL            training/checklist.py

A model is promoted when the gate (training/gate.py) finds nothing against it and its weights, read back, score as they
did when they were written; there is no way past either. Promotion and rollback are one transaction each, in which the
gate looks again, and queue a scoring; until that is done the old model's scores rank the queue.
"""

from __future__ import annotations

from typing import Any

from data.errors import GenbaError
from data.jobs import enqueue
from data.site import Site
from data.store import Database, now
from training import checklist
from training.gate import Check, Evidence, allows, judge
from training.gate_words import against
from training.model_files import check_files, check_model

Row = dict[str, Any]

MODELS_SQL = """
SELECT * FROM models
ORDER BY CASE state WHEN 'champion' THEN 0 WHEN 'candidate' THEN 1 ELSE 2 END, created_at DESC, model_id
"""
MEANS_SQL = "SELECT task, metric, arm, avg(value) AS value FROM metrics WHERE run_id = ? GROUP BY ALL"
# Whether the checked test captions lie in different parts at all: two languages, or two values of an extra column.
HAS_SLICES_SQL = """
WITH checked AS (
    SELECT DISTINCT p.pair_id, p.language, p.extra FROM pairs p
    JOIN images i USING (image_id) JOIN corrections c ON c.old_pair_id = p.pair_id
    WHERE i.split = 'test' AND c.state = 'active' AND c.verdict IN ('ok', 'fix')),
parts AS (
    SELECT key, json_extract_string(extra, '/' || replace(replace(key, '~', '~0'), '/', '~1')) AS part
    FROM (SELECT unnest(json_keys(extra)) AS key, extra FROM checked))
SELECT (SELECT count(DISTINCT language) > 1 FROM checked)
    OR EXISTS (SELECT 1 FROM parts WHERE trim(part) <> '' GROUP BY key HAVING count(DISTINCT part) > 1)
"""
SIGNED_BEFORE_SQL = """
SELECT count(*) > 0 FROM events WHERE what = 'model.promoted' AND detail ->> 'checklist' IS NOT NULL
"""


def models(site: Site) -> list[Row]:
    """All models, the champion first, then candidates, then retired ones; newest first."""
    with site.connect() as db:
        return db.rows(MODELS_SQL)


def checks(site: Site, model_id: str) -> list[Check]:
    """What the gate says of a model now. Raises GenbaError for a model that is not known."""
    with site.connect() as db:
        return _judged(site, db, _model(site, db, model_id))


def evidence(site: Site, db: Database, model: Row) -> Evidence:
    """All that the gate looks at, from the store. model: a row of the models table."""
    run = [model["run_id"]]
    means = db.rows(MEANS_SQL, run)
    gaps = db.rows("SELECT * FROM slice_gaps WHERE run_id = ?", run)
    in_use = _in_use(site, db)
    signed = checklist.latest(db, model["model_id"], "promotion")
    return Evidence(
        arm=model["arm"],
        arms=tuple(sorted({row["arm"] for row in means})),
        effects=db.rows("SELECT * FROM effects WHERE run_id = ?", run),
        of_model=model["meta"].get("effects", []),
        gaps=gaps,
        values={(row["task"], row["metric"], row["arm"]): row["value"] for row in means},
        measured_against=model["meta"].get("in_use", ""),
        in_use=in_use,
        has_general_set=bool(site.settings.retrain.general_set),
        has_slices=bool(gaps) or bool(db.value(HAS_SLICES_SQL)),
        needs_checklist=not db.value(SIGNED_BEFORE_SQL),
        objections=tuple(checklist.objections(signed["answers"])) if signed else None,
    )


def _judged(site: Site, db: Database, model: Row) -> list[Check]:
    settings = site.settings.retrain
    return judge(evidence(site, db, model), settings.primary, settings.guard_margin)


def _in_use(site: Site, db: Database) -> str:
    """As Site.encoder_id, inside a transaction."""
    champion = db.value("SELECT encoder FROM models WHERE state = 'champion'")
    return str(champion) if champion else site.settings.site.encoder


def _model(site: Site, db: Database, model_id: str) -> Row:
    found = db.rows(MODELS_SQL)
    for row in found:
        if row["model_id"] == model_id:
            return row
    choices = [row["model_id"] for row in found]
    raise GenbaError(f"No model {model_id!r}.", choices=choices, next=f"genba models {site.root}")


def promote(site: Site, model_id: str, by: str) -> None:
    """Let a model rank the queue. Raises GenbaError when it is unknown, in use already, when something stands against
    it (each reason is named), or when its files do not give what was measured."""
    with site.connect() as db:
        _require_promotable(site, db, model_id)
    check_model(site, model_id)  # seconds: outside the transaction
    with site.connect() as db:  # and look again: somebody may have promoted another one meanwhile
        _require_promotable(site, db, model_id)
        at = now()
        signed = checklist.latest(db, model_id, "promotion")
        before = _in_use(site, db)
        db.execute("UPDATE models SET state = 'retired', retired_at = ? WHERE state = 'champion'", [at])
        db.execute(
            "UPDATE models SET state = 'champion', promoted_at = ?, retired_at = NULL WHERE model_id = ?",
            [at, model_id],
        )
        detail = {
            "model": model_id,
            "before": before,
            "checklist": signed["checklist_id"] if signed else None,
        }
        db.event(by, "model.promoted", detail)
        enqueue(db, "score", requested_by=by)


def _require_promotable(site: Site, db: Database, model_id: str) -> None:
    row = _model(site, db, model_id)
    if row["state"] == "champion":
        raise GenbaError(f"The model {model_id} is in use already.", next=f"genba models {site.root}")
    found = _judged(site, db, row)
    if not allows(found):
        reasons = " ".join(against(found, "en"))
        raise GenbaError(
            f"The model {model_id} is not promoted. {reasons}", next=_next(site, model_id, found)
        )


def _next(site: Site, model_id: str, found: list[Check]) -> str:
    """The command that mends the first thing that stands against a model."""
    first = next(check for check in found if check.stands_against)
    if first.name == "checklist":
        return f"genba models {site.root} sign {model_id} --purpose promotion --interactive"
    if first.name == "forgetting" and first.state == "not_measured":
        return f"genba audit {site.root} draw 100, then genba retrain {site.root}"
    return f"genba queue {site.root} --top 20, then genba retrain {site.root}"


def rollback(site: Site, by: str) -> str:
    """Go back to the model that was in use before, or to the base encoder; returns the encoder then in use.

    The model that is left keeps its files, but no later rollback comes back to it. A model whose files were deleted or
    changed is passed over. Raises GenbaError when none is in use, and when somebody else decided at the same moment.
    """
    with site.connect() as db:
        seen = _champion(db)
        earlier = [row["model_id"] for row in db.rows(EARLIER_SQL)]
    if seen is None:
        raise GenbaError(
            f"The base encoder {site.settings.site.encoder!r} is in use; there is nothing to go back to.",
            next=f"genba models {site.root}",
        )
    before = next((one for one in earlier if _is_whole(site, one)), None)  # reads whole files: no transaction
    passed_over = earlier[: earlier.index(before)] if before else earlier
    with site.connect() as db:
        if _champion(db) != seen:
            raise GenbaError("Somebody else has just promoted a model or rolled one back; nothing was changed.",
                             next=f"genba models {site.root}")  # fmt: skip
        at = now()
        db.execute(
            "UPDATE models SET state = 'retired', retired_at = ?, promoted_at = NULL WHERE model_id = ?",
            [at, seen],
        )
        if before:
            db.execute("UPDATE models SET state = 'champion', retired_at = NULL WHERE model_id = ?", [before])
        detail = {"from": seen, "to": before or "base", "passed_over": passed_over}
        db.event(by, "model.rolled_back", detail)
        enqueue(db, "score", requested_by=by)
        return _in_use(site, db)


# Models that were in use before the champion and were not left by a rollback, the last one first.
EARLIER_SQL = """
SELECT model_id FROM models
WHERE state = 'retired' AND promoted_at < (SELECT promoted_at FROM models WHERE state = 'champion')
ORDER BY promoted_at DESC, model_id
"""


def _champion(db: Database) -> str | None:
    found = db.value("SELECT model_id FROM models WHERE state = 'champion'")
    return str(found) if found else None


def _is_whole(site: Site, model_id: str) -> bool:
    """Whether a model's files are there and unchanged: a rollback must not end in an encoder that cannot be loaded."""
    try:
        check_files(site, model_id)
    except GenbaError:
        return False
    return True
