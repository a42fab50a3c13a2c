"""The schema, as numbered steps that are only ever appended. `migrate` runs those a site does not have yet.

JSON columns hold what varies by template or by site; everything a query filters on has a column of its own.
"""

from __future__ import annotations

from typing import Any

MIGRATIONS: list[str] = [
    """
    CREATE TABLE images (
        image_id VARCHAR PRIMARY KEY, uri VARCHAR NOT NULL, root INTEGER NOT NULL,
        width INTEGER NOT NULL, height INTEGER NOT NULL, taken_at TIMESTAMP,
        dhash VARCHAR, group_id VARCHAR NOT NULL, split VARCHAR NOT NULL, added_at TIMESTAMP NOT NULL);
    CREATE TABLE pairs (
        pair_id VARCHAR PRIMARY KEY, image_id VARCHAR NOT NULL, caption VARCHAR NOT NULL, caption_id VARCHAR NOT NULL,
        language VARCHAR NOT NULL, origin VARCHAR NOT NULL, state VARCHAR NOT NULL,
        slots JSON, extra JSON NOT NULL, added_at TIMESTAMP NOT NULL);
    CREATE TABLE rejects (
        source VARCHAR NOT NULL, item VARCHAR NOT NULL, reason VARCHAR NOT NULL, detail VARCHAR NOT NULL,
        rejected_at TIMESTAMP NOT NULL, PRIMARY KEY (source, item, reason));
    CREATE TABLE dense_labels (
        image_id VARCHAR NOT NULL, kind VARCHAR NOT NULL, path VARCHAR NOT NULL, meta JSON NOT NULL,
        added_at TIMESTAMP NOT NULL, PRIMARY KEY (image_id, kind));
    CREATE TABLE scores (
        pair_id VARCHAR NOT NULL, encoder VARCHAR NOT NULL, fingerprint VARCHAR NOT NULL, cosine DOUBLE,
        signals JSON NOT NULL, risk DOUBLE NOT NULL, reasons JSON NOT NULL, scored_at TIMESTAMP NOT NULL,
        PRIMARY KEY (pair_id, encoder));
    CREATE TABLE annotators (
        name VARCHAR PRIMARY KEY, simulated BOOLEAN NOT NULL, ls_user_id INTEGER, added_at TIMESTAMP NOT NULL);
    CREATE TABLE leases (pair_id VARCHAR PRIMARY KEY, annotator VARCHAR NOT NULL, expires_at TIMESTAMP NOT NULL);
    CREATE TABLE form_drafts (
        pair_id VARCHAR NOT NULL, annotator VARCHAR NOT NULL, slots JSON NOT NULL, active_seconds DOUBLE NOT NULL,
        updated_at TIMESTAMP NOT NULL, PRIMARY KEY (pair_id, annotator));
    CREATE TABLE tasks (
        pair_id VARCHAR NOT NULL, ls_project_id INTEGER NOT NULL, ls_task_id INTEGER NOT NULL,
        template VARCHAR NOT NULL, pushed_at TIMESTAMP NOT NULL, PRIMARY KEY (ls_project_id, pair_id));
    CREATE TABLE corrections (
        correction_id VARCHAR PRIMARY KEY, old_pair_id VARCHAR NOT NULL, new_pair_ids JSON NOT NULL,
        verdict VARCHAR NOT NULL, template VARCHAR, template_version INTEGER, slots JSON NOT NULL,
        reason VARCHAR NOT NULL, annotator VARCHAR NOT NULL, simulated BOOLEAN NOT NULL,
        active_seconds DOUBLE NOT NULL, lead_time DOUBLE, source VARCHAR NOT NULL, draft JSON,
        ls_task_id INTEGER, ls_annotation_id INTEGER, ls_updated_at VARCHAR,
        supersedes VARCHAR, state VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL);
    CREATE TABLE outbox (
        correction_id VARCHAR NOT NULL, action VARCHAR NOT NULL, attempts INTEGER NOT NULL, last_error VARCHAR,
        queued_at TIMESTAMP NOT NULL, done_at TIMESTAMP, PRIMARY KEY (correction_id, action));
    CREATE TABLE labels (
        pair_id VARCHAR NOT NULL, correction_id VARCHAR NOT NULL, needs_correction BOOLEAN NOT NULL,
        source VARCHAR NOT NULL, inclusion_probability DOUBLE, labelled_at TIMESTAMP NOT NULL,
        PRIMARY KEY (pair_id, correction_id));
    CREATE TABLE audits (
        pair_id VARCHAR PRIMARY KEY, draw VARCHAR NOT NULL, stratum VARCHAR NOT NULL,
        inclusion_probability DOUBLE NOT NULL, drawn_at TIMESTAMP NOT NULL);
    CREATE TABLE runs (
        run_id VARCHAR PRIMARY KEY, kind VARCHAR NOT NULL, state VARCHAR NOT NULL, snapshot_id VARCHAR,
        base_encoder VARCHAR NOT NULL, config JSON NOT NULL, error VARCHAR, seconds DOUBLE,
        created_at TIMESTAMP NOT NULL, finished_at TIMESTAMP);
    CREATE TABLE metrics (
        run_id VARCHAR NOT NULL, arm VARCHAR NOT NULL, seed INTEGER NOT NULL, task VARCHAR NOT NULL,
        metric VARCHAR NOT NULL, value DOUBLE NOT NULL, unit VARCHAR NOT NULL, n INTEGER NOT NULL,
        PRIMARY KEY (run_id, arm, seed, task, metric));
    CREATE TABLE effects (
        run_id VARCHAR NOT NULL, task VARCHAR NOT NULL, metric VARCHAR NOT NULL, arm VARCHAR NOT NULL,
        versus VARCHAR NOT NULL, value DOUBLE NOT NULL, low DOUBLE NOT NULL, high DOUBLE NOT NULL,
        unit VARCHAR NOT NULL, higher_is_better BOOLEAN NOT NULL, n INTEGER NOT NULL, seeds INTEGER NOT NULL,
        PRIMARY KEY (run_id, task, metric, arm, versus));
    CREATE TABLE models (
        model_id VARCHAR PRIMARY KEY, run_id VARCHAR NOT NULL, arm VARCHAR NOT NULL, state VARCHAR NOT NULL,
        encoder VARCHAR NOT NULL, base_encoder VARCHAR NOT NULL, meta JSON NOT NULL, created_at TIMESTAMP NOT NULL,
        promoted_at TIMESTAMP, retired_at TIMESTAMP);
    CREATE TABLE jobs (
        job_id VARCHAR PRIMARY KEY, name VARCHAR NOT NULL, arguments JSON NOT NULL, state VARCHAR NOT NULL,
        requested_by VARCHAR NOT NULL, done BIGINT NOT NULL, total BIGINT, message VARCHAR NOT NULL,
        attempts INTEGER NOT NULL, pid INTEGER, result JSON, error VARCHAR, cancel_requested BOOLEAN NOT NULL,
        queued_at TIMESTAMP NOT NULL, started_at TIMESTAMP, heartbeat_at TIMESTAMP, finished_at TIMESTAMP);
    CREATE TABLE events (
        occurred_at TIMESTAMP NOT NULL, actor VARCHAR NOT NULL, what VARCHAR NOT NULL, detail JSON NOT NULL);
    CREATE TABLE state (key VARCHAR PRIMARY KEY, value JSON NOT NULL);
    """,
    # Signals as a typed map, so that one signal of all pairs is read without parsing JSON; the order of the queue; what
    # a risk was fitted from; who an audit pair is meant for, and whether it came mixed into the queue.
    """
    ALTER TABLE scores ALTER COLUMN signals TYPE MAP(VARCHAR, DOUBLE) USING CAST(signals AS MAP(VARCHAR, DOUBLE));
    ALTER TABLE scores ADD COLUMN priority DOUBLE;
    UPDATE scores SET priority = risk;
    ALTER TABLE audits ADD COLUMN assigned_to VARCHAR;
    ALTER TABLE audits ADD COLUMN kind VARCHAR DEFAULT 'drawn';
    CREATE TABLE risk_fits (
        fit_id VARCHAR PRIMARY KEY, encoder VARCHAR NOT NULL, fingerprint VARCHAR NOT NULL, kind VARCHAR NOT NULL,
        labels INTEGER NOT NULL, auroc DOUBLE, auroc_label_free DOUBLE, model JSON NOT NULL, curve JSON NOT NULL,
        fitted_at TIMESTAMP NOT NULL);
    """,
    # What drafters propose, lots of drafts and the sample that decides on them, second opinions, adjudication.
    """
    CREATE TABLE drafts (
        draft_id VARCHAR PRIMARY KEY, pair_id VARCHAR NOT NULL, drafter VARCHAR NOT NULL, version VARCHAR NOT NULL,
        template VARCHAR NOT NULL, template_version INTEGER NOT NULL, slots JSON NOT NULL, confidence JSON NOT NULL,
        captions JSON NOT NULL, cosine DOUBLE, old_cosine DOUBLE, quality DOUBLE, planted BOOLEAN NOT NULL,
        lot_id VARCHAR, state VARCHAR NOT NULL, drafted_at TIMESTAMP NOT NULL);
    CREATE TABLE lots (
        lot_id VARCHAR PRIMARY KEY, size INTEGER NOT NULL, sample INTEGER NOT NULL, accept_number INTEGER NOT NULL,
        plan JSON NOT NULL, state VARCHAR NOT NULL, drawn_by VARCHAR NOT NULL, drawn_at TIMESTAMP NOT NULL,
        decided_by VARCHAR, decided_at TIMESTAMP);
    CREATE TABLE lot_checks (
        lot_id VARCHAR NOT NULL, draft_id VARCHAR NOT NULL, is_right BOOLEAN, checked_by VARCHAR,
        active_seconds DOUBLE, checked_at TIMESTAMP, PRIMARY KEY (lot_id, draft_id));
    CREATE TABLE reviews (
        review_id VARCHAR PRIMARY KEY, pair_id VARCHAR NOT NULL, correction_id VARCHAR NOT NULL,
        reason VARCHAR NOT NULL, state VARCHAR NOT NULL, reviewer VARCHAR, simulated BOOLEAN,
        answer_id VARCHAR, verdict VARCHAR, slots JSON,
        captions JSON, template VARCHAR, template_version INTEGER, differing JSON, active_seconds DOUBLE NOT NULL,
        drawn_at TIMESTAMP NOT NULL, answered_at TIMESTAMP);
    CREATE TABLE adjudications (
        adjudication_id VARCHAR PRIMARY KEY, pair_id VARCHAR NOT NULL, kind VARCHAR NOT NULL, first_id VARCHAR,
        second_id VARCHAR NOT NULL, decision VARCHAR NOT NULL, result_id VARCHAR NOT NULL, why VARCHAR NOT NULL,
        decided_by VARCHAR NOT NULL, active_seconds DOUBLE NOT NULL, state VARCHAR NOT NULL,
        decided_at TIMESTAMP NOT NULL, undone_by VARCHAR, undone_at TIMESTAMP);
    """,
    # When an answer was tried that Label Studio refused: the wait for the next try grows with each.
    """
    ALTER TABLE outbox ADD COLUMN tried_at TIMESTAMP;
    """,
    # Drafts: whether the confidence is measured, the language of the comparison, and, where a person had answered
    # before without seeing the draft, whether it says the same; a lot's drafts in the order in which they are judged.
    """
    ALTER TABLE drafts ADD COLUMN calibrated BOOLEAN;
    ALTER TABLE drafts ADD COLUMN language VARCHAR;
    ALTER TABLE drafts ADD COLUMN is_right BOOLEAN;
    ALTER TABLE drafts ADD COLUMN agreed JSON;
    ALTER TABLE lot_checks ADD COLUMN place INTEGER;
    """,
    # The draft that a task in Label Studio began with: an answer there leans towards it.
    """
    ALTER TABLE tasks ADD COLUMN draft JSON;
    """,
    # Effects with their p-value and what could have been detected; how far fewer labels go; what a slot is worth;
    # gaps between slices of a model; a lead's signed checklist; models written for devices.
    """
    ALTER TABLE effects ADD COLUMN p_value DOUBLE;
    ALTER TABLE effects ADD COLUMN detectable DOUBLE;
    CREATE TABLE efficiency (
        run_id VARCHAR NOT NULL, arm VARCHAR NOT NULL, seed INTEGER NOT NULL, task VARCHAR NOT NULL,
        metric VARCHAR NOT NULL, share DOUBLE NOT NULL, labels INTEGER NOT NULL, value DOUBLE NOT NULL,
        unit VARCHAR NOT NULL, higher_is_better BOOLEAN NOT NULL, n INTEGER NOT NULL,
        PRIMARY KEY (run_id, arm, seed, task, metric, share));
    CREATE TABLE label_equivalents (
        run_id VARCHAR NOT NULL, task VARCHAR NOT NULL, metric VARCHAR NOT NULL, arm VARCHAR NOT NULL,
        versus VARCHAR NOT NULL, share DOUBLE NOT NULL, labels INTEGER NOT NULL, equivalent DOUBLE, low DOUBLE,
        high DOUBLE, is_reached BOOLEAN NOT NULL, PRIMARY KEY (run_id, task, metric, arm, versus, share));
    CREATE TABLE slot_effects (
        run_id VARCHAR NOT NULL, slot VARCHAR NOT NULL, task VARCHAR NOT NULL, metric VARCHAR NOT NULL,
        value DOUBLE NOT NULL, low DOUBLE NOT NULL, high DOUBLE NOT NULL, unit VARCHAR NOT NULL,
        higher_is_better BOOLEAN NOT NULL, n INTEGER NOT NULL, seeds INTEGER NOT NULL, p_value DOUBLE,
        detectable DOUBLE,
        seconds DOUBLE, gain_per_second DOUBLE,
        PRIMARY KEY (run_id, slot, task, metric));
    CREATE TABLE slice_gaps (
        run_id VARCHAR NOT NULL, arm VARCHAR NOT NULL, task VARCHAR NOT NULL, metric VARCHAR NOT NULL,
        slice VARCHAR NOT NULL, part VARCHAR NOT NULL, value DOUBLE NOT NULL, rest DOUBLE NOT NULL,
        gap DOUBLE NOT NULL, low DOUBLE NOT NULL, high DOUBLE NOT NULL, n INTEGER NOT NULL,
        is_enough BOOLEAN NOT NULL, unit VARCHAR NOT NULL, higher_is_better BOOLEAN NOT NULL,
        change DOUBLE, change_low DOUBLE, change_high DOUBLE,
        PRIMARY KEY (run_id, arm, task, metric, slice, part));
    CREATE TABLE checklists (
        checklist_id VARCHAR PRIMARY KEY, model_id VARCHAR NOT NULL, purpose VARCHAR NOT NULL, answers JSON NOT NULL,
        shown JSON NOT NULL, signed_by VARCHAR NOT NULL, signed_at TIMESTAMP NOT NULL);
    CREATE TABLE assumptions (
        set_id VARCHAR PRIMARY KEY, name VARCHAR NOT NULL, given JSON NOT NULL, confirmed JSON NOT NULL,
        note VARCHAR NOT NULL, author VARCHAR NOT NULL, saved_at TIMESTAMP NOT NULL);
    CREATE TABLE edge_exports (
        export_id VARCHAR PRIMARY KEY, model_id VARCHAR NOT NULL, format VARCHAR NOT NULL, precision VARCHAR NOT NULL,
        path VARCHAR NOT NULL, report JSON NOT NULL, exported_by VARCHAR NOT NULL, exported_at TIMESTAMP NOT NULL);
    """,
    # What was looked through for personal data, what was found (the same finding has the same id for good), what a lead
    # decided; pairs that a lead put at the head of the queue. Items: a caption_id or an image_id.
    """
    CREATE TABLE privacy_scans (
        kind VARCHAR NOT NULL, item VARCHAR NOT NULL, detector VARCHAR NOT NULL, problem VARCHAR,
        scanned_at TIMESTAMP NOT NULL, PRIMARY KEY (kind, item));
    CREATE TABLE privacy_findings (
        finding_id VARCHAR PRIMARY KEY, kind VARCHAR NOT NULL, item VARCHAR NOT NULL, what VARCHAR NOT NULL,
        text VARCHAR NOT NULL, detail JSON NOT NULL, found_at TIMESTAMP NOT NULL);
    CREATE TABLE privacy_decisions (
        decision_id VARCHAR PRIMARY KEY, finding_id VARCHAR NOT NULL, decision VARCHAR NOT NULL,
        correction_id VARCHAR, decided_by VARCHAR NOT NULL, decided_at TIMESTAMP NOT NULL,
        undone_by VARCHAR, undone_at TIMESTAMP);
    CREATE TABLE queue_first (
        pair_id VARCHAR PRIMARY KEY, reason VARCHAR NOT NULL, sent_by VARCHAR NOT NULL, sent_at TIMESTAMP NOT NULL);
    """,
    "ALTER TABLE form_drafts ADD COLUMN template VARCHAR;",
    # What the detail of a rejected row was made from (data/told.py), so that it is shown in the reader's language.
    "ALTER TABLE rejects ADD COLUMN told JSON;",
]


def migrate(connection: Any) -> None:
    """Bring an open read-write DuckDB connection up to the newest schema, one transaction a step."""
    connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
    row = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    done = row[0] or 0
    for version, step in enumerate(MIGRATIONS[done:], start=done + 1):
        connection.execute("BEGIN")
        try:
            connection.execute(step)
            connection.execute("INSERT INTO schema_version VALUES (?)", [version])
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
