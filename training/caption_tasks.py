"""Tasks that ask an encoder what the template asks people: slots, inspection, classification.

    slots            zero-shot: each photo against the prompts of each answer; accuracy and macro-F1 of each slot that
                     is a choice, a number or a multi; texts and ratings are not asked (training/caption_bench.py)
    inspection       miss rate (見逃し率) where a fixed share of the sound photos (過検出率) may raise an alarm
    classification   a linear probe on frozen image embeddings for each slot (Radford et al. 2021, section 3.2)

All from (encoder, bench) to rows of Measured, one item a photo; which photos and answers: training/caption_bench.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scoring.encoders import Encoder
from training.bench import Bench
from training.caption_bench import CaptionBench, Photo, Question, prompt_vectors
from training.measures import MISSING, Measured, miss_rate_name
from training.vectors import TaskSkipped, image_vectors, test_vectors

if TYPE_CHECKING:
    import numpy as np

FEWEST = 10  # photos with a known value, of each kind in an inspection; fewer measure nothing
Column = tuple["np.ndarray", "np.ndarray"]  # (photos,) true and predicted answers of one question
STRENGTH = 1.0  # C of the logistic regression, on standardised features: scikit-learn's own


def slots(encoder: Encoder, bench: Bench) -> list[Measured]:
    """accuracy_SLOT and macro_f1_SLOT, zero-shot, of each slot; accuracy and macro_f1: the mean over the questions.

    A choice or a number is one question, answered by the nearest prompt. Of a multi slot each option is one, yes or no:
    yes where its prompt is nearer to the photo than the slot's options are on the average, so that no threshold is
    chosen; SLOT's figures are then the mean over its options.
    """
    found = _required(bench)
    vectors = _vectors(encoder, bench, found.test)
    columns: dict[str, list[Column]] = {}
    for question in found.questions:
        answered = (vectors @ prompt_vectors(encoder, question).T).argmax(1)
        columns[question.slot] = [(_true(found.test, question), answered)]
    for question in found.several:
        cosine = vectors @ prompt_vectors(encoder, question).T
        is_near = (cosine > cosine.mean(1, keepdims=True)).astype(int)
        true = _chosen(found.test, question)
        columns[question.slot] = list(zip(true.T, is_near.T, strict=True))
    columns = {slot: [one for one in of_slot if _is_enough(one[0])] for slot, of_slot in columns.items()}
    asked = [one for of_slot in columns.values() for one in of_slot]
    if not asked:
        raise TaskSkipped(f"no slot has {FEWEST} checked test photos with at least two different answers")
    return [
        *_measured("slots", found.test, asked, ""),
        *(
            one
            for slot, of_slot in columns.items()
            if of_slot
            for one in _measured("slots", found.test, of_slot, f"_{slot}")
        ),
    ]


def classification(encoder: Encoder, bench: Bench) -> list[Measured]:
    """accuracy and macro_f1 of linear probes, the mean over the slots. Which photos teach is the same for every arm."""
    found = _required(bench)
    if not found.train:
        raise TaskSkipped("no training photo has a checked caption whose slots are known")
    train = image_vectors(encoder, found.train_photos, [one.image_id for one in found.train])
    vectors = _vectors(encoder, bench, found.test)
    columns = []
    for question in found.questions:
        taught, true = _true(found.train, question), _true(found.test, question)
        if _is_enough(taught) and _is_enough(true):
            columns.append((true, _probe(train, taught, vectors)))
    if not columns:
        raise TaskSkipped(f"no slot has {FEWEST} train and {FEWEST} test photos with two different answers")
    return _measured("classification", found.test, columns, "")


def inspection(encoder: Encoder, bench: Bench) -> list[Measured]:
    """miss_rate: the share of defective photos that raise no alarm, where the threshold lets at most the fixed share of
    the sound ones raise one. The score is the cosine with the nearest defect's prompt minus that with "nothing wrong".

    A photo's score is kept as the share of sound photos that score as high or higher, turned round: so scores of
    different models are on one scale, and the order, which is all that counts, stays.
    """
    import numpy as np

    found = _required(bench)
    question = found.asked(found.inspected)
    if question is None:
        raise TaskSkipped(
            "the template has no slot with an answer that says nothing is wrong (retrain.inspection)"
        )
    true = _true(found.test, question)
    sound_place = question.answers.index(found.sound)
    known = np.flatnonzero(true != MISSING)
    is_defect = true[known] != sound_place
    counts = int(is_defect.sum()), int((~is_defect).sum())
    if min(counts) < FEWEST:
        raise TaskSkipped(
            f"{counts[0]} defective and {counts[1]} sound test photos; it takes {FEWEST} of each"
        )
    cosine = _vectors(encoder, bench, found.test)[known] @ prompt_vectors(encoder, question).T
    score = np.delete(cosine, sound_place, axis=1).max(1) - cosine[:, sound_place]
    statistics = np.stack([among_sound(score, is_defect), is_defect], axis=1).astype(np.float64)
    photos = [found.test[place] for place in known]
    kinds = ["defective" if one else "sound" for one in is_defect]
    return [Measured(
        "inspection", f"miss_rate_at_{100 * found.false_alarms:g}_percent_false_alarms", "fraction", False,
        miss_rate_name(found.false_alarms), [one.image_id for one in photos], [one.group_id for one in photos],
        statistics, kinds,
    )]  # fmt: skip


def among_sound(score: np.ndarray, is_defect: np.ndarray) -> np.ndarray:
    """(n,) scores -> (n,) minus the share of sound photos that score as high or higher: the same order, in [-1, 0].

    Two defective photos between the same sound ones become alike: no threshold that the sound ones set parts them.
    among_sound([1, 3, 2, 3], [False, False, True, True]) == [-1, -0.5, -0.5, -0.5]
    """
    import numpy as np

    sound = np.sort(score[~is_defect])
    found: np.ndarray = np.searchsorted(sound, score, side="left") / len(sound) - 1
    return found


def _required(bench: Bench) -> CaptionBench:
    if bench.captions is None:
        raise TaskSkipped("the captions of this bench were not read with a template")
    if not bench.captions.test:
        raise TaskSkipped("no held-out photo has a checked caption whose slots are known")
    return bench.captions


def _vectors(encoder: Encoder, bench: Bench, photos: list[Photo]) -> np.ndarray:
    """(photos, D) of test photos, from those that the other tasks have embedded."""
    known = test_vectors(encoder, bench)
    found: np.ndarray = known.array[[known.place[one.image_id] for one in photos]]
    return found


def _true(photos: list[Photo], question: Question) -> np.ndarray:
    """(photos,) the place of each photo's answer, MISSING where it is not known or not asked."""
    import numpy as np

    place: dict[Any, int] = {answer: number for number, answer in enumerate(question.answers)}
    return np.array([place.get(one.slots.get(question.slot), MISSING) for one in photos])


