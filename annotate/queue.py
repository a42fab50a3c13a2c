"""Which pair a person should look at next: missing captions first, then by risk, what nobody has judged yet.

    rows = top(site, 100)            # ranked rows with caption, risk, reasons and every signal
    row = claim(site, "佐藤")         # the next pair that nobody else is working on, leased for ten minutes

A pair drawn for the blind audit (annotate/audit.py) stands in its own list, without score and reason.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Any

from data.errors import GenbaError
from data.site import Site
from data.store import Database, now

LEASE = timedelta(minutes=10)

# What nobody has judged yet. A correction's own new pairs are a person's work already, and a photo that somebody
# called unusable or private leaves the queue with all its captions.
WAITING = """
    FROM pairs p
    JOIN images i ON i.image_id = p.image_id
    LEFT JOIN scores s ON s.pair_id = p.pair_id AND s.encoder = $encoder
    LEFT JOIN audits a ON a.pair_id = p.pair_id
    WHERE p.origin IN ('legacy', 'draft')
      AND (s.pair_id IS NOT NULL OR p.state = 'missing')
      AND NOT EXISTS (SELECT 1 FROM corrections c WHERE c.old_pair_id = p.pair_id AND c.state = 'active')
      AND NOT EXISTS (
          SELECT 1 FROM corrections c JOIN pairs o ON o.pair_id = c.old_pair_id
          WHERE o.image_id = p.image_id AND c.state = 'active' AND c.verdict IN ('unusable', 'private'))
"""
COLUMNS = """p.pair_id, p.image_id, i.uri AS image, p.caption, p.language, p.state, p.extra, i.split,
    CASE WHEN p.state = 'missing' THEN 1.0 ELSE s.risk END AS risk, s.reasons, s.signals"""
RANKED = "ORDER BY CASE WHEN p.state = 'missing' THEN 0 ELSE 1 END, risk DESC, p.pair_id"
NO_AUDIT = (
    "AND a.pair_id IS NULL"  # a pair under audit is judged blind, so it never stands in the ranked queue
)


def top(
    site: Site, n: int, offset: int = 0, language: str | None = None, words: str = ""
) -> list[dict[str, Any]]:
    """The n pairs that most need a person, worst first.

    language: only captions in it. words: only captions that contain the text. Each row: pair_id, image_id, image (path
    relative to the photo root), caption, language, state, extra, split, risk in [0, 1], reasons (codes), and each
    signal under its own name.
    """
    where, parameters = _filter(language, words)
    encoder = site.queue_encoder()
    with site.connect() as db:
        rows = db.rows(
            f"SELECT {COLUMNS} {WAITING} {NO_AUDIT} {where} {RANKED} LIMIT $n OFFSET $offset",
            {"encoder": encoder, "n": n, "offset": offset, **parameters},
        )
    return [_flat(row) for row in rows]


def count(site: Site, language: str | None = None, words: str = "") -> int:
    """How many pairs wait in the ranked queue."""
    where, parameters = _filter(language, words)
    encoder = site.queue_encoder()
    with site.connect() as db:
        return int(
            db.value(f"SELECT count(*) {WAITING} {NO_AUDIT} {where}", {"encoder": encoder, **parameters}) or 0
        )


def pair(site: Site, pair_id: str) -> dict[str, Any] | None:
    """One pair as a queue row, whether it still waits or not; `audit` says that it is judged blind. None: unknown."""
    encoder = site.queue_encoder()
    with site.connect() as db:
        row = db.one(
            f"SELECT {COLUMNS}, a.pair_id IS NOT NULL AS audit FROM pairs p JOIN images i ON i.image_id = p.image_id "
            "LEFT JOIN scores s ON s.pair_id = p.pair_id AND s.encoder = $encoder "
            "LEFT JOIN audits a ON a.pair_id = p.pair_id WHERE p.pair_id = $pair_id",
            {"encoder": encoder, "pair_id": pair_id},
        )
    return _flat(row) if row else None


def claim(
    site: Site, annotator: str, skip: Collection[str] = (), pair_id: str | None = None, audit_every: int = 5
) -> dict[str, Any] | None:
    """Lease the next pair to `annotator` and return its row, or None when nothing waits.

    The annotator's own lease comes back first, so that a reload shows the same pair. Nobody gets a pair that another
    person holds. While audit pairs wait, every `audit_every`-th claim is one of them (its row says `audit` and carries
    no risk, reason or signal). `pair_id` asks for that pair: None comes back when another person holds it.
    """
    encoder = site.queue_encoder()
    with site.connect() as db:
        db.execute("DELETE FROM leases WHERE expires_at < ?", [now()])
        chosen = _choose(db, annotator, set(skip), encoder, audit_every) if pair_id is None else pair_id
        if chosen is None:
            return None
        holder = db.value("SELECT annotator FROM leases WHERE pair_id = ?", [chosen])
        if holder not in (None, annotator):
            return None
        db.execute("DELETE FROM leases WHERE annotator = ?", [annotator])
        db.insert("leases", [{"pair_id": chosen, "annotator": annotator, "expires_at": now() + LEASE}])
    row = pair(site, chosen)
    if row and row["audit"]:
        return {
            key: value for key, value in row.items() if key not in {"risk", "reasons", *row["signal_names"]}
        }
    return row


def _choose(db: Database, annotator: str, skip: set[str], encoder: str, audit_every: int) -> str | None:
    own = db.value("SELECT pair_id FROM leases WHERE annotator = ?", [annotator])
    if own and own not in skip and _waits(db, own, encoder):
        return str(own)
    done = db.value("SELECT count(*) FROM corrections WHERE annotator = ?", [annotator])
    audit_first = (done + len(skip)) % audit_every == audit_every - 1
    free = "AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.pair_id = p.pair_id AND l.annotator <> $annotator)"
    ranked = f"SELECT p.pair_id, coalesce(s.risk, 1.0) AS risk {WAITING} {NO_AUDIT} {free} {RANKED} LIMIT $n"
    audits = (
        f"SELECT p.pair_id {WAITING} AND a.pair_id IS NOT NULL {free} ORDER BY a.drawn_at, p.pair_id LIMIT $n"
    )
    parameters = {"encoder": encoder, "annotator": annotator, "n": len(skip) + 1}
    for query in (audits, ranked) if audit_first else (ranked, audits):
        for row in db.rows(query, parameters):
            if row["pair_id"] not in skip:
                return str(row["pair_id"])
    return None


def _waits(db: Database, pair_id: str, encoder: str) -> bool:
    found = db.value(f"SELECT 1 {WAITING} AND p.pair_id = $pair_id", {"encoder": encoder, "pair_id": pair_id})
    return found is not None


def renew(site: Site, annotator: str) -> None:
    """Keep the annotator's lease for another ten minutes; called while the form is in use."""
    with site.connect() as db:
        db.execute("UPDATE leases SET expires_at = ? WHERE annotator = ?", [now() + LEASE, annotator])


