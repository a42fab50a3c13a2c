"""Risk and order of all scored pairs of an encoder, anew from their stored signals and what people have said by now.

    refit(site, source)          # RiskFit in use, or None while there are too few answers

Runs at the end of every scoring. It reads signals and writes `risk` and `priority`, in seconds also for 100,000 pairs:
no vector and no model is touched. What was fitted is kept in the table `risk_fits`, one row for each set of answers.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from data.errors import GenbaError
from data.store import now
from scoring.learned import Answers, RiskFit, columns, fit_risk, probability
from scoring.pairs import Floats, Ints
from scoring.priority import priority
from scoring.ranking import by_language, codes
from scoring.risk import VERSION, label_free
from scoring.signals import SIGNALS

if TYPE_CHECKING:
    import pyarrow

    from data.site import Site
    from data.store import Database
    from scoring.encoder_files import EncoderSource


LABELS = """
    SELECT l.pair_id, l.needs_correction, l.source, l.inclusion_probability AS inclusion,
           coalesce(a.kind = 'mixed', false) AS mixed
    FROM labels l LEFT JOIN audits a ON a.pair_id = l.pair_id
"""


@dataclass(frozen=True)
class Scored:
    """All scored pairs of an encoder, by pair_id: every array (N,)."""

    pair_id: pyarrow.Array
    row: (
        pyarrow.Array
    )  # where its score stands in the table: DuckDB updates by it 50 times faster than by pair_id
    language: Any  # (N,) among which captions the pair is ranked
    group_of: Ints
    original: Any  # (N,) bool
    signals: dict[str, Floats]

    def reference(self, language: str) -> dict[str, Floats]:
        """Signals of the counted pairs of a language: the original ones, or all when there is none."""
        here = self.language == language
        counted = here & self.original if (here & self.original).any() else here
        return {name: values[counted] for name, values in self.signals.items()}


def scored_pairs(db: Database, source: EncoderSource) -> Scored:
    """Read from the table `scores`; of this checkpoint alone.

    The signals come by themselves, in the order of the table: joined and sorted with the pairs, a million of them took
    1.9 GB on their way.
    """
    table = db.table(
        "SELECT s.pair_id, s.rowid AS row, p.language, i.group_id, p.origin IN ('legacy', 'draft') AS original "
        "FROM scores s JOIN pairs p USING (pair_id) JOIN images i USING (image_id) "
        "WHERE s.encoder = ? AND s.fingerprint = ? AND p.state = 'captioned' ORDER BY s.pair_id",
        [source.id, source.fingerprint],
    )
    row = table["row"].to_numpy(zero_copy_only=False)
    original = table["original"].to_numpy(zero_copy_only=False).astype(bool)
    return Scored(
        table["pair_id"].combine_chunks(), table["row"].combine_chunks(),
        by_language(table["language"], source, original),
        codes(table["group_id"])[0], original, _signals(db, source, row),
    )  # fmt: skip


def _signals(db: Database, source: EncoderSource, row: Ints) -> dict[str, Floats]:
    """(N,) of each signal, where row: (N,) says at which rowid of the table the pairs stand."""
    of_signals = ", ".join(
        f"signals['{name}'] AS {name}" for name in SIGNALS
    )  # from the code, not from input
    table = db.table(
        f"SELECT rowid AS row, {of_signals} FROM scores WHERE encoder = ? AND fingerprint = ?",
        [source.id, source.fingerprint],
    )
    there = table["row"].to_numpy(zero_copy_only=False)
    order = np.argsort(there, kind="stable")
    place = order[np.searchsorted(there, row, sorter=order)]
    found = {}
    for name in SIGNALS:
        found[name] = table[name].to_numpy(zero_copy_only=False)[place].astype(np.float64, copy=False)
        table = table.drop_columns([name])  # given up as soon as it is read
    return found


DIGEST_SQL = """
SELECT count(*) AS answers, sum(md5_number_lower(concat_ws(
    chr(31), pair_id, correction_id, needs_correction, source, inclusion_probability))::HUGEINT)::VARCHAR AS digest
FROM labels
"""  # in whatever order the rows come


def answers_digest(db: Database) -> str:
    """Changes with every answer that scoring can learn from."""
    row = db.rows(DIGEST_SQL)[0]
    return f"{VERSION}-{row['answers']}-{row['digest']}"


def is_due(db: Database, encoder: str) -> bool:
    """Whether people have said something since the risk of this encoder's scores was fitted."""
    known = db.get_state(state_key(encoder))
    return known is not None and known["answers"] != answers_digest(db)


