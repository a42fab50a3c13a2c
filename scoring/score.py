"""`genba score SITE`: embed what is new, rank every captioned pair by its risk, write the table `scores`.

    result = score(site)                    # ScoreResult; a second call finds nothing to do and loads no model

Vectors are computed outside any transaction and kept on disk, so a killed run goes on where it stopped. Signals that
depend on the whole site (ranks, reuse) are computed anew when a pair was added, from stored vectors. All scores of an
encoder are replaced in one transaction; those of other encoders stay beside them. Pairs without a caption need no
score: they lead the queue by themselves.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from data.jobs import Progress, silent
from data.records import Score
from data.store import now
from scoring import risk
from scoring.catalogue import DEFAULT_ENCODER
from scoring.embed import EmbedCounts, Photo, embed_wanted, is_readable, wanted
from scoring.encoders import load_source, source_for_site
from scoring.ranking import CaptionedPair, rank
from scoring.vectors import VectorStore

if TYPE_CHECKING:
    from data.site import Site
    from data.store import Database
    from data.templates import Template
    from scoring.encoders import Encoder, EncoderSource

ENGINES = ("local",)
LOCK = ".score.lock"
ROUNDS = 3  # captions that people added meanwhile are scored by another, short, round

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoreResult:
    """What one run did. `pairs` = pairs with a score of this encoder afterwards."""

    encoder: str
    pairs: int
    written: int  # scores that this run computed; 0 when nothing was new
    images_embedded: int
    captions_embedded: int
    missing: int  # pairs without a caption: they need no score
    unreadable_photos: int
    not_read: dict[str, int]  # language that the encoder does not read -> pairs ranked by their words alone
    seconds: float


def score(
    site: Site, device: str = "auto", engine: str = "local", progress: Progress = silent
) -> ScoreResult:
    """Score every captioned pair of any origin with the encoder in use.

    Raises GenbaError: another scoring runs (one at a time), the encoder cannot be had, it gives NaN or zero vectors.
    """
    if engine not in ENGINES:
        raise GenbaError(f"No engine {engine!r}.", choices=ENGINES)
    started = time.monotonic()
    with score_lock(site):
        source, template = source_for_site(site), site.template()
        run = _Run(site, source, template, device, progress)
        whole = run.is_current()
        for _ in range(0 if whole else ROUNDS):
            whole = run.round()
            if whole:
                break
        return run.result(time.monotonic() - started)


@contextmanager
def score_lock(site: Site) -> Iterator[None]:
    """One scoring at a time. Raises GenbaError that names the lock file."""
    from filelock import FileLock, Timeout

    path = site.root / LOCK
    try:
        with FileLock(str(path), timeout=1):
            yield
    except Timeout:
        raise GenbaError(
            f"Another scoring of {site.root} is running (lock file {path}).",
            next=f"wait until it is done, then: genba score {site.root}",
        ) from None


@dataclass
class _Run:
    """One run of one encoder: what it has done so far."""

    site: Site
    source: EncoderSource
    template: Template
    device: str
    progress: Progress
    counts: EmbedCounts = field(default_factory=EmbedCounts)
    written: int = 0
    _encoder: Encoder | None = None

    @property
    def state(self) -> str:
        """Under this key stands what the scores were computed from."""
        return f"score_basis:{self.source.slug}"

    def is_current(self) -> bool:
        """Whether the scores are those of today's pairs, template and weights, and the vectors are whole.

        If so, the queue is ranked by this encoder (again: after a rollback the scores are there already).
        """
        pairs = captioned_pairs(self.site)
        with self.site.connect() as db:
            remembered = db.get_state(self.state)
            unscored = unscored_photos(self.site, db, self.source.id)
        if remembered != basis(pairs, self.source, self.template) or self._store().manifest() is None:
            return False
        if any(is_readable(photo) for photo in unscored):
            return False
        self.counts = replace(self.counts, unreadable=len(unscored))
        with self.site.connect() as db:
            db.set_state("scored_encoder", self.source.id)
        return True

    def round(self) -> bool:
        """Embed, rank and write once. True when every pair has a score, but those whose photo cannot be read."""
        pairs = captioned_pairs(self.site)  # before `wanted`, so that every caption of a pair is embedded
        todo = wanted(self.site, self.source)
        found = embed_wanted(self._store(), self._load, todo, self.progress)
        self.counts = replace(
            found.counts,
            images=self.counts.images + found.counts.images,
            captions=self.counts.captions + found.counts.captions,
        )
        self.progress(0, None, "rank")
        scores = rank(pairs, found.images, found.captions, self.source, self.template)
        rows = score_rows(scores, self.source.fingerprint)
        self.written = len(rows)
        made_of = basis(pairs, self.source, self.template)
        unreadable = {photo.image_id for photo in todo.photos} - set(found.images.place)
        with self.site.connect() as db:
            return write_scores(db, self.source, rows, unreadable, self.state, made_of)

    def result(self, seconds: float) -> ScoreResult:
        with self.site.connect() as db:
            missing = db.value("SELECT count(*) FROM pairs WHERE state = 'missing'")
            scored = db.value("SELECT count(*) FROM scores WHERE encoder = ?", [self.source.id])
            languages = db.rows(
                "SELECT language, count(*) AS pairs FROM pairs WHERE state = 'captioned' "
                "GROUP BY language ORDER BY language"
            )
        not_read = {
            row["language"]: row["pairs"] for row in languages if not self.source.reads(row["language"])
        }
        if self.written:
            for language, pairs in not_read.items():
                log.warning(
                    "The encoder %s does not read the language %r: %d captions are ranked by their words alone. "
                    "An encoder that reads it: %s", self.source.id, language, pairs, DEFAULT_ENCODER,
                )  # fmt: skip
        return ScoreResult(
            self.source.id, scored, self.written, self.counts.images, self.counts.captions, missing,
            self.counts.unreadable, not_read, round(seconds, 1),
        )  # fmt: skip

    def _store(self) -> VectorStore:
        return VectorStore.of(self.site, self.source)

    def _load(self) -> Encoder:
        if self._encoder is None:
            self.progress(0, None, "load the encoder")
            self._encoder = load_source(self.source, self.device)
        return self._encoder


def captioned_pairs(site: Site) -> list[CaptionedPair]:
    """Every pair with a caption, ordered by id."""
    with site.connect() as db:
        rows = db.rows(
            "SELECT p.pair_id, p.image_id, i.group_id, p.caption_id, p.caption, p.language, "
            "p.origin IN ('legacy', 'draft') AS original FROM pairs p JOIN images i ON i.image_id = p.image_id "
            "WHERE p.state = 'captioned' ORDER BY p.pair_id"
        )
    return [CaptionedPair(**row) for row in rows]


def unscored_photos(site: Site, db: Database, encoder_id: str) -> list[Photo]:
    """Photos of captioned pairs that have no score of the encoder."""
    rows = db.rows(
        "SELECT DISTINCT i.image_id, i.uri, i.root FROM pairs p JOIN images i ON i.image_id = p.image_id "
        "WHERE p.state = 'captioned' AND NOT EXISTS "
        "(SELECT 1 FROM scores s WHERE s.pair_id = p.pair_id AND s.encoder = ?) ORDER BY i.image_id",
        [encoder_id],
    )
    return [Photo(row["image_id"], row["uri"], site.photo_path(row["root"], row["uri"])) for row in rows]


def basis(pairs: Sequence[CaptionedPair], source: EncoderSource, template: Template) -> str:
    """A digest of everything that the scores follow from: equal digests, equal scores."""
    digest = hashlib.sha256(f"{risk.VERSION} {source.fingerprint} {source.languages}".encode())
    digest.update(template.model_dump_json().encode())
    for pair in pairs:
        digest.update(f"{pair.pair_id} {pair.group_id} {pair.language} {pair.original}\n".encode())
    return digest.hexdigest()


def score_rows(scores: Sequence[Score], fingerprint: str) -> list[dict[str, Any]]:
    """Rows of the table `scores`; what is not known is null."""
    at = now()
    rows = []
    for one in scores:
        signals = {name: None if math.isnan(value) else value for name, value in one.signals.items()}
        rows.append({
            "pair_id": one.pair_id, "encoder": one.encoder, "fingerprint": fingerprint, "cosine": signals["cosine"],
            "signals": json.dumps(signals), "risk": one.risk, "reasons": json.dumps(one.reasons, ensure_ascii=False),
            "scored_at": at,
        })  # fmt: skip
    return rows


def write_scores(
    db: Database,
    source: EncoderSource,
    rows: Sequence[dict[str, Any]],
    unreadable: set[str],
    state: str,
    made_of: str,
) -> bool:
    """Replace the encoder's scores. Returns whether every captioned pair has one now, but those of unreadable photos;
    then the queue is ranked by this encoder from now on.
    """
    db.insert("scores", rows, on_conflict="replace")
    db.execute(
        "DELETE FROM scores s WHERE s.encoder = ? AND (s.fingerprint <> ? OR NOT EXISTS "
        "(SELECT 1 FROM pairs p WHERE p.pair_id = s.pair_id AND p.state = 'captioned'))",
        [source.id, source.fingerprint],
    )
    without = db.rows(
        "SELECT DISTINCT image_id FROM pairs p WHERE state = 'captioned' AND NOT EXISTS "
        "(SELECT 1 FROM scores s WHERE s.pair_id = p.pair_id AND s.encoder = ?)",
        [source.id],
    )
    whole = {row["image_id"] for row in without} <= unreadable
    if whole:
        db.set_state("scored_encoder", source.id)
        db.set_state(state, made_of)
    db.event("genba", "score", {"encoder": source.id, "pairs": len(rows), "whole": whole})
    return whole
