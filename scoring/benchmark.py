"""How well are bad captions found, on real photos, with known truth? `make bench`, or

    python -m scoring.benchmark                                   # all sets; writes docs/benchmarks/finder.*
    python -m scoring.benchmark plant inspection OUT --seed 0     # captions with planted errors, to try the product on

30 % wrong captions of four kinds are planted by a seeded draw. Each kind is measured against the captions left alone:
AUROC, and the precision among the 100 ranked worst. The risk stands beside plain cosine and neg_clip_loss, from the
same code that ranks a site. Real photos and an encoder for them lie in ../shared, which is no part of the project.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.errors import GenbaError
from scoring.benchmark_sets import (
    ENCODER,
    SETS,
    BenchmarkSet,
    PlantedPair,
    make_site,
    planted_pairs,
    shared_folder,
)
from scoring.measures import auroc, precision_at
from scoring.planting import KINDS
from scoring.vectors import Vectors

if TYPE_CHECKING:
    from data.records import Score
    from data.site import Site
    from data.templates import Template
    from scoring.encoders import Encoder

OUT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks"
SEEDS = (0, 1, 2)
SHARE = 0.3
TOP = 100
OVERALL = "all"
RANKINGS = ("cosine", "neg_clip_loss", "risk")
RATE_PHOTOS = 192

Row = dict[str, Any]


def measure(one: BenchmarkSet, encoder_id: str, seeds: Sequence[int], say: Any) -> tuple[Row, Row]:
    """(rows of figures with counts, rates) of one set: photos are embedded once, every seed plants anew."""
    from scoring.embed import image_vectors
    from scoring.encoders import load_for_site
    from scoring.score import captioned_pairs

    with tempfile.TemporaryDirectory() as folder:
        site = make_site(one, Path(folder), encoder_id)
        encoder, pairs = load_for_site(site, device="cpu"), captioned_pairs(site)
        template = site.template() if one.template else None
        ids = sorted({pair.image_id for pair in pairs})
        say(f"{one.name}: {len(pairs)} pairs, {len(ids)} photos")
        rates = measure_rates(site, encoder, one.pairs)
        started = time.monotonic()
        images = Vectors(ids, image_vectors(site, encoder, ids))
        rates["photos_end_to_end"] = round(len(ids) / (time.monotonic() - started), 1)
    captions = Vectors([], np.zeros((0, encoder.dim), dtype=np.float32))
    by_seed, planted = [], 0
    for seed in seeds:
        wrong = planted_pairs(pairs, one, SHARE, seed)
        captions = with_captions(captions, encoder, wrong)
        by_seed.append(list(figures(wrong, ranked(wrong, images, captions, encoder, template))))
        planted += sum(bool(row.kind) for row in wrong)
        say(f"{one.name}: seed {seed} done")
    return {"pairs": len(pairs), "photos": len(ids), "planted": round(planted / len(seeds)),
            "figures": mean_figures(by_seed)}, rates  # fmt: skip


def with_captions(known: Vectors, encoder: Encoder, rows: Sequence[PlantedPair]) -> Vectors:
    """The vectors of all captions, those that are not known computed."""
    new = {row.pair.caption_id: row.pair.caption for row in rows if row.pair.caption_id not in known.place}
    return known.joined(Vectors(list(new), encoder.encode_texts(list(new.values()))))


def ranked(
    rows: Sequence[PlantedPair],
    images: Vectors,
    captions: Vectors,
    encoder: Encoder,
    template: Template | None,
) -> dict[str, np.ndarray]:
    """Ranking -> (N,) badness, by the product's own code."""
    from scoring.ranking import rank

    scores: list[Score] = rank([row.pair for row in rows], images, captions, encoder.source, template)
    found = {name: -np.array([one.signals[name] for one in scores]) for name in ("cosine", "neg_clip_loss")}
    return {**found, "risk": np.array([one.risk for one in scores])}


def figures(
    rows: Sequence[PlantedPair], badness: dict[str, np.ndarray]
) -> Iterator[tuple[str, str, float, float]]:
    """(kind, ranking, AUROC, precision at TOP): each kind against the captions left alone, and all kinds together."""
    kinds = np.array([row.kind for row in rows])
    for kind in (*KINDS, OVERALL):
        use = (kinds == "") | (kinds == kind) if kind != OVERALL else np.ones(len(kinds), dtype=bool)
        wrong = kinds[use] != ""
        for name in RANKINGS:
            yield kind, name, auroc(badness[name][use], wrong), precision_at(TOP, badness[name][use], wrong)


def mean_figures(by_seed: Sequence[Sequence[tuple[str, str, float, float]]]) -> list[Row]:
    """One row for each kind and ranking: the mean over seeds, and the spread of the AUROC."""
    rows = []
    for same in zip(*by_seed, strict=True):
        aurocs = [one[2] for one in same]
        rows.append({
            "kind": same[0][0], "ranking": same[0][1], "auroc": round(float(np.mean(aurocs)), 4),
            "auroc_sd": round(float(np.std(aurocs)), 4),
            f"precision_at_{TOP}": round(float(np.mean([one[3] for one in same])), 3),
        })  # fmt: skip
    return rows


