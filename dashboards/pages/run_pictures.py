"""Photos on which a retraining changed most: photo, before, after and truth side by side, with what was found."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from annotate.pages.elements import Opened, empty, heading, heat_url, note, photo_url, show_error
from dashboards import run_charts, run_examples, run_words, words
from dashboards.effects import Run
from dashboards.pages.elements import how, plot
from dashboards.run_examples import Changed, Example, Kept
from data.errors import GenbaError
from data.messages import number
from data.site import Site
from training.compare import CORRECTED, ORIGINAL
from training.examples import FOLDER, INDEX, TRUTH

COLUMNS = 4
PHOTO_WIDTH = 230  # px


@st.cache_data(ttl=600, show_spinner=False)
def _changed(root: str, run_id: str, task: str, written: float) -> Changed | None:
    """Kept for ten minutes: a run's results do not change (written: their time), its private photos may."""
    return run_examples.examples(Site.open(root), run_id, task)


def show_examples(run: Run, at: Opened) -> None:
    """One task at a time: the most improved, then the most worsened, as plainly as the others."""
    _ = at.translate
    names = {"retrieval": _("Found by words"), "segmentation": _("Regions"), "depth": _("Depth")}
    task = st.segmented_control(
        _("Task"), list(names), default="retrieval", required=True, key=f"example-task-{run.run_id}",
        format_func=names.__getitem__,
    )  # fmt: skip
    task = task or "retrieval"
    folder = at.site.root / "runs" / run.run_id
    written = max(_time_of(folder / "results.parquet"), _time_of(folder / FOLDER / INDEX))
    try:
        with st.spinner(_("Comparing photo by photo ...")):
            found = _changed(str(at.site.root), run.run_id, task, written)
    except GenbaError as error:
        show_error(error)
        return
    if found is None:
        empty(
            _("Not measured photo by photo"),
            _("This run did not measure the task, or has no arm with corrected captions."),
            icon=":material/image_search:",
        )
        return
    text = _(
        "{n} test items compared; before: {arm}. These are the extremes, not the typical case: see the effects."
    )
    note(text.format(n=number(found.compared, at.language), arm=words.arm_name(found.versus, at.language)))
    _told(found, at)
    for title, group in ((_("Improved most"), found.better), (_("Worsened most"), found.worse)):
        heading(title)
        if not group:
            note(_("None."))
        for place, example in enumerate(group):
            if found.kept is not None:
                with st.container(border=True, gap="small"):
                    _side_by_side(example, found.kept, run.run_id, at)
            elif place < COLUMNS:
                if place == 0:
                    columns = st.columns(COLUMNS, gap="small")
                with columns[place], st.container(border=True, gap="small"):
                    _alone(example, at)
    formula = _(
        "Rank: the place of the right photo when its caption looks for it among the test photos; IoU: the mean over "
        "the classes that the photo shows; RMSE: over its measured pixels. Means over the seeds. Ordered by the change "
        "of 1/rank, IoU or RMSE between the arms; read from runs/{run}/results.parquet. Pictures and what was found: "
        "the answers of the two arms' models of the first seed, kept by the run in runs/{run}/examples."
    )
    how(_("How is this computed?"), formula.format(run=run.run_id))


def _time_of(path: Path) -> float:
    return path.stat().st_mtime if path.is_file() else 0.0


def _told(found: Changed, at: Opened) -> None:
    """Why a run has no pictures; else what the colours mean."""
    _ = at.translate
    if found.lacks:
        older = _(
            "This retraining was made before the answers of the arms were kept, so only its numbers are shown. "
            "The next one keeps them."
        )
        lacking = _(
            "The answers are kept of the arms with original and with corrected captions; this run lacks one."
        )
        st.badge(_("No pictures of before and after"), icon=":material/image_not_supported:", color="gray")
        note(older if found.lacks == "older" else lacking)
    elif found.kept and found.kept.classes:
        classes = list(found.kept.classes)
        if found.kept.has_unlabelled:
            classes.append((_("no label"), run_charts.NO_LABEL))
        plot(run_charts.classes_legend(classes), "classes", ", ".join(name for name, _colour in classes))


