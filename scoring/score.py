"""`genba score SITE`: embed what is new, rank every captioned pair by its risk, write the table `scores`.

    result = score(site)                    # ScoreResult; a second call finds nothing to do and loads no model

Vectors are computed outside any transaction and kept on disk, so a killed run goes on where it stopped. Pairs are
compared with those that were there before any person corrected (scoring/pairs.py): after some corrections only their
new captions are embedded and ranked, all others keep their signals. New photos or legacy captions, another template or
other weights rank the site anew. At the end risk and order of all pairs are fitted to what people have said by now
(scoring/refit.py). Scores of other encoders stay beside. Pairs without a caption need no score: they lead the queue.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.errors import GenbaError
from data.jobs import Progress, silent
from data.store import now
from scoring import refit, tokens
from scoring.basis import Basis
from scoring.catalogue import readers_of
from scoring.decode import Photo
from scoring.embed import EmbedCounts, Embedded, embed_wanted, is_readable, wanted
from scoring.encoders import load_source, load_tokenizer, pick_device, source_for_site
from scoring.ranking import Before, CaptionedPair, rank
from scoring.site_fit import SiteFit
from scoring.vectors import Vectors, VectorStore

if TYPE_CHECKING:
    import pyarrow

    from data.site import Site
    from data.store import Database
    from data.templates import Template
    from scoring.encoders import Encoder, EncoderSource

ENGINES = ("local",)
LOCK = ".score.lock"
ROUNDS = 3  # captions that people added meanwhile are scored by another, short, round
CHUNK = 50_000  # scores written at a time, so that a million of them need little memory

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoreResult:
    """What one run did. `pairs` = pairs with a score of this encoder afterwards."""

    encoder: str
    pairs: int
    written: int  # pairs whose signals this run computed; 0 when nothing was new
    images_embedded: int
    captions_embedded: int
    captions_cut: int  # of those that this run ranked: longer than the encoder reads
    missing: int  # pairs without a caption: they need no score
    unreadable_photos: int
    not_read: dict[str, int]  # language that the encoder does not read -> pairs ranked by their words alone
    risk: str  # "label_free" until enough people's answers are there, then "learned", or "label_free" calibrated
    answers: int  # that the risk was fitted to
    seconds: float
    load_seconds: float  # of these, to load the encoder


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
        run.refit()
        return run.result(time.monotonic() - started)


def learn(site: Site) -> bool:
    """Fit the risk of the encoder in use to people's answers, where some are new. Returns whether it did: not while a
    scoring runs, which does the same at its end.
    """
    encoder = site.queue_encoder()
    with site.connect() as db:
        is_due = refit.is_due(db, encoder)
    if is_due:
        try:
            with score_lock(site):  # nobody else writes scores meanwhile
                refit.refit(site, source_for_site(site, encoder))
        except ScoringRuns:
            return False
    return is_due


class ScoringRuns(GenbaError):
    """Somebody else scores the site."""


@contextmanager
def score_lock(site: Site) -> Iterator[None]:
    """One scoring at a time. Raises ScoringRuns, which names the lock file."""
    from filelock import FileLock, Timeout

    path = site.root / LOCK
    try:
        with FileLock(str(path), timeout=1):
            yield
    except Timeout:
        raise ScoringRuns(
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
    cut: int = 0
    fit: refit.RiskFit | None = None
    load_seconds: float = 0.0
    _seen: tuple[pyarrow.Table, Basis] | None = None  # what the first look found: the first round works on it
    _encoder: Encoder | None = None
    _tokenizer: tuple[Any, int] | None = None

    @property
    def state(self) -> str:
        """Under this key stands what the scores were computed from."""
        return f"score_basis:{self.source.slug}"

    def is_current(self) -> bool:
        """Whether the scores are those of today's pairs, template and weights, and the vectors are whole."""
        pairs, basis = self._pairs()
        with self.site.connect() as db:
            remembered = self._remembered(db)
        if remembered != {"counted": basis.counted, "pairs": basis.pairs} or self._store().manifest() is None:
            self._seen = pairs, basis
            return False
        with self.site.connect() as db:
            unscored = unscored_photos(self.site, db, self.source.id)
        if any(is_readable(photo) for photo in unscored):
            return False
        self.counts = replace(self.counts, unreadable=len(unscored))
        return True

    def _pairs(self) -> tuple[pyarrow.Table, Basis]:
        with self.site.connect() as db:
            pairs = captioned_table(db)
        return pairs, Basis.of(pairs, self.source, self.template)

    def round(self) -> bool:
        """Embed, rank and write once. True when every pair has a score, but those whose photo cannot be read."""
        import pyarrow

        pairs, basis = self._seen or self._pairs()  # before `wanted`: every caption of a pair is embedded
        self._seen = None
        found = embed_wanted(self._store(), self._load, wanted(self.site, self.source), self.progress)
        self.counts = replace(
            found.counts,
            images=self.counts.images + found.counts.images,
            captions=self.counts.captions + found.counts.captions,
        )
        with tempfile.TemporaryDirectory() as folder:
            ranked = self._ranked(pairs, found, basis, Path(folder))
            del pairs  # what is not needed any more is given up on the way: see scoring/ranking.py
            files = list(ranked)
            pyarrow.default_memory_pool().release_unused()
            unreadable = {photo.image_id for photo in found.unreadable}
            # Many rows: each file in a transaction of its own. People are served in between, and memory is bounded
            apart = files[:-1] if self.written > CHUNK else []
            for file in apart:
                with self.site.connect() as db:
                    db.forget_state(self.state)  # what is there is a mixture until the last is in
                    put_in(db, file)
            with self.site.connect() as db:
                whole = finish_scores(db, self.source, files[len(apart) :], unreadable, self.state, basis)
                db.event("genba", "score", {"encoder": self.source.id, "pairs": self.written, "whole": whole})
            return whole

    def _ranked(self, pairs: pyarrow.Table, found: Embedded, basis: Basis, folder: Path) -> Iterator[Path]:
        """Rank what has no signals yet, and write the scores into Parquet files of the folder."""
        import pyarrow.parquet

        pyarrow.default_memory_pool().release_unused()  # else it keeps what the tables took on their way here
        scored, before = self._before(pairs, found.images, basis)
        at, ranked_so_far = now(), 0
        total = len(pairs) - int(scored.sum())
        self.progress(0, total, "rank")
        stream = rank(
            pairs, found.images, found.captions, self.source, self.template, self._unknown_share, scored, before,
            pick_device(self.device),
        )  # fmt: skip
        del pairs
        for ranked in stream:
            if ranked.fit is not None and ranked.language not in before:
                ranked.fit.save(self._fit_file(ranked.language), basis.counted)
            for start in range(0, len(ranked), CHUNK):
                path = folder / f"{ranked.language}-{start}.parquet"
                rows = ranked.scores(start, start + CHUNK, self.source.fingerprint, at)
                pyarrow.parquet.write_table(rows, path)
                ranked_so_far += len(rows)
                self.progress(ranked_so_far, total, "rank")
                yield path
        self.written = ranked_so_far

    def _before(
        self, pairs: pyarrow.Table, images: Vectors, basis: Basis
    ) -> tuple[np.ndarray, dict[str, Before]]:
        """(N,) pairs that have signals, and by language what is known: nothing, when all must be ranked anew."""
        import pyarrow.compute as pc

        nothing = np.zeros(len(pairs), dtype=bool)
        with self.site.connect() as db:
            if self._remembered(db).get("counted") != basis.counted:
                return nothing, {}
            earlier = refit.scored_pairs(db, self.source)
        before = {}
        for language in sorted(set(earlier.language)):
            is_counted = (earlier.original & (earlier.language == language)).any()
            fit = SiteFit.load(self._fit_file(language), basis.counted)
            if is_counted and (fit is not None or not self.source.reads(language)):
                before[language] = Before(earlier.reference(language), fit)
        known = pc.is_in(pairs["pair_id"].combine_chunks(), value_set=earlier.pair_id)  # type: ignore[attr-defined]
        scored, original = (of.to_numpy(zero_copy_only=False) for of in (known, pairs["original"]))
        if (images.rows(pairs["image_id"].combine_chunks())[original & ~scored] >= 0).any():
            return (
                nothing,
                {},
            )  # a photo that could not be read is back: others are compared with its pairs too
        return scored, before

    def _fit_file(self, language: str) -> Path:
        return self._store().folder / f"site-fit-{language}.npz"

    def _unknown_share(self, captions: Sequence[str]) -> np.ndarray:
        if self._tokenizer is None:
            encoder = self._encoder
            self._tokenizer = (
                (encoder.tokenizer, encoder.context_length) if encoder else load_tokenizer(self.source)
            )
        tokenizer, context_length = self._tokenizer
        self.cut += sum(tokens.is_truncated(tokenizer, context_length, captions))
        return tokens.unknown_share(tokenizer, captions)

    def refit(self) -> None:
        """Risk and order of all pairs by what people have said; the queue is ranked by this encoder from now on."""
        self.progress(0, None, "risk")
        self.fit = refit.refit(self.site, self.source)
        with self.site.connect() as db:
            if self._remembered(db):
                db.set_state("scored_encoder", self.source.id)

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
        self._tell_once(not_read)
        if self.cut:
            log.warning(
                "%d captions are longer than the encoder %s reads; what stands at their end was not looked at.",
                self.cut, self.source.id,
            )  # fmt: skip
        return ScoreResult(
            self.source.id, scored, self.written, self.counts.images, self.counts.captions, self.cut, missing,
            self.counts.unreadable, not_read, self.fit.kind if self.fit else "label_free",
            self.fit.answers if self.fit else 0, round(seconds, 1), round(self.load_seconds, 1),
        )  # fmt: skip

    def _remembered(self, db: Database) -> dict[str, str]:
        """What the scores in the store follow from: see Basis; {} when there are none, or of an older Genba."""
        found = db.get_state(self.state)
        return found if isinstance(found, dict) else {}

    def _tell_once(self, not_read: dict[str, int]) -> None:
        """A language that the encoder does not read is told once for each site, by name, with an encoder that does."""
        key = f"unread_told:{self.source.slug}"
        with self.site.connect() as db:
            told = set(db.get_state(key) or [])
            db.set_state(key, sorted(told | set(not_read)))
        for language in sorted(set(not_read) - told):
            reader = next(iter(readers_of(language)), None)
            log.warning(
                "The encoder %s does not read the language %r: %d captions are ranked by their words alone. "
                "An encoder that reads it: %s", self.source.id, language, not_read[language],
                f"{reader.id} ({reader.licence})" if reader else "none that is known",
            )  # fmt: skip

    def _store(self) -> VectorStore:
        return VectorStore.of(self.site, self.source)

    def _load(self) -> Encoder:
        if self._encoder is None:
            self.progress(0, None, "load the encoder")
            started = time.monotonic()
            self._encoder = load_source(self.source, self.device)
            self.load_seconds = time.monotonic() - started
        return self._encoder


