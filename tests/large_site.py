"""A site as large as one likes, made of rows: captions, scores, ninety days of corrections, audits, second opinions.

    site = grown(Site.open("demo-site/site"), folder, pairs=1_000_000, corrections=50_000)

It begins as a copy of a site that has everything else: photos, template, encoder and a finished retraining, which is
told RUNS times, some days apart. The rows that are added are made in the database itself from hashes of their numbers,
so they are the same every time, and a million of them take a minute. What they say is made up, but spread as in a
site: risky captions are wrong more often, people work on week days, a tenth of the answers is given twice.
"""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from annotate.strata import Stratum
from data.settings import set_value
from data.site import Site
from data.store import Database, now
from scoring.rate_large import WORDS
from scoring.signals import SIGNALS
from tests.conftest import free_port

DAYS = 90
SITTING_HOURS = 8
PEOPLE = 12
RUNS = 6  # retrainings a fortnight apart
DRAWS, DRAWN = 3, 400  # audits and their captions
MIXED = 1 / 20  # of the corrections
LEFT_OUT = shutil.ignore_patterns("label-studio", "logs", "*.lock", "*.sqlite")
OF_RUNS = ("effects", "metrics", "efficiency", "label_equivalents", "slice_gaps", "slot_effects")

# u(i, k): the k-th random number of row i, in [0, 1), k < 128. one(words, x): the word at x of them.
MACROS = """
CREATE TEMP MACRO u(i, k) AS hash(i * 128 + k) / 18446744073709551616.0;
CREATE TEMP MACRO one(words, x) AS words[1 + CAST(floor(x * len(words)) AS BIGINT)];
"""
NEW = """
CREATE TEMP TABLE fresh AS
SELECT i, md5('photo ' || i) || md5('file ' || i) AS image_id, md5('pair ' || i) AS pair_id,
       u(i, 1) AS risk, u(i, 2) < pow(u(i, 1), 2) AS is_bad, u(i, 3) < 0.02 AS is_missing,
       CASE WHEN u(i, 4) < 0.6 THEN 'ja' ELSE 'en' END AS language,
       $start + INTERVAL 1 DAY * CAST(floor(u(i, 5) * 3) * 20 AS INTEGER) AS added_at
FROM range($first, $last) AS r(i)
"""
IMAGES = """
INSERT INTO images
SELECT image_id, one($uris, u(i, 6)), 0, 400, 300, added_at - INTERVAL 1 HOUR, md5('d' || i), image_id,
       CASE WHEN u(i, 7) < 0.7 THEN 'train' WHEN u(i, 7) < 0.8 THEN 'val' ELSE 'test' END, added_at
FROM fresh
"""
CAPTION = """
CASE WHEN is_missing THEN '' ELSE concat_ws(' ', one($w0, u(i, 10)), one($w1, u(i, 11)), 'with', one($w2, u(i, 12)),
    one($w3, u(i, 13)), 'at the', one($w4, u(i, 14)), 'on the', one($w5, u(i, 15))) END
"""
PAIRS = f"""
INSERT INTO pairs
SELECT pair_id, image_id, {CAPTION} AS caption, left(md5({CAPTION}), 32), language, 'legacy',
       CASE WHEN is_missing THEN 'missing' ELSE 'captioned' END, NULL,
       json_object('line', one(['A', 'B', 'C', 'D'], u(i, 16)), 'shift', one(['day', 'night'], u(i, 17)),
                   'site', one(['Nagoya', 'Osaka', 'Sendai'], u(i, 18)),
                   'author', one(['suzuki', 'maria', 'tanaka', 'lee', 'kato', 'anna'], u(i, 19))), added_at
FROM fresh
"""
REASONS = """
CASE WHEN u(i, 20) < 0.4 THEN json_array(json_object('code', 'fits_worse', 'percent', CAST(100 * risk AS INTEGER)))
     ELSE json_array(json_object('code', 'fits_worse', 'percent', CAST(100 * risk AS INTEGER)),
                     json_object('code', 'missing_slots', 'slots', json_array(one($slots, u(i, 21))),
                                 'labels', json_object('ja', json_array('項目'), 'en', json_array('Item')))) END
"""
SCORES = f"""
INSERT INTO scores
SELECT pair_id, $encoder, 'made up', 0.5 - 0.6 * risk + 0.1 * u(i, 22),
       map($signals, list_transform(range(len($signals)), lambda k: u(i, 30 + k))), risk, {REASONS}, $scored_at, risk
FROM fresh WHERE NOT is_missing
"""
# The k-th answer: audited ones come one in twenty, from anywhere; the others from the riskiest tenth or so.
ANSWERED = """
CREATE TEMP TABLE answered AS
WITH ranked AS MATERIALIZED (SELECT * FROM fresh ORDER BY risk DESC LIMIT $ranked),
     audited AS MATERIALIZED (SELECT * FROM fresh ANTI JOIN ranked USING (i) WHERE NOT is_missing
                              ORDER BY u(i, 9) LIMIT $audited)
SELECT *, row_number() OVER (ORDER BY u(i, 8)) - 1 AS k FROM (
    SELECT *, 'queue' AS kind FROM ranked
    UNION ALL SELECT *, CASE WHEN u(i, 23) < $drawn_share THEN 'drawn' ELSE 'mixed' END FROM audited)
"""
VERDICT = """
CASE WHEN u(i, 40) < 0.02 THEN 'not_sure' WHEN u(i, 40) < 0.03 THEN 'unusable' WHEN u(i, 40) < 0.033 THEN 'private'
     WHEN is_bad OR is_missing THEN 'fix' ELSE 'ok' END
"""
CORRECTIONS = f"""
INSERT INTO corrections
SELECT md5('correction ' || i), pair_id,
       CASE WHEN verdict = 'fix' THEN json_array(md5('ja ' || i), md5('en ' || i)) ELSE json_array(pair_id) END,
       verdict, $template, 1, CASE WHEN verdict = 'fix' THEN $filled ELSE '{{}}' END, '', annotator, false,
       5 + 40 * u(i, 41) * u(i, 42) + 12 * exp(-k / 8000), NULL, 'app', NULL, NULL, NULL, NULL, NULL, 'active', given_at
FROM (SELECT *, {VERDICT} AS verdict, 'person ' || one($people, u(i, 43)) AS annotator,
             one($days, k / (1.0 + (SELECT max(k) FROM answered))) + INTERVAL 1 SECOND
             * CAST(u(i, 44) * $sitting AS INTEGER) AS given_at FROM answered)
"""
LABELS = """
INSERT INTO labels
SELECT c.old_pair_id, c.correction_id, c.verdict = 'fix', CASE WHEN a.kind = 'queue' THEN 'queue' ELSE 'audit' END,
       CASE WHEN a.kind = 'queue' THEN NULL ELSE 0.001 END, c.created_at
FROM corrections c JOIN answered a ON a.pair_id = c.old_pair_id WHERE c.verdict IN ('fix', 'ok')
"""
WRITTEN = """
INSERT INTO pairs
SELECT md5(l.language || ' ' || a.i), a.image_id, l.language || ' ' || 'steel bolt with a slight scratch ' || a.i,
       md5(l.language || 'c' || a.i), l.language, 'correction', 'captioned', $filled, '{}', c.created_at
FROM answered a JOIN corrections c ON c.old_pair_id = a.pair_id AND c.verdict = 'fix'
CROSS JOIN (VALUES ('ja'), ('en')) AS l(language)
"""
WRITTEN_SCORES = """
INSERT INTO scores
SELECT p.pair_id, $encoder, 'made up', 0.4 + 0.3 * hash(p.pair_id) / 18446744073709551616.0,
       MAP(['cosine'], [0.5]), 0.1, '[]', $scored_at, 0.1
FROM pairs p JOIN answered a ON a.image_id = p.image_id WHERE p.origin = 'correction'
"""
AUDITS = """
INSERT INTO audits
SELECT a.pair_id, CASE WHEN a.kind = 'mixed' THEN 'mixed' ELSE 'draw ' || (k % $draws) END,
       CASE WHEN a.kind = 'mixed' THEN $mixed ELSE $strata[1 + CAST(least(floor(risk * 5), 4) AS BIGINT)] END, 0.001,
       CASE WHEN a.kind = 'mixed' THEN c.created_at ELSE one($days, (k % $draws) / $draws) END, NULL, a.kind
FROM answered a JOIN corrections c ON c.old_pair_id = a.pair_id WHERE a.kind <> 'queue'
"""
REVIEWS = """
INSERT INTO reviews
SELECT md5('review ' || a.i), c.old_pair_id, c.correction_id, 'share',
       CASE WHEN u(a.i, 50) < 0.85 THEN 'agreed' WHEN u(a.i, 50) < 0.97 THEN 'decided' ELSE 'differs' END,
       'person ' || one($people, u(a.i, 51)), false, NULL, c.verdict, c.slots, '[]', $template, 1,
       CASE WHEN u(a.i, 50) < 0.85 THEN '[]' ELSE '["defect"]' END, 8 + 20 * u(a.i, 52), c.created_at,
       c.created_at + INTERVAL 2 HOUR
FROM answered a JOIN corrections c ON c.old_pair_id = a.pair_id WHERE u(a.i, 53) < 0.1 AND a.kind = 'queue'
"""
DECISIONS = """
INSERT INTO adjudications
SELECT md5('decision ' || review_id), pair_id, 'review', correction_id, review_id, 'first', correction_id, '',
       'lead', 20, 'decided', answered_at, NULL, NULL
FROM reviews WHERE state = 'decided' AND review_id IN (SELECT md5('review ' || i) FROM answered)
"""
EVENTS = """
INSERT INTO events
SELECT created_at, annotator, 'correction.saved',
       json_object('correction', correction_id, 'pair', old_pair_id, 'verdict', verdict)
FROM corrections WHERE old_pair_id IN (SELECT pair_id FROM answered)
"""


