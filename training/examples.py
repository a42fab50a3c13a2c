"""What a run keeps to be looked at: what the two main arms answered where the corrections changed most.

    shown = {arm: Shown() for arm in ARMS}         # filled while the arm's first model is measured
    write(folder, measured, shown, bench)          # SITE/runs/RUN/examples, index.json last

Of segmentation and depth the predicted maps and the truth, as small PNG files with a palette; of retrieval the photo
that a caption finds first, and the caption that is nearest to the right photo. Chosen are the items that gained and
lost most in the mean over the seeds; what is shown of them is what the models of seed 0 answered. Numbers are not kept
here: they stand in results.parquet, for every item.
"""

from __future__ import annotations

import colorsys
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from data.map_pictures import Colour, write_map
from scoring.encoders import Encoder
from training.bench import IGNORED, Bench, Dense, shrink
from training.compare import CORRECTED, ORIGINAL, ByArm
from training.measures import Measured, mean_iou
from training.tasks import matches
from training.vectors import Vectors

if TYPE_CHECKING:
    import numpy as np

ARMS = (ORIGINAL, CORRECTED)  # before, after
SEED = 0
MOST = 6  # on either side
SIDE = 160  # px of a kept map, at most
FOLDER, INDEX, TRUTH = "examples", "index.json", "truth"
METRICS = {"retrieval": "median_rank_text_to_image", "segmentation": "miou", "depth": "rmse"}
UNLABELLED = 255  # in a kept map
MOST_CLASSES = UNLABELLED
# Okabe and Ito's, which colour-blind people can tell apart; more classes get hues as far apart as they go.
COLOURS = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (213, 94, 0),
    (240, 228, 66),
)
NEAR_TO_FAR = (
    (255, 234, 70),
    (188, 175, 111),
    (124, 123, 120),
    (65, 77, 107),
    (0, 32, 77),
)  # cividis, turned round
NO_LABEL = (226, 229, 233)
Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """To one caption: the photo that it finds first, and the caption that is nearest to its own photo."""

    photo: str
    caption: str


@dataclass
class Shown:
    """What one model answered. maps: task -> image_id -> (P, P), P at most SIDE: uint8 class places, float16 metres."""

    maps: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)

    def take(self, task: str, image_ids: Sequence[str], scores: np.ndarray) -> None:
        """scores: (B, K, S, S) of the photos."""
        import numpy as np

        kept = self.maps.setdefault(task, {})
        for image_id, one in zip(image_ids, scores, strict=True):
            if task == "depth":
                kept[image_id] = small(one[0]).astype(np.float16)
            elif len(one) <= MOST_CLASSES:
                kept[image_id] = small(one.argmax(0)).astype(np.uint8)


def small(values: np.ndarray) -> np.ndarray:
    """(S, S) -> (P, P), P at most SIDE, by the values in the middles."""
    return shrink(values, min(SIDE, values.shape[-1]))


def answers(encoder: Encoder, bench: Bench, known: Vectors | None = None) -> dict[str, Answer]:
    """item_id -> what the model answers. known: embeddings of the test photos, where they were computed before."""
    found = {}
    for match in matches(encoder, bench.items, bench.photos, known):
        photos, captions = list(match.row), list(match.column)
        of_caption, of_photo = match.similarity.argmax(0), match.similarity.argmax(1)
        for item in match.items:
            photo = photos[of_caption[match.column[item["caption"]]]]
            found[item["item_id"]] = Answer(photo, captions[of_photo[match.row[item["image_id"]]]])
    return found


def write(folder: Path, measured: ByArm, shown: Mapping[str, Shown], bench: Bench) -> None:
    """Choose and keep; index.json comes last. Writes nothing for a run without both arms."""
    if any(arm not in shown for arm in ARMS):
        return
    path = folder / FOLDER
    path.mkdir(exist_ok=True)
    tasks: Row = {}
    for task in METRICS:
        before, after = (_over_seeds(measured, arm, task) for arm in ARMS)
        items = chosen(task, before, after)
        if not after:  # not measured
            continue
        if task == "retrieval":
            tasks[task] = {"items": {item: _both(shown, item) for item in items}}
        elif all(item in shown[arm].maps.get(task, {}) for item in items for arm in ARMS):
            dense = bench.masks if task == "segmentation" else bench.depth
            assert dense is not None, "it was measured"
            tasks[task] = _keep_maps(path, task, items, shown, dense)
    text = json.dumps({"seed": SEED, "tasks": tasks}, ensure_ascii=False, indent=1)
    temporary = path / f"{INDEX}.tmp"
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path / INDEX)


def _both(shown: Mapping[str, Shown], item: str) -> Row:
    return {arm: vars(shown[arm].answers[item]) for arm in ARMS}


def _over_seeds(measured: ByArm, arm: str, task: str) -> dict[str, float]:
    """item -> its value, the mean over the arm's seeds."""
    found = [
        one
        for (name, _), of_model in measured.items()
        for one in of_model
        if name == arm and (one.task, one.metric) == (task, METRICS[task])
    ]
    return mean_values(task, [item_values(one) for one in found])


def item_values(one: Measured) -> dict[str, float]:
    """item -> rank, IoU or RMSE; an item with nothing to measure is left out. See `values_of`."""
    import numpy as np

    values = values_of(one.task, one.statistics)
    return {item: float(value) for item, value in zip(one.items, values, strict=True) if np.isfinite(value)}


