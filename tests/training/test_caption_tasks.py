"""Slots, inspection and the linear probe: by hand, on given vectors; what photos show; the user's own tasks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.errors import GenbaError
from data.settings import set_value
from data.site import Site
from data.templates import load_template
from scoring.encoders import load_encoder
from tests.training.conftest import Made
from training.bench import Bench
from training.caption_bench import (
    CaptionBench,
    Photo,
    Question,
    inspection_slot,
    photos_of,
    questions,
    several,
)
from training.caption_tasks import among_sound, classification, inspection, slots
from training.pixels import Pixels
from training.tasks import measure
from training.user_tasks import load_tasks
from training.vectors import TaskSkipped

PARTS = load_template("parts")
DEFECTS = ["none", "scratch", "dent"]
Axes = dict[str, list[float]]


@dataclass
class Pointing:
    """An encoder whose vectors are given: photo number n shows images[n], a text its own."""

    images: list[list[float]]
    texts: Axes
    device: str = "cpu"

    def encode_images(self, batch: torch.Tensor) -> np.ndarray:
        found = np.array([self.images[int(one[0, 0, 0])] for one in batch], dtype=np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        return np.array([self.texts[text] for text in texts], dtype=np.float32)


@pytest.fixture(autouse=True)
def as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.vectors.normalised", lambda batch, encoder: batch)


def pixels(ids: list[str]) -> Pixels:
    array = np.arange(len(ids), dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 2, 2), np.uint8)
    return Pixels(array, {photo: number for number, photo in enumerate(ids)})


def bench_of(photos: list[Photo], asked: list[Question], train: list[Photo] | None = None) -> Bench:
    ids = [one.image_id for one in photos]
    taught = train or []
    found = CaptionBench(
        photos, taught, pixels([one.image_id for one in taught]), asked, "defect", "none", 0.25
    )
    return Bench([], pixels(ids), None, None, captions=found)


DEFECT = Question("defect", DEFECTS, [["sound", "異常なし"], ["scratch"], ["dent"]])
TEXTS: Axes = {"sound": [1, 0, 0], "異常なし": [1, 0, 0], "scratch": [0, 1, 0], "dent": [0, 0, 1]}


def test_slots_are_answered_by_the_nearest_prompt() -> None:
    """Twelve photos: 6 sound (one looks scratched), 4 scratched, 2 dented (one looks scratched)."""
    true = ["none"] * 6 + ["scratch"] * 4 + ["dent"] * 2
    seen = ["none"] * 5 + ["scratch"] * 5 + ["dent", "scratch"]
    photos = [Photo(f"p{n:02d}", f"g{n}", {"defect": one}) for n, one in enumerate(true)]
    encoder = Pointing([[float(one == name) for name in DEFECTS] for one in seen], TEXTS)
    found = {one.metric: one for one in slots(encoder, bench_of(photos, [DEFECT]))}  # type: ignore[arg-type]
    assert found["accuracy_defect"].value == pytest.approx(10 / 12)
    # F1: none 10/11, scratch 2 * 4 / (4 + 6), dent 2 * 1 / (2 + 1)
    f1 = (10 / 11 + 8 / 10 + 2 / 3) / 3
    assert found["macro_f1_defect"].value == pytest.approx(f1) == found["macro_f1"].value
    assert found["macro_f1"].clusters[3] == "g3" and found["macro_f1"].n == 12
    one_kind = [Photo(f"p{n:02d}", "g", {"defect": "none"}) for n in range(12)]
    with pytest.raises(TaskSkipped, match="at least two different answers"):
        slots(encoder, bench_of(one_kind, [DEFECT]))  # type: ignore[arg-type]


def test_each_option_of_a_multi_slot_is_a_question_of_its_own() -> None:
    """Twelve photos: helmet alone, or helmet and gloves; a mask nobody wears, so that is not asked. Gloves are seen in
    all but two of the six that wear them; the helmet is seen in all."""
    worn = Question("ppe", ["helmet", "gloves", "mask"], [["a helmet"], ["gloves"], ["a mask"]])
    texts: Axes = {"a helmet": [1, 0, 0], "gloves": [0, 1, 0], "a mask": [0, 0, 1]}
    true = [("helmet",)] * 6 + [("gloves", "helmet")] * 6
    photos = [Photo(f"p{n:02d}", f"g{n}", {"ppe": one}) for n, one in enumerate(true)]
    images = [[1.0, 0, 0]] * 6 + [[1.0, 1, 0]] * 4 + [[1.0, 0, 0]] * 2
    bench = bench_of(photos, [])
    assert bench.captions is not None
    bench = replace(bench, captions=replace(bench.captions, several=[worn]))
    found = {one.metric: one.value for one in slots(Pointing(images, texts), bench)}  # type: ignore[arg-type]
    # gloves: 6 rightly absent, 4 seen, 2 missed; F1 of absent 12 / 14, of present 8 / 10
    assert found["accuracy_ppe"] == pytest.approx(10 / 12) == found["accuracy"]
    assert found["macro_f1_ppe"] == pytest.approx((12 / 14 + 8 / 10) / 2)
    assert several(load_template("site-safety"), ["en"])[0].slot == "ppe" and several(PARTS, ["en"]) == []


def test_the_miss_rate_at_the_allowed_share_of_false_alarms() -> None:
    """12 sound and 10 defective photos. A photo's score is how far it leans to a defect; 3 of 12 may raise an alarm."""
    lean = [n / 12 for n in range(12)] + [0.80] * 3 + [0.70] * 2 + [0.2] * 5
    true = ["none"] * 12 + ["scratch"] * 5 + ["dent"] * 5
    images = [[1.0, x, 0] if one != "dent" else [1.0, 0, x] for x, one in zip(lean, true, strict=True)]
    photos = [Photo(f"p{n:02d}", f"g{n}", {"defect": one}) for n, one in enumerate(true)]
    (found,) = inspection(Pointing(images, TEXTS), bench_of(photos, [DEFECT]))  # type: ignore[arg-type]
    # sound ones lean 0 to 11/12 = .917; three may lie above the threshold, which so is 8/12 = .667: 0.80 and 0.70 are
    # found, the five that lean 0.2 are missed
    assert found.metric == "miss_rate_at_25_percent_false_alarms" and not found.higher_is_better
    assert found.value == 0.5 and found.n == 22 and set(found.strata) == {"sound", "defective"}
    few = photos[:14]
    with pytest.raises(TaskSkipped, match="2 defective and 12 sound test photos; it takes 10 of each"):
        inspection(Pointing(images, TEXTS), bench_of(few, [DEFECT]))  # type: ignore[arg-type]
    with pytest.raises(TaskSkipped, match="no slot with an answer that says nothing is wrong"):
        inspection(Pointing(images, TEXTS), bench_of(photos, []))  # type: ignore[arg-type]


