"""The photos on which the finder is measured, and the pairs with planted errors made of them.

    one = open_set("inspection", scratch)             # BenchmarkSet: where the photos lie, which captions they have
    site = make_site(one, Path("/tmp/x"), encoder)    # through the product's own ingest
    pairs = planted_pairs(captioned_pairs(site), one, share=0.3, seed=0)

`inspection` and `flickr8k` lie in the folder ../shared (or GENBA_SHARED) and are never copied into the project;
`demo` is rendered into `scratch`, with the errors of its own renderer; `mscoco:FOLDER` and `flickr30k:FOLDER` are
photos that you bring, with the split file of Karpathy and Fei-Fei (2015).
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError, nearest
from data.records import caption_id, normalise_caption, pair_id
from scoring.catalogue import DEMO_ENCODER
from scoring.encoder_files import CONFIG, WEIGHTS
from scoring.planting import KINDS, plant
from scoring.ranking import CaptionedPair

if TYPE_CHECKING:
    from data.site import Site

CHECKOUT = Path(__file__).resolve().parent.parent
ENCODER = Path("models") / "mobilenet-minilm"

DEMO_SCENES = 1200  # as `genba demo` renders

# Words that state nothing of a finding: "A mold sits on the tray" and "Mold on the tray" are one.
FILLERS = frozenset(
    {"a", "an", "the", "on", "of", "in", "at", "by", "to", "with", "its", "it", "is", "are", "and", "but", "only",
     "single", "one", "present", "sit", "sits", "sitting", "lie", "lies", "stand", "stands", "upright", "remains",
     "still", "held", "holds", "holding", "near", "next", "inside", "don", "t", "matter", "amount"}
)  # fmt: skip


@dataclass(frozen=True)
class BenchmarkSet:
    """N pairs: image (relative to `folder`) and caption. `facts_of` a caption: see planting.plant; None: not known.
    `template`: a pack that fits, or None. `kinds` of error that are planted, or that are there already (`kind_of`)."""

    name: str
    folder: Path
    pairs: list[tuple[str, str]]
    facts_of: Callable[[str], frozenset[str]] | None
    template: str | None
    kinds: tuple[str, ...] = KINDS
    share: float | None = None  # of wrong captions; None: as the benchmark says
    languages: tuple[str, ...] = ("en",)
    encoder: str | None = None  # the only one that knows these photos; None: as the benchmark says
    kind_of: Mapping[str, str] | None = None  # pair_id -> kind of the error it has: nothing is planted on top


@dataclass(frozen=True)
class PlantedPair:
    """A pair as the scorer gets it; `kind` is the kind of error that was planted, "" when the caption is its own."""

    pair: CaptionedPair
    kind: str


def shared_folder() -> Path:
    """The folder with real photos. Raises GenbaError when it is absent."""
    folder = Path(os.environ.get("GENBA_SHARED", CHECKOUT.parent / "shared"))
    if not (folder / "data").is_dir() or not (folder / ENCODER).is_dir():
        raise GenbaError(
            f"The benchmark needs real photos and an encoder, which are not part of the project: no {folder}/data and "
            f"{folder / ENCODER}.",
            next="GENBA_SHARED=/folder/with/them make bench",
        )
    return folder


def inspection(shared: Path) -> BenchmarkSet:
    """Photos of a robot laboratory. Only 108 distinct captions, so a swap has to change what is stated."""
    folder = shared / "data" / "inspection"
    with (folder / "records.jsonl").open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    pairs = list(dict.fromkeys((record["image"], record["caption"]) for record in records))
    return BenchmarkSet("inspection", folder, pairs, stated, "lab-inspection")


def flickr8k(shared: Path) -> BenchmarkSet:
    """Everyday photos with five captions each, dev rows only: the small encoder was trained on the others."""
    folder = shared / "data" / "flickr8k"
    with (folder / "captions.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "dev"]
    return BenchmarkSet(
        "flickr8k dev", folder / "images", [(row["image"], row["caption"]) for row in rows], None, None
    )


def random_encoder(name: str, folder: Path) -> str:
    """The id of an open_clip model by name with random weights, written to `folder`: enough to measure a speed.

    Raises GenbaError with the nearest name.
    """
    from scoring.torchvision_ops import ensure_torchvision

    ensure_torchvision()
    import open_clip
    from safetensors.torch import save_file

    if name not in open_clip.list_models():
        guess = nearest(name, open_clip.list_models())
        hint = f" Did you mean {guess!r}?" if guess else ""
        raise GenbaError(f"open_clip has no model {name!r}.{hint}", choices=["ViT-B-16", "ViT-B-32", "RN50"])
    model = open_clip.create_model(name)
    kept = ("mean", "std", "interpolation", "resize_mode")
    how = {key: value for key, value in model.visual.preprocess_cfg.items() if key in kept}
    config = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": how}
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    save_file(
        {key: value.contiguous() for key, value in model.state_dict().items()}, str(folder / WEIGHTS[0])
    )
    return f"local-dir:{folder}"


def stated(caption: str) -> frozenset[str]:
    """The words of a caption that state something, in the singular, without codes in brackets.

    stated("Two molds sit on the tray (tp).") == {"two", "mold", "tray"}
    """
    words = re.findall(r"[a-z0-9]+(?:-[a-z]+)*", re.sub(r"\([^)]*\)|\u2011", "-", caption.lower()))
    return frozenset(word.removesuffix("s") for word in words if word not in FILLERS)


def demo(scratch: Path, scenes: int = DEMO_SCENES) -> BenchmarkSet:
    """The demo site: rendered photos, captions in two languages, the errors that its renderer writes, in its kinds.

    scenes: how many photos.
    """
    from data.demo.build import build_photos, read_captions, read_truth
    from data.demo.captions import WRONG_KINDS
    from data.photos import image_hash

    folder = scratch / "demo"
    build_photos(folder, scenes)
    pairs = [(row["image"], row["caption"]) for row in read_captions(folder)]
    errors = {row["image"]: row["error"] for row in read_truth(folder)}
    kind_of = {
        pair_id(image_hash(folder / image), caption): errors[image]
        for image, caption in pairs
        if errors[image] != "none"
    }
    return BenchmarkSet(
        "demo", folder, pairs, None, "parts", tuple(WRONG_KINDS), len(kind_of) / len(pairs), ("ja", "en"),
        DEMO_ENCODER, kind_of,
    )  # fmt: skip


@dataclass(frozen=True)
class _Split:
    """A published set of photos with five captions each: its split file, and where the photos usually lie."""

    file: str
    folders: tuple[str, ...]
    example: str


SPLITS = {
    "mscoco": _Split("dataset_coco.json", ("images", "."), "images/val2014/COCO_val2014_000000391895.jpg"),
    "flickr30k": _Split(
        "dataset_flickr30k.json",
        ("images", "flickr30k-images", "flickr30k_images", "."),
        "images/1007129816.jpg",
    ),
}
TEST = "test"  # 5,000 photos of MSCOCO, 1,000 of Flickr30k: what retrieval figures are published on
PAPER_SHARE = 0.4  # LEMoN (Zhang et al. 2025): 40 % of the captions are those of other photos


def karpathy(name: str, folder: Path) -> BenchmarkSet:
    """MSCOCO or Flickr30k, the test rows, each of their captions a pair; random swaps of 40 % as in LEMoN.

    Raises GenbaError that says what has to lie where.
    """
    split = SPLITS[name]
    path = folder / split.file
    layout = f"{path} (the split file of Karpathy and Fei-Fei) and the photos as {folder / split.example}"
    if not path.is_file():
        raise GenbaError(f"There is no {path}. {name} needs {layout}.", next=f"--sets {name}:FOLDER")
    try:
        images = json.loads(path.read_text(encoding="utf-8"))["images"]
        rows = [
            (
                str(Path(image.get("filepath", ""), image["filename"])),
                [one["raw"] for one in image["sentences"]],
            )
            for image in images
            if image["split"] == TEST
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GenbaError(
            f"{path} is not a split file: {type(error).__name__} {error}. It holds 'images', each with 'filename', "
            "'split' and 'sentences' that have 'raw'."
        ) from None
    if not rows:
        raise GenbaError(f"{path} has no photo of the split {TEST!r}.")
    photos = next((folder / name for name in split.folders if (folder / name / rows[0][0]).is_file()), None)
    if photos is None:
        raise GenbaError(f"The photo {rows[0][0]} lies nowhere under {folder}. {name} needs {layout}.")
    absent = [image for image, _ in rows if not (photos / image).is_file()]
    if absent:
        raise GenbaError(f"{len(absent)} of {len(rows)} photos are not in {photos}, {absent[0]} first.")
    pairs = [(image, " ".join(caption.split())) for image, captions in rows for caption in captions]
    return BenchmarkSet(f"{name} {TEST}", photos, pairs, None, None, ("swap",), PAPER_SHARE)


SETS: dict[str, Callable[[Path], BenchmarkSet]] = {"inspection": inspection, "flickr8k": flickr8k}
FORMS = (*SETS, "demo", *(f"{name}:FOLDER" for name in SPLITS))


def open_set(given: str, scratch: Path) -> BenchmarkSet:
    """A set by what stands on the command line: one of FORMS. `scratch`: a folder for what has to be rendered.

    Raises GenbaError for a name it does not know, and for photos that are not there.
    """
    name, _, folder = given.partition(":")
    if name in SPLITS and folder:
        return karpathy(name, Path(folder).expanduser())
    if given == "demo":
        return demo(scratch)
    if given in SETS:
        return SETS[given](shared_folder())
    raise GenbaError(f"No benchmark set {given!r}.", choices=FORMS)


def make_site(one: BenchmarkSet, folder: Path, encoder_id: str) -> Site:
    """A site in `folder`/site with all pairs of the set, ingested as a user would: near-duplicates share a group."""
    from data.ingest import ingest
    from data.site import init_site

    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "captions.jsonl"
    lines = [json.dumps({"image": image, "caption": caption}) for image, caption in one.pairs]
    source.write_text("\n".join(lines), encoding="utf-8")
    languages: list[Any] = list(one.languages)
    site = init_site(
        folder / "site",
        [one.folder],
        one.template or "parts",
        encoder_id,
        languages,
        demo=encoder_id == DEMO_ENCODER,
    )
    ingest(site, source)
    return site


def planted_pairs(
    pairs: Sequence[CaptionedPair], one: BenchmarkSet, share: float, seed: int
) -> list[PlantedPair]:
    """The pairs in their order, `share` of them with a wrong caption (see planting.plant).

    A set that has its errors already keeps them, whatever share and seed.
    """
    if one.kind_of is not None:
        return [PlantedPair(pair, one.kind_of.get(pair.pair_id, "")) for pair in pairs]
    captions = [pair.caption for pair in pairs]
    facts = [one.facts_of(caption) for caption in captions] if one.facts_of else None
    groups = [pair.group_id for pair in pairs]
    wrong = {w.index: w for w in plant(captions, groups, share, seed, one.kinds, facts)}
    found = []
    for index, pair in enumerate(pairs):
        if index in wrong:
            words = normalise_caption(wrong[index].caption)
            pair = replace(pair, caption=words, caption_id=caption_id(words))
        found.append(PlantedPair(pair, wrong[index].kind if index in wrong else ""))
    return found