def captioned_table(db: Database) -> pyarrow.Table:
    """Every pair with a caption, ordered by id, with the fields of CaptionedPair."""
    return db.table(
        "SELECT p.pair_id, p.image_id, i.group_id, p.caption_id, p.caption, p.language, "
        "p.origin IN ('legacy', 'draft') AS original FROM pairs p JOIN images i ON i.image_id = p.image_id "
        "WHERE p.state = 'captioned' ORDER BY p.pair_id"
    )


def captioned_pairs(site: Site) -> list[CaptionedPair]:
    """The same as records."""
    with site.connect() as db:
        return [CaptionedPair(**row) for row in captioned_table(db).to_pylist()]


def unscored_photos(site: Site, db: Database, encoder_id: str) -> list[Photo]:
    """Photos of captioned pairs that have no score of the encoder."""
    rows = db.rows(
        "SELECT DISTINCT i.image_id, i.uri, i.root FROM pairs p JOIN images i ON i.image_id = p.image_id "
        "WHERE p.state = 'captioned' AND NOT EXISTS "
        "(SELECT 1 FROM scores s WHERE s.pair_id = p.pair_id AND s.encoder = ?) ORDER BY i.image_id",
        [encoder_id],
    )
    return [Photo(row["image_id"], row["uri"], site.photo_path(row["root"], row["uri"])) for row in rows]


def put_in(db: Database, file: Path) -> None:
    """Add or replace the scores of a Parquet file."""
    db.execute("INSERT OR REPLACE INTO scores BY NAME SELECT * FROM read_parquet(?)", [str(file)])


def finish_scores(
    db: Database,
    source: EncoderSource,
    files: Sequence[Path],
    unreadable: set[str],
    state: str,
    basis: Basis,
) -> bool:
    """Put the last scores in and take out those of what is there no more. Returns whether every captioned pair has one
    now, but those of unreadable photos; then it is remembered what they follow from.
    """
    for file in files:
        put_in(db, file)
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
        db.set_state(state, {"counted": basis.counted, "pairs": basis.pairs})
    return whole