def test_scores_are_brought_to_the_scale_of_the_sound_photos() -> None:
    found = among_sound(np.array([1.0, 3.0, 2.0, 3.0]), np.array([False, False, True, True]))
    assert found.tolist() == [-1.0, -0.5, -0.5, -0.5]
    rng = np.random.default_rng(0)
    score, defect = rng.normal(size=50), rng.random(50) < 0.5
    assert (np.diff(among_sound(score, defect)[np.argsort(score)]) >= 0).all()


def test_a_linear_probe_learns_from_the_train_photos() -> None:
    """Classes lie apart in the vectors, in another way than the prompts say: zero-shot is wrong, the probe is right."""
    rng = np.random.default_rng(0)
    true = ["none", "scratch"] * 10
    photos = [Photo(f"p{n:02d}", f"g{n}", {"defect": one}) for n, one in enumerate(true)]
    images = [[5.0 * (one == "scratch"), 5.0 * (one == "none"), *rng.normal(size=1)] for one in true]
    encoder = Pointing(images, TEXTS)
    train = [replace(one, image_id=f"t{one.image_id}") for one in photos]
    bench = bench_of(photos, [DEFECT], train)
    assert {one.metric: one.value for one in classification(encoder, bench)} == {
        "accuracy": 1.0,
        "macro_f1": 1.0,
    }  # type: ignore[arg-type]
    zero_shot = {one.metric: one.value for one in slots(encoder, bench)}  # type: ignore[arg-type]
    assert zero_shot["accuracy"] < 0.5


def test_what_photos_show() -> None:
    """Values that the template does not know, or that two captions contradict, are unknown."""

    def row(photo: str, said: dict[str, Any] | None) -> dict[str, Any]:
        return {
            "image_id": photo,
            "group_id": f"g{photo}",
            "slots": json.dumps(said) if said is not None else None,
        }

    found = photos_of(
        [row("b", {"part": "bolt", "count": 2, "scratch": True}), row("b", {"part": "nut", "count": 2}),
         row("a", {"part": "sprocket"}), row("c", None), row("d", {"defect": "rust", "count": True})], PARTS,
    )  # fmt: skip
    assert found == [Photo("b", "gb", {"count": 2}), Photo("d", "gd", {"defect": "rust"})]
    worn = {"ppe": ["helmet", "gloves"]}
    safety = load_template("site-safety")
    answered = photos_of([{**row("e", worn), "verdict": "fix"}, {**row("f", worn), "verdict": "ok"},
                          {**row("g", {"ppe": ["cape"]}), "verdict": "fix"}], safety)  # fmt: skip
    assert answered == [Photo("e", "ge", {"ppe": ("gloves", "helmet")})], (
        "a free caption may leave out what is worn"
    )


