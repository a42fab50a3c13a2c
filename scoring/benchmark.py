"""How well are bad captions found, on real photos, with known truth? `make bench`, or

    python -m scoring.benchmark                                   # all sets; writes docs/benchmarks/finder.*
    python -m scoring.benchmark --sets mscoco:DIR --encoder ViT-B-32/openai       # LEMoN's table, on a real checkpoint
    python -m scoring.benchmark plant inspection OUT --seed 0     # captions with planted errors, to try the product on

Wrong captions of four kinds are planted by a seeded draw (the demo site has its own). Each kind is measured against the
captions left alone. The risk stands beside plain cosine, negCLIPLoss and LEMoN, from the same code that ranks a site;
then it learns from reviews of one half of the photos, half of them a blind audit, half from the top of the queue, and
is measured on the other half. Real photos and an encoder for them lie in ../shared, which is no part of the project.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.errors import GenbaError
from scoring.benchmark_sets import (
    ENCODER,
    FORMS,
    BenchmarkSet,
    PlantedPair,
    make_site,
    open_set,
    planted_pairs,
    shared_folder,
)
from scoring.benchmark_tables import OVERALL, markdown
from scoring.learned import Answers, columns, fit_risk, probability
from scoring.measures import auroc, average_precision, precision_at
from scoring.priority import priority
from scoring.risk import badness
from scoring.vectors import Vectors

if TYPE_CHECKING:
    from data.templates import Template
    from scoring.encoders import Encoder
    from scoring.pairs import Floats

OUT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks"
DEFAULT_SETS = ("flickr8k", "inspection", "demo")
SEEDS = (0, 1, 2)
SHARES = (0.4, 0.1)
TOP_SHARE = 0.05
FIRST = 100  # of the queue: how many different errors stand there

SIGNALS_SHOWN = ("cosine", "neg_clip_loss", "lemon", "other_captions", "site_fit")
REVIEWS = (100, 200, 500)
RANKINGS = (*SIGNALS_SHOWN, "risk", *(f"after {n}" for n in REVIEWS))
MOST_REVIEWED = (
    0.35  # of the pairs, else the figure is left out: only half of the photos are there to be reviewed
)

Row = dict[str, Any]


def measure(
    one: BenchmarkSet, encoder_id: str, seeds: Sequence[int], say: Callable[[str], None]
) -> list[Row]:
    """One row of results for each share of wrong captions: photos are embedded once, every seed plants anew."""
    from scoring.embed import image_vectors
    from scoring.encoders import load_for_site
    from scoring.score import captioned_pairs

    with tempfile.TemporaryDirectory() as folder:
        site = make_site(one, Path(folder), encoder_id)
        encoder, pairs = load_for_site(site, device="cpu"), captioned_pairs(site)
        template = site.template() if one.template else None
        ids = sorted({pair.image_id for pair in pairs})
        say(f"{one.name}: {len(pairs)} pairs, {len(ids)} photos")
        images = Vectors(ids, image_vectors(site, encoder, ids))
    captions = Vectors([], np.zeros((0, encoder.dim), dtype=np.float32))
    rows = []
    for share in (one.share,) if one.share is not None else SHARES:
        by_seed, planted = [], 0
        for seed in seeds if one.kind_of is None else seeds[:1]:
            wrong = planted_pairs(pairs, one, share, seed)
            captions = with_captions(captions, encoder, wrong)
            by_seed.append(list(figures(wrong, images, captions, encoder, template, one.kinds, seed)))
            planted += sum(bool(row.kind) for row in wrong)
            say(f"{one.name}: {share:.0%}, seed {seed} done")
        rows.append({
            "set": one.name, "share": round(share, 3), "pairs": len(pairs), "photos": len(ids),
            "planted": round(planted / len(by_seed)), "kinds": list(one.kinds), "seeds": len(by_seed),
            "encoder": Path(encoder_id).name, "figures": mean_figures(by_seed),
        })  # fmt: skip
    return rows


def with_captions(known: Vectors, encoder: Encoder, rows: Sequence[PlantedPair]) -> Vectors:
    """The vectors of all captions, those that are not known computed."""
    captions = {row.pair.caption_id: row.pair.caption for row in rows}
    new = [one for one, row in zip(captions, known.rows(list(captions)), strict=True) if row < 0]
    return known.joined(Vectors(new, encoder.encode_texts([captions[one] for one in new])))


def figures(
    rows: Sequence[PlantedPair],
    images: Vectors,
    captions: Vectors,
    encoder: Encoder,
    template: Template | None,
    kinds: Sequence[str],
    seed: int,
) -> Iterator[Row]:
    """One row for each kind and ranking: each kind against the captions left alone, and all kinds together."""
    signals, group_of, caption_of, features, prior = _looked_at(rows, images, captions, encoder, template)
    of_kind = np.array([row.kind for row in rows])
    everywhere = np.ones(len(rows), dtype=bool)
    rankings = {name: (badness(name, signals[name]), everywhere) for name in SIGNALS_SHOWN}
    rankings["risk"] = (prior, everywhere)
    for n in REVIEWS:
        if n <= MOST_REVIEWED * len(rows):
            rankings[f"after {n}"] = _after_reviews(n, of_kind != "", features, prior, group_of, seed)
    cosine = _known(rankings["cosine"][0])
    for name, (values, left) in rankings.items():
        known = _known(values)
        for kind in (*kinds, OVERALL):
            use = left & ((of_kind == "") | (of_kind == kind) if kind != OVERALL else True)
            wrong = of_kind[use] != ""
            if wrong.any() and not wrong.all():
                top = max(1, round(TOP_SHARE * use.sum()))
                precision = precision_at(top, known[use], wrong)
                yield {
                    "kind": kind, "ranking": name, "auroc": auroc(known[use], wrong),
                    # On the same pairs: after reviews that is half of the photos.
                    "auroc_cosine": auroc(cosine[use], wrong), "auroc_risk": auroc(prior[use], wrong),
                    "average_precision": average_precision(known[use], wrong), "precision": precision,
                    "recall": precision * top / wrong.sum(),
                }  # fmt: skip
    copies = group_of * (int(caption_of.max()) + 1) + caption_of
    for name, order in (
        ("plain", prior),
        ("photos apart", priority(prior, group_of)),
        ("copies apart", priority(prior, copies)),
    ):
        first = np.argsort(-order, kind="stable")[:FIRST]
        different = len({(group_of[i], caption_of[i]) for i in first if of_kind[i]})
        photos = len({group_of[i] for i in first if of_kind[i]})
        yield {"kind": OVERALL, "ranking": name, "different_errors": different, "photos_with_error": photos}


def _known(values: Floats) -> Floats:
    """What is not known stands in the middle."""
    return np.where(np.isnan(values), np.nanmedian(values) if np.isfinite(values).any() else 0, values)


def _looked_at(
    rows: Sequence[PlantedPair],
    images: Vectors,
    captions: Vectors,
    encoder: Encoder,
    template: Template | None,
) -> tuple[dict[str, Floats], Any, Any, dict[str, Floats], Floats]:
    """Signals, groups, captions, features and label-free risk of all rows, by the product's own code."""
    from scoring.ranking import captioned, codes, rank
    from scoring.signals import SIGNALS

    table = captioned([row.pair for row in rows])
    place = {row.pair.pair_id: k for k, row in enumerate(rows)}
    n = len(rows)
    signals: dict[str, Floats] = {name: np.full(n, np.nan) for name in SIGNALS}
    prior = np.zeros(n)
    features: dict[str, Floats] = {}
    for ranked in rank(table, images, captions, encoder.source, template, encoder.unknown_share):
        at = np.array([place[one] for one in ranked.pair_ids.to_pylist()])
        for name in SIGNALS:
            signals[name][at] = ranked.signals[name]
        prior[at] = ranked.risk.risk
        for name, values in columns(ranked.risk.ranks, ranked.signals, ranked.risk.risk).items():
            features.setdefault(name, np.zeros(n))[at] = values
    return signals, codes(table["group_id"])[0], codes(table["caption_id"])[0], features, prior


