"""What may be done with the photos that are chosen on the map: work on them first, audit them, take them along."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from annotate import explore, queue, selection_audit
from annotate.pages import narrowed
from annotate.pages.elements import Opened, escaped, go_to, note, show_error
from annotate.pages.lead import locked
from data.errors import GenbaError
from data.messages import number
from data.site import Site

if TYPE_CHECKING:
    from annotate.explore import Ints, Photos

MOST = 2000  # pairs that go into the queue: more than anybody works off in a week
AUDIT_SIZE = 30
MIME = {".csv": "text/csv", ".parquet": "application/vnd.apache.parquet"}


def show(photos: Photos, rows: Ints, name: str, at: Opened) -> None:
    """The buttons above the grid."""
    _ = at.translate
    if not len(rows):
        return
    waiting = photos.waiting(rows, MOST)
    with st.container(horizontal=True, gap="small", key="explore-actions"):
        label = _("Work on these first ({n})").format(n=number(len(waiting), at.language))
        if st.button(label, key="explore-queue", type="primary", icon=":material/play_arrow:",
                     disabled=not waiting, help=_("The riskiest come first, at most {n}.").format(
                         n=number(MOST, at.language))):  # fmt: skip
            narrowed.start(narrowed.Narrowed(pairs=tuple(waiting), name=name))
            go_to("correct")
        with st.popover(_("Audit"), icon=":material/fact_check:"):
            _audit(photos, rows, name, at)
        with st.popover(_("Export"), icon=":material/download:"):
            _export(photos, rows, at)


def _audit(photos: Photos, rows: Ints, name: str, at: Opened) -> None:
    _ = at.translate
    note(
        _(
            "Some of these captions are drawn at random and judged blind. As the photos were picked by hand, the "
            "result holds for this selection alone; it never counts in the estimate of the whole site."
        )
    )
    with st.form("explore-audit", border=False):
        n = st.number_input(_("Captions to draw"), 1, 1000, AUDIT_SIZE, key="explore-audit-n")
        called = st.text_input(
            _("Name of the selection"), value=name, max_chars=100, key="explore-audit-name"
        )
        if st.form_submit_button(_("Draw the audit"), icon=":material/casino:", disabled=locked(at)):
            pairs = [one for one in photos.pair_ids.take(rows).to_pylist() if one]
            try:
                drawn = selection_audit.draw(at.site, pairs, int(n), called or name, actor=at.person)
            except GenbaError as error:
                show_error(error)
            else:
                st.toast(_("Drawn: {n}").format(n=number(drawn, at.language)), icon=":material/check:")
    for found in selection_audit.estimates(at.site)[:5]:
        st.markdown(f"**{escaped(found.name)}**")
        note(estimate_words(found, at))


def estimate_words(found: selection_audit.SelectionEstimate, at: Opened) -> str:
    """ "4 bad captions of 20 (95 %: 2 to 9), 10 judged of 10 drawn"."""
    _ = at.translate
    counts = {"judged": number(found.judged, at.language), "drawn": number(found.drawn, at.language)}
    if found.bad is None or found.low is None or found.high is None:
        return _("{judged} judged of {drawn} drawn").format(**counts)
    return _("about {bad} bad captions of {size} (95 %: {low} to {high}), {judged} judged of {drawn} drawn").format(
        bad=number(found.bad, at.language), size=number(found.size, at.language),
        low=number(found.low, at.language), high=number(found.high, at.language), **counts,
    )  # fmt: skip


def _export(photos: Photos, rows: Ints, at: Opened) -> None:
    _ = at.translate
    note(_("One row a photo: caption, review state, risk, place on the map, columns."))
    for suffix, label in ((".csv", _("As CSV")), (".parquet", _("As Parquet"))):
        st.download_button(
            label, functools.partial(exported, at.site, photos, rows, suffix), file_name=f"selection{suffix}",
            mime=MIME[suffix], key=f"explore-export{suffix}", on_click="ignore", icon=":material/download:",
        )  # fmt: skip


def exported(site: Site, photos: Photos, rows: Ints, suffix: str) -> bytes:
    """The chosen photos as the bytes of a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"selection{suffix}"
        queue.write(explore.as_table(explore.details(site, photos, rows), photos), path)
        return path.read_bytes()