def test_questions_come_from_the_template() -> None:
    photos = [Photo(f"p{n}", "g", {"count": 1 + n % 2}) for n in range(12)]
    found = {one.slot: one for one in questions(PARTS, ["en", "ja"], photos)}
    assert list(found) == [slot.id for slot in PARTS.slots]
    assert found["defect"].prompts[0] == [
        PARTS.prompts("defect", "en")["none"],
        PARTS.prompts("defect", "ja")["none"],
    ]
    assert found["count"].answers == [1, 2] and "2 bolts" in found["count"].prompts[1]
    assert "count" not in {one.slot for one in questions(PARTS, ["en"], photos[:4])}  # shown too rarely
    assert questions(PARTS, [], photos) == []


def test_the_inspected_slot_is_found_or_named() -> None:
    assert inspection_slot(PARTS, "") == ("defect", "none")
    assert inspection_slot(PARTS, "severity:slight") == ("severity", "slight")
    with pytest.raises(
        GenbaError, match=r"retrain.inspection = 'defect:fine' names no answer .*Known: part:bolt"
    ):
        inspection_slot(PARTS, "defect:fine")


USERS = """
import numpy as np
from training.measures import Measured

def metric(name, value):
    return Measured("ours", name, "fraction", True, "ratio", ["a"], ["a"], np.array([[value, 1.0]]))

def good(encoder, bench):
    yield metric("share", 0.25)

def fails(encoder, bench):
    return [1 / 0]

def wrong(encoder, bench):
    return [("share", 0.25)]

def empty(encoder, bench):
    return [Measured("ours", "m", "fraction", True, "ratio", [], [], np.zeros((0, 2)))]

def nothing(encoder, bench):
    return [metric("m", float("nan"))]

def taken(encoder, bench):
    return [Measured("ours", "share", "fraction", True, "ratio", ["a"], ["a"], np.ones((1, 2)))]
"""


@pytest.fixture
def with_tasks(small_site: Callable[..., Made], request: pytest.FixtureRequest) -> Callable[..., Site]:
    """A site whose folder holds a module of the user's, and genba.toml that names functions of it."""
    site = small_site(photos={"train": 1}).site
    module = f"ours_{abs(hash(request.node.name))}"
    (site.root / f"{module}.py").write_text(USERS)

    def naming(*names: str) -> Site:
        set_value(site.settings_path, "retrain", "tasks", [one.replace("OURS", module) for one in names])
        return Site.open(site.root)

    return naming


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("OURS", "it is written 'module:function'"),
        ("absent_module:f", "no module 'absent_module'"),
        ("OURS:absent", r"has no function 'absent'. Known: .*good"),
    ],
)
def test_a_task_that_is_not_there_is_told_before_anything_runs(
    with_tasks: Callable[..., Site], name: str, problem: str
) -> None:
    with pytest.raises(GenbaError, match=f"of retrain.tasks cannot be used: .*{problem}"):
        load_tasks(with_tasks(name))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("fails", r"it raised ZeroDivisionError: division by zero \(.*ours_.*line 12\)"),
        ("wrong", "it returned tuple, where a Measured"),
        ("empty", "has 0 items"),
        ("nothing", "is nan, no number"),
    ],
)
def test_the_mistakes_of_a_users_task_are_told(
    with_tasks: Callable[..., Site], tiny_encoder: Path, name: str, problem: str
) -> None:
    site = with_tasks(f"OURS:{name}")
    encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    with pytest.raises(GenbaError, match=problem):
        measure(encoder, Bench([], pixels([]), None, None, tasks=load_tasks(site)))


def test_a_users_task_is_measured_like_any_other(with_tasks: Callable[..., Site], tiny_encoder: Path) -> None:
    before = list(sys.path)
    site = with_tasks("OURS:good")
    encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    found, _ = measure(encoder, Bench([], pixels([]), None, None, tasks=load_tasks(site)))
    assert [(one.task, one.metric, one.value) for one in found] == [("ours", "share", 0.25)]
    assert sys.path == before
    site = with_tasks("OURS:good", "OURS:taken")
    with pytest.raises(GenbaError, match="gives the metric ours/share, which there is already"):
        measure(encoder, Bench([], pixels([]), None, None, tasks=load_tasks(site)))