def measure_rates(site: Site, encoder: Encoder, pairs: Sequence[tuple[str, str]]) -> Row:
    """Photos (or captions) a second of each step alone, one run each; the second batch on, so that nothing is cold."""
    import torch

    from scoring.embed import PHOTO_BATCH, decoded_batches, wanted

    photos = wanted(site, encoder.source).photos[:RATE_PHOTOS]
    started = time.monotonic()
    count = sum(len(batch) for batch in decoded_batches(encoder, photos))
    decode = count / (time.monotonic() - started)
    batch = torch.randn(PHOTO_BATCH[encoder.device], 3, encoder.image_size, encoder.image_size)
    captions = [caption for _, caption in pairs[:128]]
    return {
        "photos_decode": round(decode, 1),
        "photos_encode": round(_rate(lambda: encoder.encode_images(batch), len(batch)), 1),
        "captions_encode": round(_rate(lambda: encoder.encode_texts(captions), len(captions)), 1),
    }


def _rate(work: Any, items: int) -> float:
    work()
    started = time.monotonic()
    for _ in range(3):
        work()
    return 3 * items / (time.monotonic() - started)


def markdown(result: Row) -> str:
    """The tables of finder.md."""
    lines = [
        "# How well bad captions are found",
        "",
        f"`make bench`, {result['date']}, {result['machine']}, encoder `{result['encoder']}`. "
        f"{result['share']:.0%} wrong captions planted, mean of {len(result['seeds'])} seeds. AUROC: the chance that a "
        f"wrong caption is ranked above a right one (0.5 = chance). P@{TOP}: the share of wrong ones among the {TOP} "
        "ranked worst; kinds apart are a quarter as frequent as all together.",
    ]
    for name, one in result["sets"].items():
        lines += [
            "",
            f"## {name}: {one['pairs']:,} pairs, {one['photos']:,} photos, {one['planted']} planted",
            "",
        ]
        lines += ["| kind | " + " | ".join(f"{r} AUROC | {r} P@{TOP}" for r in RANKINGS) + " |"]
        lines += ["|---|" + "---|" * 2 * len(RANKINGS)]
        for kind in (*KINDS, OVERALL):
            cells = [
                f"{row['auroc']:.3f} | {row[f'precision_at_{TOP}']:.2f}"
                for row in one["figures"]
                if row["kind"] == kind
            ]
            lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "## Rates, items a second",
        "",
        "| set | decode | encode photos | end to end | encode captions |",
    ]
    lines += ["|---|---|---|---|---|"]
    for name, rates in result["rates"].items():
        lines.append(
            f"| {name} | {rates['photos_decode']} | {rates['photos_encode']} | {rates['photos_end_to_end']} "
            f"| {rates['captions_encode']} |"
        )
    return "\n".join(lines) + "\n"


def run(names: Sequence[str], encoder_id: str, seeds: Sequence[int], out: Path) -> Row:
    """Measure the sets and write finder.json and finder.md to `out`."""
    shared = shared_folder()
    encoder_id = encoder_id or f"local-dir:{(shared / ENCODER).resolve()}"
    sets, rates = {}, {}
    for name in names:
        one = SETS[name](shared)
        sets[one.name], rates[one.name] = measure(
            one, encoder_id, seeds, lambda text: print(text, file=sys.stderr)
        )
    result = {
        "date": date.today().isoformat(), "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "encoder": Path(encoder_id).name, "share": SHARE, "seeds": list(seeds), "sets": sets, "rates": rates,
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    (out / "finder.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (out / "finder.md").write_text(markdown(result), encoding="utf-8")
    return result


def write_planted(name: str, out: Path, share: float, seed: int) -> None:
    """OUT/captions.jsonl (image, caption) to ingest, and OUT/truth.jsonl (kind, original) that no scorer reads."""
    from scoring.score import captioned_pairs

    shared = shared_folder()
    one = SETS[name](shared)
    with tempfile.TemporaryDirectory() as folder:
        site = make_site(one, Path(folder), f"local-dir:{(shared / ENCODER).resolve()}")
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
    parser.add_argument("--sets", default=",".join(SETS), help=f"of {', '.join(SETS)}")
    parser.add_argument("--encoder", default="", help="default: the small one in ../shared")
    parser.add_argument("--out", type=Path, default=OUT)
    planting = verbs.add_parser("plant", help="write captions with planted errors, to try the product on")
    planting.add_argument("set", choices=SETS)
    planting.add_argument("out", type=Path)
    planting.add_argument("--share", type=float, default=SHARE)
    planting.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # idle threads that spin steal the other threads' core
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
