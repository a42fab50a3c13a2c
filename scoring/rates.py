"""How fast are photos and captions embedded, and what binds? `make bench`, or

    python -m scoring.rates                                  # rates beside other loops; --device cuda on a GPU
    python -m scoring.rates scaled                           # what decoding at 1/8 does to the ranking
    python -m scoring.rates neighbours                       # of a million vectors, on a CPU and on a GPU
    python -m scoring.rates large --pairs 1000000            # a whole ranking, and one after 100 corrections

Each writes its section of docs/benchmarks/rates.json and rates.md. Rates are medians of interleaved repeats (one of
each, then again), so that a busy machine is unfair to nobody. Real photos and an encoder lie in ../shared, which is no
part of the project; 12-megapixel files are made of them in a temporary folder.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from scoring.benchmark_sets import ENCODER, flickr8k, inspection, make_site, random_encoder, shared_folder
from scoring.decode import PHOTO_BATCH, ByteSteps, Photo, decoded_batches, encoded_batches, encoding_threads
from scoring.for_photos import for_photos

if TYPE_CHECKING:
    import torch

    from scoring.encoders import Encoder

OUT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks"
SMALL, LARGE = "small files", "12-megapixel files"
LARGE_FILES = 24
PEER_PHOTOS = 48  # at least: the other loops need some batches for each of their workers
TYPED = 200  # captions typed, for the time of one

Row = dict[str, Any]
Work = Callable[[], int]  # does something once; how many photos (or captions, or pairs)


@dataclass(frozen=True)
class Sample:
    """Photos of one kind with a caption each, as many as are gone through in one repeat."""

    name: str
    pairs: list[tuple[Path, str]]

    @property
    def photos(self) -> list[Photo]:
        return [Photo(str(number), path.name, path) for number, (path, _) in enumerate(self.pairs)]

    def first(self, count: int) -> Sample:
        """The first so many."""
        return Sample(self.name, self.pairs[:count])


def samples(shared: Path, folder: Path, count: int) -> list[Sample]:
    """`count` small photos of Flickr8k dev, and a tenth as many reads of 12-megapixel copies of inspection photos."""
    from data.large_photos import write_large_copy

    small, given = flickr8k(shared), inspection(shared)
    by_photo = {image: (small.folder / image, caption) for image, caption in small.pairs}
    large = list({image: (given.folder / image, caption) for image, caption in given.pairs}.values())
    chosen = large[:: len(large) // LARGE_FILES][:LARGE_FILES]
    made = [(folder / f"{number}.jpg", caption) for number, (_, caption) in enumerate(chosen)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(
            pool.map(
                write_large_copy,
                [source for source, _ in chosen],
                [path for path, _ in made],
                range(len(made)),
            )
        )
    reads = [made[number % len(made)] for number in range(max(count // 10, 1))]
    return [Sample(SMALL, list(by_photo.values())[:count]), Sample(LARGE, reads)]


def measure(encoder: Encoder, sample: Sample, repeats: int) -> Row:
    """Rates of one sample, items a second."""
    import torch

    from scoring.rate_peers import OpenClipLoop, TorchmetricsLoop

    size, steps, quick = PHOTO_BATCH[encoder.device], ByteSteps.of(encoder), for_photos(encoder)
    pixels = torch.randint(0, 255, (size, 3, encoder.image_size, encoder.image_size), dtype=torch.uint8)
    ready = steps.applied(pixels.to(encoder.device)) if steps else pixels.float() / 255
    batches = -(-len(sample.pairs) // size)
    peer = OpenClipLoop(encoder, os.cpu_count() or 1)
    some = sample.first(max(len(sample.pairs) // 4, PEER_PHOTOS))  # for what takes its time
    paths, captions = [path for path, _ in some.pairs], [caption for _, caption in some.pairs]
    works: dict[str, Work] = {
        "decode": lambda: sum(len(batch) for batch in decoded_batches(encoder, sample.photos)),
        "decode_plain": lambda: peer.decode(paths),
        "forward": lambda: forward(quick, ready, batches),
        "photos": lambda: sum(len(batch) for batch, _ in encoded_batches(encoder, sample.photos)),
        "photos_open_clip": peer.start(paths),
        "captions": lambda: len(encoder.encode_texts(captions)),
        "pairs": lambda: pairs_scored(encoder, some),
    }
    if importlib.util.find_spec("torchmetrics"):
        loop = TorchmetricsLoop(encoder)
        works["pairs_torchmetrics"] = lambda: loop(some.pairs)
    rounds = interleaved(works, repeats)
    return {**medians(rounds, 2), **medians([derived(one, encoder.device) for one in rounds], 3)}


def forward(encoder: Encoder, ready: torch.Tensor, batches: int) -> int:
    """The forward pass alone, as many batches at a time as in a run."""
    with encoding_threads(encoder.device) as pool:
        return sum(pool.map(lambda _: len(encoder.encode_images(ready)), range(batches)))


def pairs_scored(encoder: Encoder, sample: Sample) -> int:
    """Photos and captions embedded, one cosine each: what CLIPScore does."""
    count, cosines = 0, 0.0
    for batch, vectors in encoded_batches(encoder, sample.photos):
        texts = [sample.pairs[int(photo.image_id)][1] for photo in batch.photos]
        cosines += float((vectors * encoder.encode_texts(texts)).sum())
        count += len(batch)
    return count


def interleaved(works: dict[str, Work], repeats: int) -> list[dict[str, float]]:
    """The rate of each in each round, one after the other; a first round, which warms up, does not count."""
    rounds = []
    for _ in range(repeats + 1):
        rates = {}
        for name, work in works.items():
            started = time.monotonic()
            rates[name] = work() / (time.monotonic() - started)
        rounds.append(rates)
    return rounds[1:]


def medians(rounds: Sequence[dict[str, float]], digits: int) -> dict[str, float]:
    """The median over rounds of each figure; of a ratio, too, since its two sides were measured in the same round."""
    return {name: round(median(one[name] for one in rounds), digits) for name in rounds[0]}


def derived(rates: dict[str, float], device: str) -> dict[str, float]:
    """The bound, and what the goals speak of.

    On a CPU decoding and the forward pass share the cores, so their times add up; beside a GPU the slower one binds.
    """
    decode, forward = rates["decode"], rates["forward"]
    bound = min(decode, forward) if device == "cuda" else 1 / (1 / decode + 1 / forward)
    found = {
        "bound": bound,
        "decode_against_plain": decode / rates["decode_plain"],
        "photos_against_bound": rates["photos"] / bound,
        "photos_against_forward": rates["photos"] / forward,
        "photos_against_open_clip": rates["photos"] / rates["photos_open_clip"],
    }
    if "pairs_torchmetrics" in rates:
        found["pairs_against_torchmetrics"] = rates["pairs"] / rates["pairs_torchmetrics"]
    return found


def measure_live(shared: Path, folder: Path, encoder_id: str, is_demo: bool = False) -> Row:
    """Milliseconds from a typed caption to its place in the site, warm, on a CPU: median and 95th percentile."""
    from dataclasses import replace

    from data.settings import set_value
    from data.site import Site
    from scoring.live import LiveScorer
    from scoring.score import score

    one = flickr8k(shared)
    one = replace(one, pairs=one.pairs[: 5 * 40])
    site = make_site(one, folder, encoder_id)
    if is_demo:
        set_value(site.settings_path, "site", "demo", True)
        site = Site.open(site.root)
    score(site, device="cpu")
    with site.connect() as db:
        typed = db.rows("SELECT image_id, caption FROM pairs ORDER BY pair_id LIMIT ?", [TYPED])
    scorer, seconds = LiveScorer(site), []
    for row in typed:
        started = time.monotonic()
        found = scorer.score(row["image_id"], row["caption"] + " indeed")
        seconds.append(time.monotonic() - started)
        if found is None or found.place is None:
            raise GenbaError("A caption that was typed got no score.")
    return {"captions": len(typed), "median_ms": round(1000 * median(seconds), 1),
            "p95_ms": round(1000 * quantiles(seconds, n=20)[-1], 1)}  # fmt: skip


def run(
    encoder_id: str = "", device: str = "auto", precision: str | None = None, compiled: bool = False,
    count: int = 1000, repeats: int = 3, out: Path = OUT,
) -> Row:  # fmt: skip
    """Measure everything but `scaled`, `neighbours` and `large`, and write it to `out`. The form's time is that of a
    CPU, and left out elsewhere. Raises GenbaError without ../shared."""
    from scoring.encoders import load_encoder

    shared = shared_folder()
    encoder_id = encoder_id or f"local-dir:{(shared / ENCODER).resolve()}"
    encoder = load_encoder(encoder_id, device=device, precision=precision, compiled=compiled)
    rates, live = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for sample in samples(shared, Path(folder), count):
            print(f"{sample.name}: {len(sample.pairs)} photos, {repeats} repeats", file=sys.stderr)
            rates[sample.name] = measure(encoder, sample, repeats)
        for name, is_demo in ((encoder_id, False), ("demo", True)) if encoder.device == "cpu" else ():
            print(f"live: {Path(name).name}", file=sys.stderr)
            live[Path(name).name] = measure_live(shared, Path(folder) / f"live-{is_demo}", name, is_demo)
    kind = f"{encoder.device} {encoder.precision}{' compiled' if compiled else ''}"
    name = Path(encoder_id).name
    key = kind if encoder.device == "cpu" else f"{kind} {name}"
    found: Row = {"speed": {key: {"kind": kind, "encoder": name, **where(encoder.device), "rates": rates}}}
    return record(out, found | ({"live": {**where("cpu"), **live}} if live else {}))


def where(device: str) -> Row:
    """Date and machine of a figure."""
    import torch

    card = f", {torch.cuda.get_device_name()}" if device == "cuda" else ""
    return {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores{card}",
    }


def record(out: Path, found: Row) -> Row:
    """Merge sections into rates.json, and write the tables anew; what was measured elsewhere stays."""
    from scoring.rate_tables import markdown

    out.mkdir(parents=True, exist_ok=True)
    path = out / "rates.json"
    known: Row = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for section, value in found.items():
        is_merged = section in ("speed", "large", "neighbours")
        known[section] = {**known.get(section, {}), **value} if is_merged else value
    path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    (out / "rates.md").write_text(markdown(known), encoding="utf-8")
    return known


def run_scaled(encoder_id: str, photos: int, out: Path) -> Row:
    """Measure what decoding at a smaller scale does to the ranking."""
    from scoring.encoders import load_encoder
    from scoring.rate_checks import scaled_decoding

    shared = shared_folder()
    encoder = load_encoder(encoder_id or f"local-dir:{(shared / ENCODER).resolve()}")
    with tempfile.TemporaryDirectory() as folder:
        found = scaled_decoding(
            encoder, shared, Path(folder), photos, lambda text: print(text, file=sys.stderr)
        )
    return record(out, {"scaled": {"encoder": Path(encoder.id).name, **where(encoder.device), **found}})


def run_large(encoder_id: str, pairs: int, out: Path) -> Row:
    """Measure a site of so many pairs. Raises GenbaError without ../shared, unless an encoder is named."""
    from scoring.rate_large import large_site

    encoder_id = encoder_id or f"local-dir:{(shared_folder() / ENCODER).resolve()}"
    found = large_site(pairs, encoder_id)
    return record(out, {"large": {str(pairs): {"encoder": Path(encoder_id).name, **where("cpu"), **found}}})


def run_neighbours(rows: int, asked: int, devices: Sequence[str], out: Path) -> Row:
    """Measure the search for neighbours among so many vectors. Raises GenbaError for a device that is absent."""
    from scoring.encoders import pick_device
    from scoring.rate_large import neighbour_search

    machine = where(max(map(pick_device, devices)))  # "cuda" where it is among them
    return record(out, {"neighbours": {str(rows): {**machine, **neighbour_search(rows, asked, devices)}}})


def main() -> int:
    """Exit code 0: done, 1: what is missing stands on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m scoring.rates", description=(__doc__ or "").split("\n")[0]
    )
    verbs = parser.add_subparsers(dest="verb")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--encoder", default="", help="default: the small one in ../shared")
    chosen.add_argument(
        "--model", default="", help="an open_clip model by name, with random weights: its speed alone"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default=None, help="fp32 or bf16")
    parser.add_argument("--compile", action="store_true", help="torch.compile the image tower")
    parser.add_argument("--photos", type=int, default=1000, help="of each repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    scaled = verbs.add_parser("scaled", help="what decoding at 1/8 does to the ranking")
    scaled.add_argument("--photos", dest="scaled_photos", type=int, default=200)
    near = verbs.add_parser("neighbours", help="the search for neighbours, lists on a CPU beside a GPU")
    near.add_argument("--rows", type=int, default=1_000_000)
    near.add_argument("--asked", type=int, default=50_000)
    near.add_argument("--devices", default="cpu,cuda", help="comma-separated")
    large = verbs.add_parser("large", help="ranking a large site, and again after corrections")
    large.add_argument("--pairs", type=int, default=1_000_000)
    given = parser.parse_args()
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # idle threads that spin steal the other threads' core
    try:
        if given.verb == "scaled":
            run_scaled(given.encoder, given.scaled_photos, given.out)
        elif given.verb == "neighbours":
            run_neighbours(given.rows, given.asked, given.devices.split(","), given.out)
        elif given.verb == "large":
            run_large(given.encoder, given.pairs, given.out)
        else:
            with tempfile.TemporaryDirectory() as folder:
                encoder_id = given.encoder
                if given.model:
                    encoder_id = random_encoder(given.model, Path(folder) / given.model)
                run(
                    encoder_id, given.device, given.precision, given.compile, given.photos, given.repeats, given.out
                )  # fmt: skip
    except GenbaError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print((given.out / "rates.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