def release(site: Site, annotator: str) -> None:
    """Give the annotator's pair back."""
    with site.connect() as db:
        db.execute("DELETE FROM leases WHERE annotator = ?", [annotator])


def _filter(language: str | None, words: str) -> tuple[str, dict[str, Any]]:
    where, parameters = "", {}
    if language:
        where, parameters = "AND p.language = $language", {"language": language}
    if words:
        where += " AND contains(lower(p.caption), lower($words))"
        parameters["words"] = words
    return where, parameters


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Every row has a field for each signal; a photo without a caption has nothing in them."""
    from scoring.signals import SIGNALS

    signals = dict.fromkeys(SIGNALS) | (row.pop("signals") or {})
    return {**row, "reasons": row["reasons"] or [], **signals, "signal_names": list(signals)}


def in_words(rows: list[dict[str, Any]], language: str) -> list[dict[str, Any]]:
    """The rows for people and files: reasons as one line of words, helper columns left out."""
    from scoring.reasons import words

    hidden = {"signal_names", "image_id"}
    return [
        {key: value for key, value in row.items() if key not in hidden}
        | {"reasons": "; ".join(words(reason, language) for reason in row["reasons"])}
        for row in rows
    ]


def write(rows: list[dict[str, Any]], path: Path) -> None:
    """Write rows as .csv (UTF-8 with mark, so that spreadsheet programs read Japanese), .jsonl or .parquet."""
    import pandas

    frame = pandas.DataFrame(rows)
    frame["extra"] = [json.dumps(row["extra"], ensure_ascii=False) for row in rows]
    writers = {
        ".csv": lambda: frame.to_csv(path, index=False, encoding="utf-8-sig"),
        ".jsonl": lambda: frame.to_json(path, orient="records", lines=True, force_ascii=False),
        ".parquet": lambda: frame.to_parquet(path, index=False),
    }
    if path.suffix not in writers:
        raise GenbaError(
            f"The queue cannot be written as '{path.name}'.", choices=writers, next="-o queue.csv"
        )
    writers[path.suffix]()
