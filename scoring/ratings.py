"""Do people agree with the score? Rank correlation of CLIPScore with ratings that people gave to pairs.

    python -m scoring.ratings ratings.csv --images photos/ --encoder local-dir:../shared/models/mobilenet-minilm
    python -m scoring.ratings Flickr8k_text/ExpertAnnotations.txt --images Flicker8k_Dataset --encoder ViT-B-32/openai

A table (CSV, JSONL, Excel, Parquet) has a photo, a caption, and a column `rating`, or several (`rating_1`, `rating_2`),
or a list `ratings`; rows of the same pair are put together. Flickr8k-Expert (Hodosh et al. 2013) is read as published,
with Flickr8k.token.txt beside it; pairs of a photo with a caption of its own are left out, as Hessel et al. (2021,
appendix A) do. Like them, each rating is one observation; where a pair has several, its mean is shown as well.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.columns import plain_name
from data.errors import GenbaError
from data.readers import READERS, BadRow, find_table
from data.records import normalise_caption

if TYPE_CHECKING:
    from scoring.encoders import Encoder

CLIPSCORE_WEIGHT = 2.5  # w of CLIPScore, equation 1: it brings the values near [0, 1] and changes no rank
RATING_COLUMN = re.compile(r"(ratings?|expert|rater|judge?ments?|評価|評点)_?\d*")
EXPERT_LINE = re.compile(r"\S+\t\S+#\d+\t[\d.]+\t[\d.]+\t[\d.]+")
CAPTION_FILE = "Flickr8k.token.txt"
RESAMPLES = 1000
INTERVAL = (2.5, 97.5)  # percentiles
MEASURES = ("tau_b", "tau_c", "spearman")


@dataclass(frozen=True)
class RatedPair:
    """A pair and what people gave it; the higher, the better the caption."""

    image: str
    caption: str
    ratings: tuple[float, ...]


@dataclass(frozen=True)
class Correlation:
    """One measure with its 95 % interval (percentile bootstrap over photos); None when no draw had a correlation."""

    measure: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Agreement:
    """The correlations over `observations`: each rating ("each"), or the mean of each pair ("mean")."""

    ratings: str
    observations: int
    correlations: tuple[Correlation, ...]


@dataclass(frozen=True)
class RatingsResult:
    """What `rate` found. left_out: why -> how many pairs (or rows)."""

    encoder: str
    pairs: int
    photos: int
    left_out: dict[str, int]
    agreements: tuple[Agreement, ...]


def rate(
    source: Path, images: Path, encoder: Encoder, prompt: str = "", resamples: int = RESAMPLES, seed: int = 0
) -> RatingsResult:
    """Read, embed, correlate. `prompt` goes before every caption ("A photo depicts " in Hessel et al.).

    Raises GenbaError: no table, no rating in it, nothing left to rank, an encoder that gives NaN or zero.
    """
    rated, left_out = read_ratings(source)
    scores = clip_scores(encoder, rated, images, prompt)
    known = ~np.isnan(scores)
    if not known.all():
        left_out["the photo cannot be read"] += int((~known).sum())
    kept = [pair for pair, is_known in zip(rated, known, strict=True) if is_known]
    ways = ("each", "mean") if any(len(pair.ratings) > 1 for pair in kept) else ("each",)
    found = tuple(agreement(scores[known], kept, way, resamples, seed) for way in ways)
    return RatingsResult(encoder.id, len(kept), len({pair.image for pair in kept}), dict(left_out), found)


def read_ratings(source: Path) -> tuple[list[RatedPair], Counter[str]]:
    """(pairs with at least one rating, why -> rows left out). Raises GenbaError when the file makes no sense."""
    is_expert = source.is_file() and _is_expert_file(source)
    rows = _expert_rows(source) if is_expert else _table_rows(source)
    left_out: Counter[str] = Counter()
    captions: dict[tuple[str, str], str] = {}
    ratings: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for image, caption, given, why in rows:
        if why:
            left_out[why] += 1
            continue
        key = image, normalise_caption(caption)
        captions.setdefault(key, caption)
        ratings[key] += given
    rated = [
        RatedPair(image, captions[image, words], tuple(ratings[image, words])) for image, words in captions
    ]
    return rated, left_out


_Rows = Iterator[tuple[str, str, list[float], str]]  # image, caption, ratings, why it is left out


def _table_rows(source: Path) -> _Rows:
    path, kind = find_table(source, None)
    if kind == "sidecar":
        raise GenbaError(
            f"{source} is a folder, and no table with ratings.", next="python -m scoring.ratings FILE"
        )
    columns: dict[str, None] = {}
    has_ratings = False
    for row in READERS[kind](path, None, None):
        if isinstance(row, BadRow):
            yield "", "", [], row.detail
            continue
        columns.update(dict.fromkeys(row.extra))
        values = list(_rating_values(row.extra))
        has_ratings = has_ratings or bool(values)
        numbers = [number for number in map(_number, values) if number is not None]
        if not row.caption.strip():
            yield row.image, "", [], "no caption"
        elif len(numbers) < len(values):
            yield row.image, row.caption, [], "a rating is not a number"
        else:
            yield row.image, row.caption, numbers, "" if numbers else "no rating"
    if not has_ratings:
        raise GenbaError(
            f"{path} has no column with ratings. It is called 'rating', 'rating_1', 'rating_2', … or 'ratings' (a list "
            f"in JSONL). Its other columns: {', '.join(columns) or 'none'}."
        )


def _rating_values(extra: Mapping[str, Any]) -> Iterable[Any]:
    for name, value in extra.items():
        if RATING_COLUMN.fullmatch(plain_name(name)):
            yield from value if isinstance(value, list) else [value]


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _is_expert_file(source: Path) -> bool:
    with source.open("rb") as file:
        return EXPERT_LINE.fullmatch(file.readline().decode("utf-8", "replace").strip()) is not None


def _expert_rows(source: Path) -> _Rows:
    """ExpertAnnotations.txt: photo, caption id (photo#n), three ratings from 1 to 4, separated by tabs."""
    tokens = source.parent / CAPTION_FILE
    if not tokens.is_file():
        raise GenbaError(f"{source} names captions by number; they stand in {tokens}, which is not there.")
    captions: dict[str, str] = {}
    own: defaultdict[str, set[str]] = defaultdict(set)
    for line in tokens.read_text(encoding="utf-8").splitlines():
        name, _, caption = line.partition("\t")
        captions[name] = caption
        own[name.split("#")[0]].add(caption)
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), start=1):
        if EXPERT_LINE.fullmatch(line.strip()) is None:
            raise GenbaError(
                f"{source}, line {number}: not a photo, a caption and three ratings: {line[:80]!r}."
            )
        image, caption_id, *ratings = line.strip().split("\t")
        if caption_id not in captions:
            yield image, "", [], f"its caption is not in {CAPTION_FILE}"
        elif captions[caption_id] in own[image]:
            yield image, "", [], "the caption was written for the photo (left out as in the paper)"
        else:
            yield image, captions[caption_id], [float(one) for one in ratings], ""


