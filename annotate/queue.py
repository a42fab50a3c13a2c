"""Which pair a person should look at next: missing captions first, then by priority, what nobody has judged yet.

    rows = top(site, 100)            # ranked rows with caption, risk, reasons and every signal
    row = claim(site, "佐藤")         # the next pair that nobody else is working on, leased for ten minutes
    slices(site)                     # {"line": {"A": 120, …}}: claim(site, "佐藤", extra={"line": "A"}) stays in one

The priority is written by scoring. A random twentieth of what a person gets is drawn from the whole pile instead, and
judged blind: it counts as audit, so that the estimate and the risk that learns see more than the top of the queue. A
pair under audit (annotate/audit.py) never stands in the ranked queue, and no row of it carries a score or a reason.
Second opinions (annotate/reviews.py) come between the others and look like pairs under audit.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from annotate import audit, reviews
from annotate.slices import condition, count_values
from data.errors import GenbaError
from data.site import Site
from data.spreadsheet import guarded
from data.store import Database, now

LEASE = timedelta(minutes=10)
MIXED_SHARE = 1 / 20  # of the claims
MIXED_FROM = 20  # waiting pairs; a twentieth of fewer is none
ENDINGS = (".csv", ".jsonl", ".parquet")
REVIEW_EVERY = 4  # claims; while second opinions wait, one of so many is one, so that the queue goes on

UNJUDGED = """{of}pair_id NOT IN (SELECT old_pair_id FROM corrections WHERE state = 'active')
      AND {of}pair_id NOT IN (SELECT pair_id FROM drafts WHERE state = 'in_lot')"""
# What nobody has judged yet. A correction's own new pairs are a person's work already, a draft in an open lot waits for
# its lead, and a photo that somebody called unusable or private leaves the queue with all its captions.
# NOT IN, of columns that are never NULL: DuckDB makes a correlated NOT EXISTS three times as slow on a million pairs.
WAITING = f"""
    FROM pairs p
    LEFT JOIN scores s ON s.pair_id = p.pair_id AND s.encoder = $encoder
    LEFT JOIN audits a ON a.pair_id = p.pair_id
    WHERE p.origin IN ('legacy', 'draft')
      AND (s.pair_id IS NOT NULL OR p.state = 'missing')
      AND {UNJUDGED.format(of="p.")}
      AND p.image_id NOT IN (
          SELECT o.image_id FROM corrections c JOIN pairs o ON o.pair_id = c.old_pair_id
          WHERE c.state = 'active' AND c.verdict IN ('unusable', 'private'))
"""
COLUMNS = """p.pair_id, p.image_id, i.uri AS image, p.caption, p.language, p.state, p.extra, i.split,
    CASE WHEN p.state = 'missing' THEN 1.0 ELSE s.risk END AS risk, s.reasons, s.signals"""
# The order is found among the ids alone: photos, captions and signals are then read for the few that are shown.
TOP = f"""
    SELECT {{columns}}
    FROM (SELECT p.pair_id {WAITING} {{narrowed}} {{ranked}} LIMIT $n OFFSET $offset) first
    JOIN pairs p ON p.pair_id = first.pair_id
    JOIN images i ON i.image_id = p.image_id
    LEFT JOIN scores s ON s.pair_id = p.pair_id AND s.encoder = $encoder
    {{ranked}}
"""
# The ids at the front of the ranked queue, at most $front of each kind. Found from few columns and without a join, and
# looked up by the index afterwards, they spare a page a join of all pairs with all scores.
MAY_STAND = f"{UNJUDGED.format(of='')} AND pair_id NOT IN (SELECT pair_id FROM audits)"
FRONT = f"""
    SELECT pair_id, false AS is_missing FROM queue_first
    UNION ALL (SELECT pair_id, true FROM pairs WHERE state = 'missing' AND origin IN ('legacy', 'draft') AND {MAY_STAND}
        ORDER BY pair_id LIMIT $front)
    UNION ALL (SELECT pair_id, false FROM scores WHERE encoder = $encoder AND {MAY_STAND}
        ORDER BY coalesce(priority, risk) DESC, pair_id LIMIT $front)