def refit(site: Site, source: EncoderSource) -> RiskFit | None:
    """Fit the risk to the answers so far, and write risk and priority of every scored pair."""
    with site.connect() as db:
        scored, digest = scored_pairs(db, source), answers_digest(db)
        labels = db.table(LABELS)
    prior = np.zeros(len(scored.pair_id))
    features = {name: np.zeros(len(prior)) for name in columns(*_nothing())}
    for language in np.unique(scored.language):
        here = scored.language == language
        signals = {name: values[here] for name, values in scored.signals.items()}
        found = label_free(signals, scored.reference(str(language)))
        prior[here] = found.risk
        for name, values in columns(found.ranks, signals, found.risk).items():
            features[name][here] = values
    rows, answers = _answers(scored, labels)
    fit = fit_risk({name: values[rows] for name, values in features.items()}, answers)
    risk = prior if fit is None else probability(fit, features)
    order = np.where(scored.original, 0.0, risk)
    order[scored.original] = priority(risk[scored.original], scored.group_of[scored.original])
    _write(site, source, scored, risk, order, fit, digest)
    return fit


def _nothing() -> tuple[dict[str, Floats], dict[str, Floats], Floats]:
    """No pairs at all: what names the columns."""
    none: dict[str, Floats] = {name: np.zeros(0) for name in SIGNALS}
    return none, none, np.zeros(0)


def _answers(scored: Scored, labels: pyarrow.Table) -> tuple[Ints, Answers]:
    """The rows of pairs that somebody has judged, and what was said of them."""
    import pyarrow.compute as pc

    place = pc.index_in(  # type: ignore[attr-defined]
        labels["pair_id"].combine_chunks(), value_set=scored.pair_id
    )
    known = place.is_valid()
    rows = place.filter(known).to_numpy(zero_copy_only=False).astype(np.int64)
    labels = labels.filter(known)
    return rows, Answers(
        labels["needs_correction"].to_numpy(zero_copy_only=False).astype(bool),
        np.array(labels["source"].to_pylist(), dtype=object) == "audit",
        np.nan_to_num(labels["inclusion"].to_numpy(zero_copy_only=False).astype(np.float64), nan=1.0),
        scored.group_of[rows],
        int(scored.original.sum()),
        labels["mixed"].to_numpy(zero_copy_only=False).astype(bool),
    )


def _write(
    site: Site,
    source: EncoderSource,
    scored: Scored,
    risk: Floats,
    order: Floats,
    fit: RiskFit | None,
    digest: str,
) -> None:
    import pyarrow

    new = pyarrow.table({"row": scored.row, "pair_id": scored.pair_id, "risk": risk, "priority": order})
    with site.connect() as db:
        db.connection.register("refitted", new)
        unmoved = db.value(
            "SELECT count(*) FROM refitted n JOIN scores s ON s.rowid = n.row "
            "WHERE s.encoder = ? AND s.pair_id = n.pair_id",
            [source.id],
        )
        if unmoved != len(new):  # the score lock should have kept everybody out
            raise GenbaError("The scores changed while the risk was fitted.", next=f"genba score {site.root}")
        # By row alone: with a column of the primary key in the condition DuckDB takes 50 times as long.
        db.execute(
            "UPDATE scores SET risk = n.risk, priority = n.priority FROM refitted n "
            "WHERE scores.rowid = n.row AND (scores.risk <> n.risk OR scores.priority IS DISTINCT FROM n.priority)"
        )
        db.connection.unregister("refitted")
        if fit is not None and fit.as_json() != _last_model(db, source.id):
            db.insert("risk_fits", [{
                "fit_id": uuid.uuid4().hex, "encoder": source.id, "fingerprint": source.fingerprint, "kind": fit.kind,
                "labels": fit.answers, "auroc": fit.auroc, "auroc_label_free": fit.auroc_label_free,
                "model": fit.as_json(), "curve": fit.as_json()["curve"], "fitted_at": now(),
            }])  # fmt: skip
        db.set_state(state_key(source.id), {"answers": digest, "fitted": fit is not None})


def state_key(encoder: str) -> str:
    """Under this key stands which answers the risk in the store follows from, and whether they were enough."""
    return f"risk_follows_from:{encoder}"


def _last_model(db: Database, encoder: str) -> Any:
    row = db.one("SELECT model FROM risk_fits WHERE encoder = ? ORDER BY fitted_at DESC LIMIT 1", [encoder])
    return row["model"] if row else None


FITS = "SELECT model, fitted_at FROM risk_fits WHERE encoder = ? ORDER BY fitted_at DESC"


def fits(site: Site, encoder: str) -> list[tuple[RiskFit, datetime]]:
    """What was fitted for an encoder and when, the newest first; none while there are too few answers."""
    with site.connect() as db:
        state = db.get_state(state_key(encoder))
        rows = db.rows(FITS, [encoder]) if state and state["fitted"] else []
    return [(RiskFit.from_json(row["model"]), row["fitted_at"]) for row in rows]