def clip_scores(
    encoder: Encoder, rated: Sequence[RatedPair], images: Path, prompt: str = ""
) -> NDArray[np.float64]:
    """(N,) CLIPScore = 2.5 max(cos, 0) (Hessel et al. 2021, equation 1); NaN where the photo cannot be read."""
    from scoring.decode import Photo, encoded_batches
    from scoring.encoders import require_usable

    names = sorted({pair.image for pair in rated})
    photos: dict[str, NDArray[np.float32]] = {}
    for batch, vectors in encoded_batches(encoder, [Photo(name, name, images / name) for name in names]):
        read = [photo.uri for photo in batch.photos]
        require_usable(vectors, encoder.id, "photo", read)
        photos.update(zip(read, vectors, strict=True))
    captions = sorted({pair.caption for pair in rated})
    texts = encoder.encode_texts([prompt + caption for caption in captions])
    require_usable(texts, encoder.id, "caption", captions)
    place = {caption: row for row, caption in enumerate(captions)}
    cosine = [
        float(photos[pair.image] @ texts[place[pair.caption]]) if pair.image in photos else math.nan
        for pair in rated
    ]
    return CLIPSCORE_WEIGHT * np.maximum(np.array(cosine, dtype=np.float64), 0)


def agreement(
    scores: NDArray[np.float64],
    rated: Sequence[RatedPair],
    ratings: str,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Agreement:
    """Kendall's tau-b and tau-c and Spearman's rho of N scores with the ratings of their pairs.

    ratings: "each" (every rating one observation) or "mean" (one for each pair). The bootstrap draws photos, since
    captions of one photo, and ratings of one pair, are not independent. Raises GenbaError when nothing can be ranked.
    """
    given = [pair.ratings if ratings == "each" else (float(np.mean(pair.ratings)),) for pair in rated]
    row_of = np.repeat(np.arange(len(rated)), [len(one) for one in given])
    said = np.array([one for several in given for one in several], dtype=np.float64)
    measured = np.asarray(scores, dtype=np.float64)[row_of]
    for values, what in ((said, "ratings"), (measured, "scores")):
        if len(np.unique(values)) < 2:
            raise GenbaError(
                f"Nothing can be ranked: {len(values)} {what} with {len(np.unique(values))} distinct values."
            )
    photo_of = np.unique([pair.image for pair in rated], return_inverse=True)[1][row_of]
    members = [np.flatnonzero(photo_of == photo) for photo in range(photo_of.max() + 1)]
    rng = np.random.default_rng(seed)
    drawn = np.full((resamples, len(MEASURES)), np.nan)
    for sample in drawn:
        rows = np.concatenate([members[photo] for photo in rng.integers(len(members), size=len(members))])
        sample[:] = correlations(measured[rows], said[rows])
    defined = drawn[~np.isnan(drawn).any(axis=1)]  # a draw of equal ratings alone has no correlation
    found = []
    for column, name, value in zip(defined.T, MEASURES, correlations(measured, said), strict=True):
        low, high = np.percentile(column, INTERVAL).tolist() if len(column) else (None, None)
        found.append(Correlation(name, value, low, high))
    return Agreement(ratings, len(said), tuple(found))


def correlations(scores: NDArray[np.float64], ratings: NDArray[np.float64]) -> tuple[float, float, float]:
    """(tau-b, tau-c, rho) of two rankings with ties; NaN when one of them is constant.

    correlations([1, 2, 3, 4], [1, 1, 2, 2]): 4 pairs of 6 concordant, 2 tied: tau-b 4 / sqrt(6 * 4) = 0.816,
    tau-c 4 / (4^2 / 2 * 1 / 2) = 1.0, rho 0.894
    """
    from scipy import stats

    if len(np.unique(scores)) < 2 or len(np.unique(ratings)) < 2:
        return math.nan, math.nan, math.nan
    tau_b = stats.kendalltau(scores, ratings, variant="b").statistic
    tau_c = stats.kendalltau(scores, ratings, variant="c").statistic
    return float(tau_b), float(tau_c), float(stats.spearmanr(scores, ratings).statistic)


def table(result: RatingsResult) -> str:
    """The result for a person."""
    lines = [f"{result.pairs:,} pairs of {result.photos:,} photos, encoder {result.encoder}"]
    lines += [f"left out: {count:,} ({why})" for why, count in sorted(result.left_out.items())]
    for one in result.agreements:
        what = "each rating an observation" if one.ratings == "each" else "mean rating of each pair"
        lines.append(f"{what}, n = {one.observations:,}")
        for found in one.correlations:
            interval = "" if found.low is None else f"   95 % [{found.low:.3f}, {found.high:.3f}]"
            lines.append(f"  {found.measure:9} {found.value:6.3f}{interval}")
    return "\n".join(lines)


def main() -> int:
    """Exit code 0: done, 1: what is wrong stands on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m scoring.ratings", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("file", type=Path, help="rated pairs, or ExpertAnnotations.txt of Flickr8k")
    parser.add_argument("--images", type=Path, required=True, help="folder that the photos are named from")
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--prompt", default="", help="goes before each caption, as 'A photo depicts '")
    parser.add_argument("--bootstrap", type=int, default=RESAMPLES, help="draws for the intervals")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # idle threads that spin steal the other threads' core
    try:
        from scoring.encoders import load_encoder

        encoder = load_encoder(given.encoder, given.device)
        result = rate(given.file, given.images, encoder, given.prompt, given.bootstrap)
    except GenbaError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(result), ensure_ascii=False) if given.json else table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