"""
FRONT_SIZE = 400
# What a lead sent here (dashboards/personal_findings.py) comes before all.
RANKED = """ORDER BY p.pair_id NOT IN (SELECT pair_id FROM queue_first),
    CASE WHEN p.state = 'missing' THEN 0 ELSE 1 END, coalesce(s.priority, s.risk) DESC, p.pair_id"""
LISTS = ("extra", "fits_better_photos", "captions_of_like_photos", "words")  # JSON in a file
NO_AUDIT = "AND a.pair_id IS NULL"  # a pair under audit is judged blind, so never in the ranked queue
FREE = "AND p.pair_id NOT IN (SELECT pair_id FROM leases WHERE annotator <> $annotator)"
UNSEEN = """AND NOT list_contains($skip, p.pair_id)
    AND p.pair_id NOT IN (SELECT pair_id FROM form_drafts WHERE annotator = $annotator)"""
MINE = "AND (a.assigned_to IS NULL OR a.assigned_to = $annotator)"


def top(
    site: Site,
    n: int,
    offset: int = 0,
    language: str | None = None,
    words: str = "",
    extra: Mapping[str, Any] | None = None,
    pairs: Collection[str] = (),
) -> list[dict[str, Any]]:
    """The n pairs that most need a person, worst first.

    language: only captions in it. words: only captions that contain the text. extra: only captions whose extra columns
    have these values. pairs: only these; none named: all. Each row: pair_id, image_id, image (path relative to the
    photo root), caption, language, state, extra, split, risk in [0, 1], reasons (codes), and each signal by its name.
    """
    narrowed, parameters = _filter(language, words, extra, pairs)
    encoder = site.queue_encoder()
    with site.connect() as db:
        rows = _ranked_rows(
            db, lambda front: TOP.format(columns=COLUMNS, narrowed=f"{NO_AUDIT} {narrowed} {front}", ranked=RANKED),
            {"encoder": encoder, "n": n, "offset": offset, **parameters},
        )  # fmt: skip
        return _with_sent(db, [_flat(row) for row in rows])


def count(
    site: Site,
    language: str | None = None,
    words: str = "",
    extra: Mapping[str, Any] | None = None,
    pairs: Collection[str] = (),
    within: Database | None = None,
) -> int:
    """How many pairs wait in the ranked queue, or in that slice of it. within: an open transaction."""
    narrowed, parameters = _filter(language, words, extra, pairs)
    with site.connect(within) as db:
        encoder = site.queue_encoder(db)
        found = db.value(
            f"SELECT count(*) {WAITING} {NO_AUDIT} {narrowed}", {"encoder": encoder, **parameters}
        )
    return int(found or 0)


def slices(site: Site) -> dict[str, dict[str, int]]:
    """Extra column -> its values -> how many pairs wait in the ranked queue; columns with few enough values."""
    encoder = site.queue_encoder()
    with site.connect() as db:
        return count_values(db, f"{WAITING} {NO_AUDIT}", {"encoder": encoder})


def pair(
    site: Site, pair_id: str, is_blind: bool = False, within: Database | None = None
) -> dict[str, Any] | None:
    """One pair as a queue row, whether it still waits or not. None: unknown. within: an open transaction.

    `audit` says that it is judged blind, as for an audit or where is_blind: such a row has no risk, reason or signal.
    """
    with site.connect(within) as db:
        encoder = site.queue_encoder(db)
        row = db.one(
            f"SELECT {COLUMNS}, a.pair_id IS NOT NULL AS audit FROM pairs p JOIN images i ON i.image_id = p.image_id "
            "LEFT JOIN scores s ON s.pair_id = p.pair_id AND s.encoder = $encoder "
            "LEFT JOIN audits a ON a.pair_id = p.pair_id WHERE p.pair_id = $pair_id",
            {"encoder": encoder, "pair_id": pair_id},
        )
        if row is None:
            return None
        row["audit"] = row["audit"] or is_blind
        if row["audit"]:
            return {key: value for key, value in row.items() if key not in {"risk", "reasons", "signals"}}
        return _with_sent(db, [_flat(row)])[0]


def claim(
    site: Site,
    annotator: str,
    skip: Collection[str] = (),
    pair_id: str | None = None,
    audit_every: int = 5,
    language: str | None = None,
    words: str = "",
    extra: Mapping[str, Any] | None = None,
    pairs: Collection[str] = (),
    rng: random.Random | None = None,
    within: Database | None = None,
) -> dict[str, Any] | None:
    """Lease the next pair to `annotator` and return its row, or None when nothing waits.

    The annotator's own lease comes back first, so that a reload shows the same pair. Nobody gets a pair that another
    person holds. One claim in twenty is a pair drawn at random from all that waits, and while audit pairs wait that
    this person may judge, every `audit_every`-th claim is one of them: their rows say `audit` and carry no risk, reason
    or signal. Second opinions on what others answered come in the same way. `language`, `words`, `extra` and `pairs`
    narrow the ranked queue as in `top`; audit and second opinions ignore them, because a sample that leaves out what
    nobody chose says nothing of the whole. `pair_id` asks for that pair: None comes back when another person holds it
    or it is another person's to audit. rng: of the random twentieth. within: an open transaction.
    """
    narrowed = _filter(language, words, extra, pairs)
    with site.connect(within) as db:
        encoder = site.queue_encoder(db)
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
        is_review = reviews.claimed(db, chosen, annotator) is not None
        return pair(site, chosen, is_blind=is_review, within=db)


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
        if own and own not in self.skip and (self._still_waits(own) or self._is_in_review(own)):
            return str(own)
        if rng.random() < MIXED_SHARE and (mixed := self._mix_in(rng)):
            return mixed
        done = self.db.value("SELECT count(*) FROM corrections WHERE annotator = ?", [self.annotator])
        turn = done + reviews.answers_given(self.db, self.annotator) + len(self.skip)
        ways = [self._ranked, self._audited]
        if turn % audit_every == audit_every - 1:
            ways.reverse()
        ways.insert(0 if turn % REVIEW_EVERY == REVIEW_EVERY - 1 else 2, self._reviewed)
        return ways[0]() or ways[1]() or ways[2]()

    def may_have(self, pair_id: str) -> bool:
        """Whether nobody else holds the pair or is to audit it."""
        holder = self.db.value("SELECT annotator FROM leases WHERE pair_id = ?", [pair_id])
        meant_for = self.db.value("SELECT assigned_to FROM audits WHERE pair_id = ?", [pair_id])
        is_free = meant_for in (None, self.annotator) or self._is_in_review(pair_id)
        return holder in (None, self.annotator) and is_free

    def _is_in_review(self, pair_id: str) -> bool:
        """Whether this person is giving a second opinion on the pair."""
        return reviews.claimed(self.db, pair_id, self.annotator) is not None

    def _reviewed(self) -> str | None:
        """The next pair for a second opinion, claimed."""
        return reviews.take(self.db, self.annotator, self.skip)

    def _still_waits(self, pair_id: str) -> bool:
        """In the slice, or under audit."""
        narrowed, parameters = self.narrowed
        found = self.db.value(
            f"SELECT 1 {WAITING} AND p.pair_id = $pair_id AND ((true {narrowed}) OR (a.pair_id IS NOT NULL {MINE}))",
            {"encoder": self.encoder, "pair_id": pair_id, "annotator": self.annotator, **parameters},
        )
        return found is not None

    def _mix_in(self, rng: random.Random) -> str | None:
        """A pair drawn from all that have a caption and wait, put under audit; None while few wait.

        Not one that this person has had in hand: they have seen its score.
        """
        pile = f"{WAITING} {NO_AUDIT} {FREE} {UNSEEN} AND p.state = 'captioned'"
        parameters = {"encoder": self.encoder, "annotator": self.annotator, "skip": list(self.skip)}
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
        return self._unskipped(_ranked_rows(
            self.db,
            lambda front: f"SELECT p.pair_id, p.state {WAITING} {NO_AUDIT} {narrowed} {front} {FREE} {RANKED} LIMIT $n",
            {**self._who(), **parameters},
        ))  # fmt: skip

    def _audited(self) -> str | None:
        order = "ORDER BY a.drawn_at, p.pair_id LIMIT $n"
        sql = f"SELECT p.pair_id {WAITING} AND a.pair_id IS NOT NULL {MINE} {FREE} {order}"
        return self._unskipped(self.db.rows(sql, self._who()))

    def _who(self) -> dict[str, Any]:
        return {"encoder": self.encoder, "annotator": self.annotator, "n": len(self.skip) + 1}

    def _unskipped(self, rows: list[dict[str, Any]]) -> str | None:
        """The first that this person has not skipped."""
        return next((str(row["pair_id"]) for row in rows if row["pair_id"] not in self.skip), None)


def _ranked_rows(db: Database, sql: Callable[[str], str], parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a query of the ranked queue, found at its front where that is enough, else among all pairs. sql: the
    query with a condition put into it. parameters: $encoder, $n and what it needs beside."""
    size = FRONT_SIZE + parameters["n"] + parameters.get("offset", 0)
    if size < 4 * FRONT_SIZE:  # not for a file of the whole queue
        first = db.rows(FRONT, {"encoder": parameters["encoder"], "front": size})
        named = {f"front_{place}": row["pair_id"] for place, row in enumerate(first)}
        marks = ", ".join([f"${name}" for name in named] or ["NULL"])
        rows = db.rows(sql(f"AND p.pair_id IN ({marks})"), {**parameters, **named})
        # Where the front has not all missing captions, more of them may come before the first scored one.
        has_all_missing = sum(row["is_missing"] for row in first) < size
        is_sure = has_all_missing or all(row["state"] == "missing" for row in rows)
        if is_sure and len(rows) == parameters["n"]:
            return rows
    return db.rows(sql(""), parameters)