def _chosen(photos: list[Photo], question: Question) -> np.ndarray:
    """(photos, answers) 1 where the photo shows the option of a multi slot, 0 where not, MISSING where nobody said."""
    import numpy as np

    none = [MISSING] * len(question.answers)
    said = [one.slots.get(question.slot) for one in photos]
    return np.array([
        none if options is None else [int(answer in options) for answer in question.answers] for options in said
    ])  # fmt: skip


def _is_enough(true: np.ndarray) -> bool:
    known = true[true != MISSING]
    return len(known) >= FEWEST and len(set(known.tolist())) >= 2


def _probe(train: np.ndarray, taught: np.ndarray, test: np.ndarray) -> np.ndarray:
    """(test photos,) answers that a logistic regression predicts which has seen the train photos."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = taught != MISSING
    model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=500))
    model.fit(train[known], taught[known])
    found: np.ndarray = model.predict(test)
    return found


def _measured(task: str, photos: list[Photo], columns: list[Column], suffix: str) -> list[Measured]:
    """Accuracy and macro-F1 over photos that have at least one of the slots. columns: true and predicted, by slot."""
    import numpy as np

    statistics = np.stack([side for both in columns for side in both], axis=1).astype(np.float64)
    kept = np.flatnonzero((statistics[:, ::2] != MISSING).any(1))
    names = [photos[place].image_id for place in kept]
    groups = [photos[place].group_id for place in kept]
    return [
        Measured(task, metric + suffix, "fraction", True, summary, names, groups, statistics[kept])
        for metric, summary in (("accuracy", "mean_accuracy"), ("macro_f1", "macro_f1"))
    ]