def _value_line(one: Example, at: Opened) -> str:
    _ = at.translate
    label = {"retrieval": _("Place"), "segmentation": "IoU", "depth": "RMSE"}[one.task]
    changed = f"{_shown(one.before, one.task, at)} → {_shown(one.after, one.task, at)}"
    return _("{item}: {text}").format(item=label, text=changed)


def _before_all(one: Example, at: Opened) -> None:
    _ = at.translate
    if one.task == "retrieval" and any(value != round(value) for value in (one.before, one.after)):
        note(_("A place with a decimal is the mean over the seeds, and over captions that count alike."))
    if one.base is not None:
        text = at.translate("Before the retraining: {value}")
        note(text.format(value=_shown(one.base, one.task, at)))


def _side_by_side(one: Example, kept: Kept, run_id: str, at: Opened) -> None:
    """Photo (or the words that are looked for), before, after, truth."""
    _ = at.translate
    first, before, after, truth = st.columns(COLUMNS, gap="small")
    with first:
        if one.task == "retrieval":
            note(_("Looked for"))
            st.text(one.caption)
        else:
            note(_("Photo"))
            st.image(photo_url(at.site, one.image_id), width=PHOTO_WIDTH)
        st.text(_value_line(one, at))
        _before_all(one, at)
    for column, arm, title in ((before, ORIGINAL, _("Before")), (after, CORRECTED, _("After"))):
        with column:
            note(_("{item}: {text}").format(item=title, text=words.arm_name(arm, at.language)))
            if one.task == "retrieval":
                _found(kept.items[one.item][arm], one.image_id, at)
            else:
                _map(run_id, one, arm, at)
    with truth:
        note(_("Truth"))
        if one.task == "retrieval":
            st.image(photo_url(at.site, one.image_id), width=PHOTO_WIDTH)
            return
        _map(run_id, one, TRUTH, at)
        if one.task == "depth":
            near, far = (number(value, at.language, 2) for value in kept.items[one.item])
            note(_("bright: {near} m, dark: {far} m").format(near=near, far=far))


def _found(answer: run_examples.Answer, looked_for: str, at: Opened) -> None:
    """The photo that the words found first, whether it is the right one, and the words nearest to the right photo."""
    _ = at.translate
    note(_("Found first: the right photo") if answer.photo == looked_for else _("Found first: another photo"))
    if answer.photo:
        st.image(photo_url(at.site, answer.photo), width=PHOTO_WIDTH)
    else:
        note(_("This photo has been set aside as private or unusable."))
    note(_("{item}: {text}").format(item=_("Nearest words to the right photo"), text=answer.caption))


def _map(run_id: str, one: Example, of: str, at: Opened) -> None:
    try:
        st.image(
            heat_url(at.site, run_examples.picture_key(at.site, run_id, one.task, one.item, of)),
            width=PHOTO_WIDTH,
        )
    except GenbaError as error:
        note(str(error))


def _alone(one: Example, at: Opened) -> None:
    """Of a run without kept answers."""
    _ = at.translate
    st.image(photo_url(at.site, one.image_id), width=PHOTO_WIDTH)
    if one.task != "retrieval":
        key = run_examples.truth_key(at.site, one.image_id, one.task)
        if key:
            note(_("Truth"))
            st.image(heat_url(at.site, key), width=PHOTO_WIDTH)
    st.text(_value_line(one, at))
    _before_all(one, at)
    if one.caption:
        note(_("Truth"))
        st.text(one.caption)


def _shown(value: float, task: str, at: Opened) -> str:
    if task == "retrieval":
        return number(value, at.language, 0 if value == round(value) else 1)
    return run_words.value(value, "fraction" if task == "segmentation" else "m", at.language)
