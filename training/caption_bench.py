"""What the caption tasks are measured on: what each checked photo shows, slot by slot, and how each answer is asked.

    found = caption_bench(site, snapshot.contents, encoder, folder)      # CaptionBench, a part of the Bench

What a photo shows is what a person answered where the caption was fixed; where it was called right as it stands, what
the template's words read in it, as far as they read one value. Answers are asked with the prompts of the template in
every language that the encoder reads, their embeddings averaged (Radford et al. 2021, section 3.1.4: ensembling).
Choices are asked, and numbers that the test photos show often; of a multi slot each option by itself (`several`). Texts
and ratings are not asked: a free text has no answers to choose from, and the stars of a rating no words.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from data.site import Site
from data.snapshots import Contents
from data.template_schema import Slot
from data.templates import Template
from scoring.encoders import Encoder
from training.pixels import Pixels, load_pixels

if TYPE_CHECKING:
    import numpy as np

SOUND = "none"  # the option of a defect slot that says: nothing is wrong
FEWEST_OF_NUMBER, MOST_NUMBERS = (
    5,
    12,
)  # test photos that show a number before it is asked; so many numbers at most
MOST_TRAIN = 2000  # photos that a linear probe learns from
MOST_PROMPTS = 12  # texts of one answer and language that are averaged
Row = dict[str, Any]


@dataclass(frozen=True)
class Photo:
    """A photo and what it shows. slots: slot id -> value, a sorted tuple of a multi slot's options; only values that
    the template knows."""

    image_id: str
    group_id: str
    slots: dict[str, Any]


@dataclass(frozen=True)
class Question:
    """A slot that is asked of a photo. answers: option ids or numbers. prompts: for each answer its texts."""

    slot: str
    answers: list[Any]
    prompts: list[list[str]]


@dataclass(frozen=True)
class CaptionBench:
    """test, train: photos with known slots; the pixels of the latter. questions: one a slot that can be asked.

    inspected: the slot whose option `sound` says that nothing is wrong, "" where the template has none. false_alarms:
    the share of sound photos that may raise an alarm. several: a question for each multi slot, whose answers do not
    exclude each other.
    """

    test: list[Photo]
    train: list[Photo]
    train_photos: Pixels
    questions: list[Question]
    inspected: str
    sound: str
    false_alarms: float
    several: list[Question] = field(default_factory=list)

    def asked(self, slot: str) -> Question | None:
        return next((one for one in self.questions if one.slot == slot), None)


def caption_bench(
    site: Site,
    contents: Contents,
    encoder: Encoder,
    folder: Path,
    progress: Callable[[int], None] | None = None,
) -> CaptionBench:
    """folder: where decoded photos are kept. Raises GenbaError for a retrain.inspection that the template has not."""
    template = site.template()
    inspected, sound = inspection_slot(template, site.settings.retrain.inspection)
    test = photos_of([row for row in contents.items if row["split"] == "test"], template)
    rows = {row["image_id"]: row for row in contents.train}
    train = list(islice(photos_of(contents.train, template), MOST_TRAIN))
    pixels = load_pixels(site, encoder, [rows[one.image_id] for one in train], folder, progress=progress)
    languages = [one for one in template.languages if encoder.source.reads(one)]
    return CaptionBench(
        test, train, pixels, questions(template, languages, test), inspected, sound,
        site.settings.retrain.false_alarms, several(template, languages),
    )  # fmt: skip


def photos_of(rows: Iterable[Row], template: Template) -> list[Photo]:
    """Photos with a known slot, in order of their ids. Where two captions of a photo contradict, nothing is known."""
    stated: dict[str, dict[str, list[Any]]] = {}
    groups: dict[str, str] = {}
    for row in rows:
        groups[row["image_id"]] = row["group_id"]
        of_photo = stated.setdefault(row["image_id"], {})
        for slot_id, value in json.loads(row["slots"] or "{}").items():
            slot = template.slot(slot_id)
            if slot is None:
                continue
            if slot.type == "multi":
                # What a free caption does not mention may be there all the same; in a form it is answered.
                if row.get("verdict") == "fix" and (options := _known_options(slot, value)):
                    of_photo.setdefault(slot_id, []).append(options)
            elif _is_known(slot, value):
                of_photo.setdefault(slot_id, []).append(value)
    found = []
    for image_id in sorted(stated):
        agreed = {name: values[0] for name, values in stated[image_id].items() if len(set(values)) == 1}
        if agreed:
            found.append(Photo(image_id, groups[image_id], agreed))
    return found


def _is_known(slot: Slot, value: Any) -> bool:
    if slot.type == "choice":
        return isinstance(value, str) and slot.option(value) is not None
    return slot.type == "number" and isinstance(value, (int, float)) and not isinstance(value, bool)


def _known_options(slot: Slot, value: Any) -> tuple[str, ...]:
    """The chosen options of a multi slot, () where one of them is not the template's."""
    chosen = value if isinstance(value, list) else []
    is_known = all(isinstance(one, str) and slot.option(one) is not None for one in chosen)
    return tuple(sorted(chosen)) if is_known else ()


