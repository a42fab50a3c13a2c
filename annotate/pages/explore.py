"""Explore: a map of all photos, a search by words or by a photo, and what may be done with the photos one has chosen.

A lasso, a click, a search or the legend filters the grid (annotate/pages/explore_grid.py); what is chosen goes into the
queue, under a blind audit, or into a file (annotate/pages/explore_actions.py). Coordinates and search index are made by
the worker's job "map" (scoring/site_map.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from annotate import explore
from annotate.explore_held import Seen, held
from annotate.explore_words import label_words
from annotate.pages import encoder, explore_actions, explore_grid, keys
from annotate.pages.elements import Opened, empty, map_url, note, opened, shows_errors
from annotate.pages.explore_choice import CHOICE, HITS, choose, found_rows, name_of
from annotate.pages.jobs_strip import live_strip
from data import jobs
from data.messages import LANGUAGES, number
from data.photos import PhotoError
from data.records import language_of
from scoring import site_map
from scoring.catalogue import readers_of
from scoring.encoders import require_usable, source_for_site
from scoring.search import photo_vector
from scoring.vectors import VectorStore

if TYPE_CHECKING:
    from annotate.explore import Colouring, Ints

MOST_MEGABYTES = 25  # of a photo to search by


@shows_errors
def page() -> None:
    """The page Explore."""
    at = opened()
    _ = at.translate
    head, search = st.columns([1, 4], vertical_alignment="bottom")
    head.title(_("Explore"), anchor=False)
    seen = held(at.site.root).seen(at.site)
    if seen is not None:
        with search:
            _search_bar(at)
    live_strip()
    if seen is None:
        _no_map(at)
        return
    with st.container():  # always there, so that nothing below is drawn anew when a note comes or goes
        _renew(seen, at)
        if {"words", "photo"} & st.session_state.get(CHOICE, {}).keys():
            _look_up(at)
    left, right = st.columns([1.08, 1], gap="medium")
    with left:
        by, colouring = _colour_choice(seen, at)
        choice = st.session_state.get(CHOICE, {})
        _map(seen, by, colouring, choice, at)
    with right:
        rows = _rows(seen, colouring, by, choice)
        with st.container():
            _chosen(choice, rows, at)
        with st.container():
            explore_actions.show(seen.photos, rows, name_of(choice, len(rows), at), at)
        explore_grid.show(seen.photos, rows, choice, at)


def _no_map(at: Opened) -> None:
    """Why there is no map, and what brings it."""
    _ = at.translate
    store = VectorStore.of(at.site, source_for_site(at.site, at.site.queue_encoder()))
    if not store.shards("images"):
        empty(
            _("No photo is embedded yet"),
            _("The map appears here once the captions are scored."), ":material/scatter_plot:",
            lambda: st.code(f"genba score {at.site.root}", language=None, width="content"),
        )  # fmt: skip
        return
    if "map" in _active(at):
        empty(
            _("The map is being made"), _("It appears here as soon as the worker has placed all photos."),
            ":material/hourglass_top:",
        )  # fmt: skip
        return
    empty(
        _("No map yet"), _("It shows each photo near to what is like it, and makes them searchable."),
        ":material/scatter_plot:", lambda: _make_button(_("Make the map"), "make-map", {}, at),
    )  # fmt: skip


def _make_button(label: str, key: str, arguments: dict[str, Any], at: Opened) -> None:
    if st.button(
        label, key=key, type="primary" if key == "make-map" else "secondary", icon=":material/play_arrow:"
    ):
        _enqueue(arguments, at.person, at)
        st.rerun()


def _enqueue(arguments: dict[str, Any], who: str, at: Opened) -> None:
    with at.site.connect() as db:
        jobs.enqueue(db, "map", arguments, who)
        db.event(who, "job.queued", {"name": "map", "arguments": arguments})


def _active(at: Opened) -> set[str]:
    """Names of jobs that wait or run."""
    with at.site.connect() as db:
        return {job.name for job in jobs.jobs(db, limit=20) if job.state in jobs.ACTIVE}


def _renew(seen: Seen, at: Opened) -> None:
    """Photos came since the map was made, the template is another one, or the index cannot be used: the worker makes
    it anew, nobody need ask."""
    _ = at.translate
    source = source_for_site(at.site, at.site.queue_encoder())
    search = held(at.site.root).search(at.site)
    if search.trouble:
        st.warning(search.trouble, icon=":material/build:")
    if site_map.is_due(at.site, source) or search.is_due or search.trouble or seen.stated is None:
        note(
            _(
                "The map is being renewed. Until then some photos or colours are missing, and the search is slower."
            )
        )
        if "map" not in _active(at):
            _enqueue({}, "genba", at)


# What is chosen.


def _search_bar(at: Opened) -> None:
    _ = at.translate
    source = source_for_site(at.site, at.site.queue_encoder())
    read = [name for code, name in LANGUAGES.items() if source.reads(code)]
    comma = "、" if at.language == "ja" else ", "
    bar, own = st.columns([5, 1], vertical_alignment="bottom")
    with own.popover(_("By a photo"), icon=":material/add_photo_alternate:", width="stretch"):
        st.file_uploader(
            _("Search for photos like one of yours (JPEG, PNG or WebP). It is not kept."),
            ["jpg", "jpeg", "png", "webp"], max_upload_size=MOST_MEGABYTES, key="explore-upload",
            on_change=_choose_upload,
        )  # fmt: skip
    with bar.form("explore-search", border=False, enter_to_submit=True):
        field, button = st.columns([5, 1], vertical_alignment="bottom")
        words = field.text_input(
            _("Search the photos by words ({languages})").format(languages=comma.join(read)), max_chars=200,
            placeholder=_("What is to be seen in the photo"), key="explore-words", icon=":material/search:",
        )  # fmt: skip
        if button.form_submit_button(_("Search"), width="stretch"):
            choose({"kind": "text", "words": words.strip()} if words.strip() else {})


def _choose_upload() -> None:
    """A photo was given, or taken away."""
    given = st.session_state["explore-upload"]
    choose({"kind": "photo", "name": given.name, "photo": given.getvalue()} if given else {})


def _look_up(at: Opened) -> None:
    """Fill in what a search by words or by a photo from outside finds; while the encoder is loaded, say so."""
    _ = at.translate
    choice = st.session_state[CHOICE]
    if "ids" in choice:
        return
    source = source_for_site(at.site, at.site.queue_encoder())
    language = language_of(choice["words"]) if "words" in choice else None
    if language and not source.reads(language):
        reader = next(iter(readers_of(language)), None)
        st.warning(
            _(
                "The encoder in use does not read {language}, so it cannot search in it. One that does: {encoder}"
            ).format(language=LANGUAGES.get(language, language), encoder=reader.id if reader else "-"),
            icon=":material/translate:",
        )
        choose({})
        return
    loaded = encoder.loaded(at.site)
    if loaded is None:
        encoder.waiting()
        return
    began = time.perf_counter()
    if "photo" in choice:
        try:
            vector = photo_vector(
                loaded, choice.pop("photo"), choice["name"], at.site.settings.photos.max_megapixels
            )
        except PhotoError as error:
            choose({})
            st.warning(error.what, icon=":material/broken_image:")
            return
    else:
        vector = loaded.encode_texts([choice["words"]])
        require_usable(vector, loaded.id, "text", [choice["words"]])
    hits = held(at.site.root).search(at.site).nearest(vector[0], HITS)
    choice |= {
        "ids": hits.image_ids,
        "cosines": hits.cosines.tolist(),
        "seconds": time.perf_counter() - began,
    }


def _rows(seen: Seen, colouring: Colouring, by: str, choice: dict[str, Any]) -> Ints:
    """The chosen photos in the order of the grid, without those that the legend hides."""
    photos = seen.photos
    if "ids" in choice:
        rows = found_rows(seen, choice)
    elif choice.get("kind") == "area":
        rows = explore.riskiest_first(photos, np.flatnonzero(explore.inside(photos.xy, choice["polygon"])))
    else:
        rows = explore.riskiest_first(photos, np.arange(len(photos)))
    hidden = [place for place, label in enumerate(colouring.labels) if label in _hidden(by)]
    return rows[~np.isin(colouring.codes[rows], hidden)] if hidden else rows


def _hidden(by: str) -> list[str]:
    """Labels that are switched off in the legend of this colouring."""
    found: list[str] = st.session_state.get("explore-hidden", {}).get(by, [])
    return found


def _chosen(choice: Mapping[str, Any], rows: Ints, at: Opened) -> None:
    _ = at.translate
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.text(name_of(choice, len(rows), at))
        if choice and st.button(
            _("Show all photos"), key="explore-clear", type="tertiary", icon=":material/filter_alt_off:"
        ):
            choose({})
            st.rerun()
    if "seconds" in choice:
        note(_("Found in {n} ms").format(n=number(1000 * choice["seconds"], at.language)))


# The map.


def _colour_choice(seen: Seen, at: Opened) -> tuple[str, Colouring]:
    """What colours the points. A choice that is gone (another template) falls back to the review state."""
    _ = at.translate
    template = at.site.template()
    names = {"state": _("Review state"), "risk": _("Risk")}
    for slot_id in seen.stated.slots if seen.stated else ():
        slot = template.slot(slot_id)
        if slot is not None:
            names[f"slot:{slot_id}"] = str(slot.label.get(at.language, slot_id))  # type: ignore[call-overload]
    names |= {f"extra:{column}": column for column in seen.columns}
    held_by = st.session_state.get("explore-by-kept", "state")
    options = list(names)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        by = st.selectbox(
            _("Colour"), options, index=options.index(held_by) if held_by in options else 0,
            format_func=names.__getitem__, key="explore-by", width=200,
        )  # fmt: skip
        methods = {"pca": _("Main directions (PCA)"), "tsne": _("Neighbourhoods (t-SNE)")}
        method = st.selectbox(
            _("Layout"), list(methods), index=list(methods).index(seen.method), format_func=methods.__getitem__,
            key="explore-method", width=230,
        )  # fmt: skip
        if method != seen.method:
            if "map" in _active(at):
                note(_("The map is being made"))
            else:
                _make_button(_("Lay out anew"), "lay-out", {"method": method}, at)
    st.session_state["explore-by-kept"] = by
    return by, held(at.site.root).colouring(at.site, seen, by)


def _map(seen: Seen, by: str, colouring: Colouring, choice: dict[str, Any], at: Opened) -> None:
    _ = at.translate
    photos = seen.photos
    marks: list[list[float]] = []
    if "ids" in choice:
        marks = photos.xy[found_rows(seen, choice)[: HITS // 4]].tolist()

    data = {
        "points": map_url(at.site, "points", v=seen.map_version),
        "colours": map_url(at.site, "colours", v=seen.version, by=by),
        "about": map_url(at.site, "photo", l=at.language), "palette": list(colouring.colours),
        "labels": label_words(colouring, by, at.site.template(), at.language),
        "counts": [number(n, at.language) for n in colouring.counts()],
        "hidden": [place for place, label in enumerate(colouring.labels) if label in _hidden(by)],
        "polygon": choice.get("polygon"), "marks": marks, "words": _map_words(len(photos), at),
    }  # fmt: skip

    def acted() -> None:
        what = st.session_state["site-map"].act
        if what:
            _act(what, seen, by, colouring)

    keys.component("map", "site-map", data, on_act_change=acted)
    if len(photos.drawn) < len(photos):
        note(
            _("{n} of {all} photos are drawn, at random; a selection counts all.").format(
                n=number(len(photos.drawn), at.language), all=number(len(photos), at.language)
            )
        )
    if seen.method == "tsne":
        note(_("Near is alike; what lies far apart here need not be very different."))


def _map_words(count: int, at: Opened) -> dict[str, str]:
    _ = at.translate
    return {
        "label": _(
            "Map of {n} photos. Arrows move, plus and minus zoom, Enter chooses what lies in the ring, Escape shows "
            "all."
        ).format(n=number(count, at.language)),
        "tools": _("Tools of the map"), "legend": _("Colours: press one to hide it"), "lasso": _("Lasso"),
        "box": _("Box"), "move": _("Move"), "in": _("Closer"), "out": _("Farther"), "whole": _("Whole map"),
        "loading": _("Loading the map"),
        "failed": _("The map could not be loaded. Load the page again."),
    }  # fmt: skip


def _act(what: Mapping[str, Any], seen: Seen, by: str, colouring: Colouring) -> None:
    """Something was done on the map. What a browser says is checked: it may be older than the map."""
    kind = what.get("kind")
    if kind == "area":
        corners = [(float(x), float(y)) for x, y in what["polygon"][:200]]
        choose({"kind": "area", "polygon": corners})
    elif kind == "one" and 0 <= int(what["at"]) < len(seen.photos.drawn):
        row = int(seen.photos.drawn[int(what["at"])])
        choose({"kind": "one", "ids": [seen.photos.image_ids[row].as_py()]})
    elif kind == "hide":
        labels = [
            colouring.labels[int(place)] for place in what["hidden"] if int(place) < len(colouring.labels)
        ]
        st.session_state["explore-hidden"] = {**st.session_state.get("explore-hidden", {}), by: labels}
        st.session_state["explore-page"] = 1
    elif kind == "clear":
        choose({})
