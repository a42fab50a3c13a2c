"""Photos on which a retraining changed most: found by their words before and after, regions, depth; with the truth."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from annotate.pages.elements import Opened, empty, heading, heat_url, note, photo_url, show_error
from dashboards import run_examples, run_words, words
from dashboards.effects import Run
from dashboards.pages.elements import how
from dashboards.run_examples import Changed, Example
from data.errors import GenbaError
from data.messages import number
from data.site import Site

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
    path = at.site.root / "runs" / run.run_id / "results.parquet"
    try:
        with st.spinner(_("Comparing photo by photo ...")):
            found = _changed(str(at.site.root), run.run_id, task, _time_of(path))
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
    for title, group in ((_("Improved most"), found.better), (_("Worsened most"), found.worse)):
        heading(title)
        if not group:
            note(_("None."))
        for column, example in zip(st.columns(COLUMNS, gap="small"), group, strict=False):
            with column, st.container(border=True, gap="small"):
                _example(example, at)
    formula = _(
        "Rank: the place of the right photo when its caption looks for it among the test photos; IoU: the mean over "
        "the classes that the photo shows; RMSE: over its measured pixels. Means over the seeds. Ordered by the change "
        "of 1/rank, IoU or RMSE between the arms; read from runs/{run}/results.parquet."
    )
    how(_("How is this computed?"), formula.format(run=run.run_id))


def _time_of(path: Path) -> float:
    return path.stat().st_mtime if path.is_file() else 0.0


def _example(one: Example, at: Opened) -> None:
    _ = at.translate
    label = {"retrieval": _("Place"), "segmentation": "IoU", "depth": "RMSE"}[one.task]
    st.image(photo_url(at.site, one.image_id), width=PHOTO_WIDTH)
    if one.task != "retrieval":
        key = run_examples.truth_key(at.site, one.image_id, one.task)
        if key:
            note(_("Truth"))
            st.image(heat_url(at.site, key), width=PHOTO_WIDTH)
    st.text(f"{label}: {_shown(one.before, one.task, at)} → {_shown(one.after, one.task, at)}")
    if one.base is not None:
        note(_("Before the retraining: {value}").format(value=_shown(one.base, one.task, at)))
    if one.caption:
        note(_("Truth"))
        st.text(one.caption)


def _shown(value: float, task: str, at: Opened) -> str:
    if task == "retrieval":
        return number(value, at.language, 0 if value == round(value) else 1)
    return run_words.value(value, "fraction" if task == "segmentation" else "m", at.language)