def questions(template: Template, languages: Sequence[str], photos: Sequence[Photo]) -> list[Question]:
    """A question for each slot that has at least two answers, in the order of the form."""
    found = []
    for slot in template.slots:
        answers = _answers(slot, photos)
        if len(answers) < 2 or not languages:
            continue
        prompts = [_prompts(template, slot, answer, languages) for answer in answers]
        if all(prompts):
            found.append(Question(slot.id, answers, prompts))
    return found


def several(template: Template, languages: Sequence[str]) -> list[Question]:
    """A question for each multi slot, in the order of the form."""
    found = []
    for slot in template.slots:
        if slot.type != "multi":
            continue
        by_language = [template.prompts(slot.id, one) for one in languages]
        prompts = [[said[option.id] for said in by_language if said[option.id]] for option in slot.options]
        if len(prompts) > 1 and all(prompts):
            found.append(Question(slot.id, [option.id for option in slot.options], prompts))
    return found


def _answers(slot: Slot, photos: Sequence[Photo]) -> list[Any]:
    if slot.type == "choice":
        return [option.id for option in slot.options]
    if slot.type != "number":
        return []
    shown = Counter(photo.slots[slot.id] for photo in photos if slot.id in photo.slots)
    return sorted(value for value, count in shown.most_common(MOST_NUMBERS) if count >= FEWEST_OF_NUMBER)


def _prompts(template: Template, slot: Slot, answer: Any, languages: Sequence[str]) -> list[str]:
    """The texts of one answer in all languages. A number is asked with each thing that it counts: "2 bolts"."""
    if slot.type == "choice":
        return [text for one in languages if (text := template.prompts(slot.id, one)[answer])]
    counted = next((other for other in template.slots if other.counted_by == slot.id), None)
    beside: list[Mapping[str, Any]] = [{}]
    if counted is not None and counted.type == "choice":
        beside = [{counted.id: option.id} for option in counted.options[:MOST_PROMPTS]]
    texts = [template.caption({**one, slot.id: answer}, language) for language in languages for one in beside]
    return [text for text in texts if text]


def inspection_slot(template: Template, wanted: str) -> tuple[str, str]:
    """(slot, option that says nothing is wrong). wanted: "slot:option"; "": the first choice with an option "none".

    ("", "") where there is none. Raises GenbaError for a slot or an option that the template has not.
    """
    choices = {
        f"{slot.id}:{option.id}": slot
        for slot in template.slots
        if slot.type == "choice"
        for option in slot.options
    }
    if wanted and wanted not in choices:
        raise GenbaError(
            f"retrain.inspection = {wanted!r} names no answer of the template {template.id!r}.", choices=choices,
            next="set retrain.inspection in genba.toml to SLOT:OPTION, the option that says nothing is wrong",
        )  # fmt: skip
    first = next((name for name in choices if name.endswith(f":{SOUND}")), "")
    slot, _, option = (wanted or first).partition(":")
    return slot, option


def prompt_vectors(encoder: Encoder, question: Question) -> np.ndarray:
    """(answers, D) float32, unit length: the mean of each answer's texts."""
    import numpy as np

    texts = list(dict.fromkeys(text for of_answer in question.prompts for text in of_answer))
    place = {text: number for number, text in enumerate(texts)}
    vectors = encoder.encode_texts(texts)
    mean = np.stack([vectors[[place[text] for text in of_answer]].mean(0) for of_answer in question.prompts])
    found: np.ndarray = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return found