def _after_reviews(
    n: int, wrong: Any, features: dict[str, Floats], prior: Floats, group_of: Any, seed: int
) -> tuple[Floats, Any]:
    """Risk (N,) learned from n reviews of one half of the photos, and the other half (N,), on which it is measured.

    What the queue leaves over of the half that was reviewed is what the risk took for right: no measure of it.
    """
    rng = np.random.default_rng(seed)
    other = (rng.random(int(group_of.max()) + 1) < 0.5)[group_of]
    asked = rng.permutation(np.flatnonzero(~other))
    audited = asked[: n // 2]
    rest = np.setdiff1d(asked, audited)
    queue = rest[np.argsort(-prior[rest], kind="stable")][: n - n // 2]
    rows = np.concatenate([audited, queue])
    from_audit = np.arange(len(rows)) < len(audited)
    inclusion = np.where(from_audit, len(audited) / len(asked), 1.0)
    answers = Answers(wrong[rows], from_audit, inclusion, group_of[rows], len(asked))
    fit = fit_risk({name: values[rows] for name, values in features.items()}, answers)
    return (prior if fit is None else probability(fit, features)), other


def mean_figures(by_seed: Sequence[Sequence[Row]]) -> list[Row]:
    """One row for each kind and ranking: the mean over seeds, and the spread of the AUROC."""
    together: dict[tuple[str, str], list[Row]] = {}
    for rows in by_seed:
        for row in rows:
            together.setdefault((row["kind"], row["ranking"]), []).append(row)
    found = []
    for (kind, ranking), same in together.items():
        mean = {
            k: round(float(np.mean([row[k] for row in same])), 4)
            for k in same[0]
            if k not in ("kind", "ranking")
        }
        spread = (
            {"auroc_sd": round(float(np.std([row["auroc"] for row in same])), 4)} if "auroc" in mean else {}
        )
        found.append({"kind": kind, "ranking": ranking, **mean, **spread})
    return found


def encoder_of(one: BenchmarkSet, encoder_id: str) -> str:
    """The set's own encoder, the one named, or the small one in ../shared."""
    return one.encoder or encoder_id or f"local-dir:{(shared_folder() / ENCODER).resolve()}"


def run(names: Sequence[str], encoder_id: str, seeds: Sequence[int], out: Path) -> Row:
    """Measure the sets and write finder.json and finder.md to `out`."""
    rows: list[Row] = []
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            one = open_set(name, Path(scratch))
            rows += measure(
                one, encoder_of(one, encoder_id), seeds, lambda text: print(text, file=sys.stderr)
            )
    result = {
        "date": date.today().isoformat(), "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "seeds": list(seeds), "rankings": list(RANKINGS), "sets": rows,
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    (out / "finder.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (out / "finder.md").write_text(markdown(result), encoding="utf-8")
    return result


def write_planted(name: str, out: Path, share: float, seed: int) -> None:
    """OUT/captions.jsonl (image, caption) to ingest, and OUT/truth.jsonl (kind, original) that no scorer reads."""
    from scoring.score import captioned_pairs

    with tempfile.TemporaryDirectory() as folder:
        one = open_set(name, Path(folder))
        site = make_site(one, Path(folder), encoder_of(one, ""))
        pairs = captioned_pairs(site)
        with site.connect() as db:
            uri = {row["image_id"]: row["uri"] for row in db.rows("SELECT image_id, uri FROM images")}
    rows = planted_pairs(pairs, one, share, seed)
    out.mkdir(parents=True, exist_ok=True)
    given = [{"image": uri[row.pair.image_id], "caption": row.pair.caption} for row in rows]
    truth = [
        {**line, "kind": row.kind, "original": pair.caption}
        for line, row, pair in zip(given, rows, pairs, strict=True)
    ]
    for file, lines in (("captions.jsonl", given), ("truth.jsonl", truth)):
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (out / file).write_text(text, encoding="utf-8")
    wrong = sum(bool(row.kind) for row in rows)
    print(f"{wrong} of {len(rows)} captions are wrong: {out / 'captions.jsonl'}; the photos: {one.folder}")


def main() -> int:
    """Exit code 0: done, 1: what is missing stands on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m scoring.benchmark", description=(__doc__ or "").split("\n")[0]
    )
    verbs = parser.add_subparsers(dest="verb")
    parser.add_argument("--sets", default=",".join(DEFAULT_SETS), help=f"of {', '.join(FORMS)}")
    parser.add_argument("--encoder", default="", help="default: the small one in ../shared")
    parser.add_argument("--out", type=Path, default=OUT)
    planting = verbs.add_parser("plant", help="write captions with planted errors, to try the product on")
    planting.add_argument("set", choices=("inspection", "flickr8k"))
    planting.add_argument("out", type=Path)
    planting.add_argument("--share", type=float, default=0.3)
    planting.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    # Idle threads that spin steal the other threads' core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        if given.verb == "plant":
            write_planted(given.set, given.out, given.share, given.seed)
        else:
            print(markdown(run(given.sets.split(","), given.encoder, SEEDS, given.out)))
    except GenbaError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