def grown(like: Site, folder: Path, pairs: int, corrections: int) -> Site:
    """A copy of `like` below `folder`, with a free port, that has so many captions of the archive and answers."""
    with like.connect():  # nobody writes meanwhile
        shutil.copytree(like.root, folder / "site", ignore=LEFT_OUT)
    set_value(folder / "site" / "genba.toml", "web", "port", free_port())
    site = Site.open(folder / "site")
    (site.root / "logs").mkdir(exist_ok=True)
    end = now()
    with site.connect() as db:
        there = db.value("SELECT count(*) FROM pairs WHERE origin IN ('legacy', 'draft')")
        answers = db.value("SELECT count(*) FROM corrections")
        if (
            pairs <= there or not 0 < corrections - answers < (pairs - there) / 2 or corrections < 2 * DRAWS
        ):  # every layer needs rows
            raise ValueError(f"{like.root} has {there} captions and {answers} answers: ask for more")
        add_rows(site, db, pairs - there, corrections - answers, end)
        repeat_runs(db, RUNS, end)
        db.set_state("scored_encoder", site.settings.site.encoder)
    return site


def add_rows(site: Site, db: Database, pairs: int, corrections: int, end: datetime) -> None:
    """The made-up rows, inside a transaction. end: the last moment (UTC)."""
    start = end - timedelta(days=DAYS)
    audited = max(int(corrections * MIXED), 2)
    drawn = min(DRAWS * DRAWN, audited // 2)
    days = working_days(start, end)
    slots = [slot.id for slot in site.template().slots]
    filled = json.dumps(
        {"part": "bolt", "count": 1, "material": "steel", "defect": "scratch", "severity": "slight"}
    )
    strata = [Stratum(pairs // 5, pairs // 25, (n / 5, (n + 1) / 5)).text for n in range(5)]
    encoder = site.settings.site.encoder
    given: dict[str, Any] = {f"w{n}": list(words) for n, words in enumerate(WORDS)}
    for statement in filter(None, map(str.strip, MACROS.split(";"))):
        db.execute(statement)
    db.execute(NEW, {"first": 0, "last": pairs, "start": start})
    uris = [row["uri"] for row in db.rows("SELECT uri FROM images ORDER BY uri")]
    db.execute(IMAGES, {"uris": uris or ["0.jpg"]})
    db.execute(PAIRS, given)
    scored = {"encoder": encoder, "scored_at": end}
    db.execute(SCORES, {**scored, "signals": list(SIGNALS), "slots": slots})
    db.execute(
        ANSWERED, {"ranked": corrections - audited, "audited": audited, "drawn_share": drawn / audited}
    )
    people = {"people": [str(n) for n in range(1, PEOPLE + 1)]}
    db.execute(CORRECTIONS, {"template": "parts", "filled": filled, "days": days, **people,
                             "sitting": SITTING_HOURS * 3600})  # fmt: skip
    db.execute(LABELS)
    db.execute(WRITTEN, {"filled": filled})
    db.execute(WRITTEN_SCORES, scored)
    db.execute(AUDITS, {"draws": DRAWS, "mixed": Stratum(pairs, pairs).text, "strata": strata, "days": days})
    db.execute(REVIEWS, {"template": "parts", **people})
    db.execute(DECISIONS)
    db.execute(EVENTS)
    for table in ("fresh", "answered"):
        db.execute(f"DROP TABLE {table}")


def working_days(start: datetime, end: datetime) -> list[datetime]:
    """The beginnings (UTC) of the week days whose sitting is over by `end`."""
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    days = [midnight + timedelta(days=n) for n in range(1, DAYS + 1)]
    return [day for day in days if day.weekday() < 5 and day + timedelta(hours=SITTING_HOURS) <= end]


def repeat_runs(db: Database, times: int, end: datetime) -> None:
    """Tell the newest finished retraining `times` times in all, a fortnight apart, each under its own name."""
    row = db.one("SELECT run_id FROM runs WHERE state = 'done' ORDER BY created_at DESC LIMIT 1")
    if row is None:
        return
    run = row["run_id"]
    db.execute("UPDATE runs SET created_at = $at, finished_at = $at + INTERVAL 10 MINUTE WHERE run_id = $run",
               {"run": run, "at": end - timedelta(hours=20)})  # fmt: skip
    for n in range(1, times):
        name, at = f"{run}-{n}", end - timedelta(days=14 * n)
        db.execute(
            "INSERT INTO runs SELECT $name, kind, state, snapshot_id, base_encoder, config, error, seconds, $at, "
            "$at + INTERVAL 10 MINUTE FROM runs WHERE run_id = $run", {"name": name, "run": run, "at": at},
        )  # fmt: skip
        for table in OF_RUNS:
            db.execute(
                f"INSERT INTO {table} SELECT * REPLACE ($name AS run_id) FROM {table} WHERE run_id = $run",
                {"name": name, "run": run},
            )
