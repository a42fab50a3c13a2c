"""Which pair a person should look at next: missing captions first, then by priority, what nobody has judged yet.

    rows = top(site, 100)            # ranked rows with caption, risk, reasons and every signal
    row = claim(site, "佐藤")         # the next pair that nobody else is working on, leased for ten minutes
    slices(site)                     # {"line": {"A": 120, …}}: claim(site, "佐藤", extra={"line": "A"}) stays in one

The priority is written by scoring. A random twentieth of what a person gets is drawn from the whole pile instead, and
judged blind: it counts as audit, so that the estimate and the risk that learns see more than the top of the queue. A
pair under audit (annotate/audit.py) never stands in the ranked queue, and no row of it carries a score or a reason.
"""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from annotate import audit
from annotate.slices import condition, count_values
from data.errors import GenbaError
from data.site import Site
from data.store import Database, now

LEASE = timedelta(minutes=10)
MIXED_SHARE = 1 / 20  # of the claims
MIXED_FROM = 20  # waiting pairs; a twentieth of fewer is none

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
RANKED = """ORDER BY CASE WHEN p.state = 'missing' THEN 0 ELSE 1 END, coalesce(s.priority, s.risk) DESC, p.pair_id"""
LISTS = ("extra", "fits_better_photos", "captions_of_like_photos", "words")  # JSON in a file
NO_AUDIT = (
    "AND a.pair_id IS NULL"  # a pair under audit is judged blind, so it never stands in the ranked queue
)
FREE = "AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.pair_id = p.pair_id AND l.annotator <> $annotator)"
MINE = "AND (a.assigned_to IS NULL OR a.assigned_to = $annotator)"