def values_of(task: str, statistics: np.ndarray) -> np.ndarray:
    """(n, k) statistics of METRICS[task] -> (n,): the rank (1 is best); the IoU, as the mean over the classes that the
    photo shows; the RMSE in metres. NaN where nothing is labelled."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        found: np.ndarray = VALUES[task](statistics)
    return found


def _ranks(statistics: np.ndarray) -> np.ndarray:
    ranks: np.ndarray = statistics[:, 0]
    return ranks


def _rmse(statistics: np.ndarray) -> np.ndarray:
    found: np.ndarray = (statistics[:, 0] / statistics[:, 1]) ** 0.5
    return found


VALUES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "retrieval": _ranks, "segmentation": mean_iou, "depth": _rmse,
}  # fmt: skip


def mean_values(task: str, by_seed: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over the seeds; of ranks the harmonic one, as they are compared by 1/rank."""
    seeds: dict[str, list[float]] = {}
    for one in by_seed:
        for item, value in one.items():
            seeds.setdefault(item, []).append(value)
    if task == "retrieval":
        return {item: len(values) / sum(1 / value for value in values) for item, values in seeds.items()}
    return {item: sum(values) / len(values) for item, values in seeds.items()}


def gain_of(task: str, before: float, after: float) -> float:
    """gain_of("retrieval", 5, 1) == 0.8; gain_of("segmentation", 0.5, 0.75) == 0.25; gain_of("depth", 2, 1) == 1"""
    if task == "retrieval":
        return 1 / after - 1 / before
    return before - after if task == "depth" else after - before


def chosen(task: str, before: Mapping[str, float], after: Mapping[str, float], most: int = MOST) -> list[str]:
    """The items that gained most, then those that lost most, at most `most` of each; equal ones by their names."""
    gains = {item: gain_of(task, before[item], after[item]) for item in after if item in before}
    best, worst = best_and_worst(gains, gains.__getitem__, str, most)
    return best + worst


def best_and_worst(
    items: Iterable[T], gain: Callable[[T], float], name: Callable[[T], str], most: int = MOST
) -> tuple[list[T], list[T]]:
    """At most `most` with the highest gain above 0, and with the lowest below 0; equal ones by name, so that the choice
    does not flicker."""
    ordered = sorted(items, key=lambda item: (-gain(item), name(item)))
    best = [item for item in ordered if gain(item) > 0][:most]
    return best, [item for item in reversed(ordered) if gain(item) < 0][:most]


def _keep_maps(path: Path, task: str, items: Sequence[str], shown: Mapping[str, Shown], dense: Dense) -> Row:
    """The pictures of both arms and the truth, and what their colours mean."""
    import numpy as np

    present: set[int] = set()
    ranges: Row = {}
    for item in items:
        maps = {arm: shown[arm].maps[task][item] for arm in ARMS} | {TRUTH: small(dense.labels([item])[0])}
        if task == "depth":
            ranges[item], maps = _depth_places(maps)
        else:
            maps[TRUTH] = np.where(maps[TRUTH] == IGNORED, UNLABELLED, maps[TRUTH])
            present.update(*(np.unique(one).tolist() for one in maps.values()))
        for name, values in maps.items():
            write_map(path / picture_name(task, item, name), values.astype(np.uint8), palette(task))
    if task == "depth":
        return {"items": ranges}
    classes = [[dense.names[place], hexadecimal(colour(place))] for place in sorted(present - {UNLABELLED})]
    return {"items": dict.fromkeys(items), "classes": classes, "has_unlabelled": UNLABELLED in present}


def picture_name(task: str, item: str, of: str) -> str:
    """of: an arm, or TRUTH."""
    return f"{task}-{item}-{of}.png"


def _depth_places(maps: Mapping[str, np.ndarray]) -> tuple[list[float], dict[str, np.ndarray]]:
    """Metres -> places in the palette, on one scale for a photo, from the nearest to the farthest pixel of its truth
    and of what was predicted (which may lie beside it): the scale, and the maps."""
    import numpy as np

    known = np.concatenate([one.astype(np.float64).ravel() for one in maps.values()])
    near, far = float(np.nanmin(known)), float(np.nanmax(known))
    steps = UNLABELLED - 1
    found = {}
    for name, metres in maps.items():
        share = ((metres.astype(np.float64) - near) / max(far - near, 1e-6)).clip(0, 1)
        found[name] = np.where(np.isnan(share), UNLABELLED, np.round(np.nan_to_num(share) * steps))
    return [near, far], found


def palette(task: str) -> list[Colour]:
    """256 colours; the last one is that of what has no label."""
    import numpy as np

    if task == "segmentation":
        return [*map(colour, range(UNLABELLED)), NO_LABEL]
    stops = np.linspace(0, UNLABELLED - 1, len(NEAR_TO_FAR))
    channels = [np.interp(range(UNLABELLED), stops, values) for values in zip(*NEAR_TO_FAR, strict=True)]
    return [(int(r), int(g), int(b)) for r, g, b in zip(*channels, strict=True)] + [NO_LABEL]


def colour(place: int) -> Colour:
    """Of a class."""
    if place < len(COLOURS):
        return COLOURS[place]
    further = place - len(COLOURS)
    hue = (0.08 + further * 0.618034) % 1  # the golden ratio: no two hues come close soon
    red, green, blue = colorsys.hls_to_rgb(hue, (0.32, 0.62, 0.47)[further % 3], 0.6)
    return round(255 * red), round(255 * green), round(255 * blue)


def hexadecimal(rgb: Colour) -> str:
    """hexadecimal((0, 114, 178)) == "#0072b2" """
    return "#{:02x}{:02x}{:02x}".format(*rgb)