def renew(site: Site, annotator: str) -> None:
    """Keep the annotator's lease for another ten minutes; called while the form is in use."""
    with site.connect() as db:
        db.execute("UPDATE leases SET expires_at = ? WHERE annotator = ?", [now() + LEASE, annotator])


def release(site: Site, annotator: str, within: Database | None = None) -> None:
    """Give the annotator's pair back. within: an open transaction."""
    with site.connect(within) as db:
        db.execute("DELETE FROM leases WHERE annotator = ?", [annotator])


def _filter(
    language: str | None, words: str, extra: Mapping[str, Any] | None, pairs: Collection[str]
) -> tuple[str, dict[str, Any]]:
    narrowed, parameters = condition(extra)
    if pairs:
        narrowed += " AND p.pair_id IN (SELECT unnest($pairs))"
        parameters["pairs"] = list(pairs)
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


def _with_sent(db: Database, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows; where a lead sent one to the head of the queue, that is its first reason."""
    ids = [row["pair_id"] for row in rows]
    sent = db.rows("SELECT pair_id, reason FROM queue_first WHERE list_contains(?, pair_id)", [ids])
    why = {row["pair_id"]: [{"code": "sent_by_lead", "what": row["reason"]}] for row in sent}
    return [{**row, "reasons": why.get(row["pair_id"], []) + row["reasons"]} for row in rows]


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
    """Write rows as .csv (UTF-8 with mark, so that spreadsheet programs read Japanese), .jsonl or .parquet.

    Lists are JSON in a cell of .csv and .parquet. Raises GenbaError where the file cannot be written.
    """
    import pandas

    from scoring.signals import SIGNALS

    require_writable(path)
    frame = pandas.DataFrame(rows)
    kind = path.suffix.lower()
    if kind != ".jsonl":
        for column in set(LISTS) & set(frame.columns):
            frame[column] = [json.dumps(row[column], ensure_ascii=False) for row in rows]
    if kind == ".csv":
        for column in frame.select_dtypes(exclude="number").columns:
            frame[column] = [guarded(value) if isinstance(value, str) else value for value in frame[column]]
    else:
        for column in set(SIGNALS) & set(frame.columns):
            frame[column] = frame[column].astype("float64")  # also where nothing is known of any row
    try:
        if kind == ".csv":
            frame.to_csv(path, index=False, encoding="utf-8-sig")
        elif kind == ".jsonl":
            frame.to_json(path, orient="records", lines=True, force_ascii=False)
        else:
            frame.to_parquet(path, index=False)
    except OSError as error:
        raise GenbaError(
            f"{path} cannot be written: {error.strerror or error}.", next="-o queue.csv"
        ) from None


def require_writable(path: Path) -> None:
    """Raises GenbaError for an ending that is not known and a folder that is not there."""
    if path.suffix.lower() not in ENDINGS:
        raise GenbaError(
            f"The queue cannot be written as '{path.name}'.", choices=ENDINGS, next="-o queue.csv"
        )
    if not path.parent.is_dir():
        raise GenbaError(f"There is no folder {path.parent}.", next=f"mkdir -p {path.parent}")