def top(
    site: Site,
    n: int,
    offset: int = 0,
    language: str | None = None,
    words: str = "",
    extra: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """The n pairs that most need a person, worst first.

    language: only captions in it. words: only captions that contain the text. extra: only captions whose extra columns
    have these values. Each row: pair_id, image_id, image (path relative to the photo root), caption, language, state,
    extra, split, risk in [0, 1], reasons (codes), and each signal under its own name.
    """
    narrowed, parameters = _filter(language, words, extra)
    encoder = site.queue_encoder()
    with site.connect() as db:
        rows = db.rows(
            f"SELECT {COLUMNS} {WAITING} {NO_AUDIT} {narrowed} {RANKED} LIMIT $n OFFSET $offset",
            {"encoder": encoder, "n": n, "offset": offset, **parameters},
        )
    return [_flat(row) for row in rows]


def count(
    site: Site, language: str | None = None, words: str = "", extra: Mapping[str, Any] | None = None
) -> int:
    """How many pairs wait in the ranked queue, or in that slice of it."""
    narrowed, parameters = _filter(language, words, extra)
    encoder = site.queue_encoder()
    with site.connect() as db:
        found = db.value(
            f"SELECT count(*) {WAITING} {NO_AUDIT} {narrowed}", {"encoder": encoder, **parameters}
        )
    return int(found or 0)


def slices(site: Site) -> dict[str, dict[str, int]]:
    """Extra column -> its values -> how many pairs wait in the ranked queue; columns with few enough values."""
    encoder = site.queue_encoder()
    with site.connect() as db:
        return count_values(db, f"{WAITING} {NO_AUDIT}", {"encoder": encoder})


def pair(site: Site, pair_id: str) -> dict[str, Any] | None:
    """One pair as a queue row, whether it still waits or not. None: unknown.

    `audit` says that it is judged blind: such a row has no risk, no reason and no signal.
    """
    encoder = site.queue_encoder()
    with site.connect() as db:
        row = db.one(
            f"SELECT {COLUMNS}, a.pair_id IS NOT NULL AS audit FROM pairs p JOIN images i ON i.image_id = p.image_id "
            "LEFT JOIN scores s ON s.pair_id = p.pair_id AND s.encoder = $encoder "
            "LEFT JOIN audits a ON a.pair_id = p.pair_id WHERE p.pair_id = $pair_id",
            {"encoder": encoder, "pair_id": pair_id},
        )
    if row is None:
        return None
    if row["audit"]:
        return {key: value for key, value in row.items() if key not in {"risk", "reasons", "signals"}}
    return _flat(row)


def claim(
    site: Site,
    annotator: str,
    skip: Collection[str] = (),
    pair_id: str | None = None,
    audit_every: int = 5,
    language: str | None = None,
    words: str = "",
    extra: Mapping[str, Any] | None = None,
    rng: random.Random | None = None,
) -> dict[str, Any] | None:
    """Lease the next pair to `annotator` and return its row, or None when nothing waits.

    The annotator's own lease comes back first, so that a reload shows the same pair. Nobody gets a pair that another
    person holds. One claim in twenty is a pair drawn at random from all that waits, and while audit pairs wait that
    this person may judge, every `audit_every`-th claim is one of them: their rows say `audit` and carry no risk, reason
    or signal. `language`, `words` and `extra` narrow the ranked queue as in `top`; the audit ignores them, because a
    sample that leaves out what nobody chose says nothing of the whole. `pair_id` asks for that pair: None comes back
    when another person holds it or it is another person's to audit. rng: of the random twentieth.
    """
    encoder = site.queue_encoder()
    narrowed = _filter(language, words, extra)
    with site.connect() as db:
        db.execute("DELETE FROM leases WHERE expires_at < ?", [now()])
        hand = _Claim(db, annotator, set(skip), encoder, narrowed)
        if pair_id is None:
            chosen = hand.choose(audit_every, rng or random.SystemRandom())
        else:
            chosen = pair_id if hand.may_have(pair_id) else None
        if chosen is None:
            return None
        db.execute("DELETE FROM leases WHERE annotator = ?", [annotator])
        db.insert("leases", [{"pair_id": chosen, "annotator": annotator, "expires_at": now() + LEASE}])
    return pair(site, chosen)


@dataclass(frozen=True)
class _Claim:
    """One claim inside a transaction. narrowed: SQL and parameters of the slice."""

    db: Database
    annotator: str
    skip: set[str]
    encoder: str
    narrowed: tuple[str, dict[str, Any]]

    def choose(self, audit_every: int, rng: random.Random) -> str | None:
        own = self.db.value("SELECT pair_id FROM leases WHERE annotator = ?", [self.annotator])
        if own and own not in self.skip and self._still_waits(own):
            return str(own)
        if rng.random() < MIXED_SHARE and (mixed := self._mix_in(rng)) and mixed not in self.skip:
            return mixed
        done = self.db.value("SELECT count(*) FROM corrections WHERE annotator = ?", [self.annotator])
        ways = [self._ranked, self._audited]
        if (done + len(self.skip)) % audit_every == audit_every - 1:
            ways.reverse()
        return ways[0]() or ways[1]()

    def may_have(self, pair_id: str) -> bool:
        """Whether nobody else holds the pair or is to audit it."""
        holder = self.db.value("SELECT annotator FROM leases WHERE pair_id = ?", [pair_id])
        meant_for = self.db.value("SELECT assigned_to FROM audits WHERE pair_id = ?", [pair_id])
        return holder in (None, self.annotator) and meant_for in (None, self.annotator)

    def _still_waits(self, pair_id: str) -> bool:
        """In the slice, or under audit."""
        narrowed, parameters = self.narrowed
        found = self.db.value(
            f"SELECT 1 {WAITING} AND p.pair_id = $pair_id AND ((true {narrowed}) OR (a.pair_id IS NOT NULL {MINE}))",
            {"encoder": self.encoder, "pair_id": pair_id, "annotator": self.annotator, **parameters},
        )
        return found is not None

    def _mix_in(self, rng: random.Random) -> str | None:
        """A pair drawn from all that have a caption and wait, put under audit; None while few wait."""
        pile = f"{WAITING} {NO_AUDIT} {FREE} AND p.state = 'captioned'"
        parameters = {"encoder": self.encoder, "annotator": self.annotator}
        size = int(self.db.value(f"SELECT count(*) {pile}", parameters))
        if size < MIXED_FROM:
            return None
        chosen = self.db.value(
            f"SELECT p.pair_id {pile} ORDER BY p.pair_id LIMIT 1 OFFSET $place",
            {**parameters, "place": rng.randrange(size)},
        )
        audit.place_mixed(self.db, chosen, size)
        return str(chosen)

    def _ranked(self) -> str | None:
        narrowed, parameters = self.narrowed
        return self._first(f"{NO_AUDIT} {narrowed}", RANKED, parameters)

    def _audited(self) -> str | None:
        return self._first(f"AND a.pair_id IS NOT NULL {MINE}", "ORDER BY a.drawn_at, p.pair_id", {})

    def _first(self, narrowed: str, order: str, parameters: dict[str, Any]) -> str | None:
        """The first that this person has not skipped."""
        rows = self.db.rows(
            f"SELECT p.pair_id {WAITING} {narrowed} {FREE} {order} LIMIT $n",
            {"encoder": self.encoder, "annotator": self.annotator, "n": len(self.skip) + 1, **parameters},
        )
        return next((str(row["pair_id"]) for row in rows if row["pair_id"] not in self.skip), None)


def renew(site: Site, annotator: str) -> None:
    """Keep the annotator's lease for another ten minutes; called while the form is in use."""
    with site.connect() as db:
        db.execute("UPDATE leases SET expires_at = ? WHERE annotator = ?", [now() + LEASE, annotator])


def release(site: Site, annotator: str) -> None:
    """Give the annotator's pair back."""
    with site.connect() as db:
        db.execute("DELETE FROM leases WHERE annotator = ?", [annotator])


def _filter(language: str | None, words: str, extra: Mapping[str, Any] | None) -> tuple[str, dict[str, Any]]:
    narrowed, parameters = condition(extra)
    if language:
        narrowed += " AND p.language = $language"
        parameters["language"] = language
    if words:
        narrowed += " AND contains(lower(p.caption), lower($words))"
        parameters["words"] = words
    return narrowed, parameters


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
    for column in set(LISTS) & set(frame.columns):
        frame[column] = [json.dumps(row[column], ensure_ascii=False) for row in rows]
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
