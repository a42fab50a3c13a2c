"""Which photos are chosen on the page Explore: kept in the session, one choice at a time.

A choice is a dict: kind ("text", "photo", "like", "area", "one"), what it was made of (words, name, polygon), and but
for an area the photos: ids, for a search with cosines and seconds. {} = all photos.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from annotate.explore_held import held
from annotate.pages.elements import Opened
from data.messages import number

if TYPE_CHECKING:
    from annotate.explore import Ints
    from annotate.explore_held import Seen

HITS = 200  # photos that a search chooses
CHOICE = "explore-choice"  # in the session


def choose(choice: dict[str, Any]) -> None:
    """From now on these photos stand in the grid."""
    st.session_state[CHOICE] = choice
    st.session_state["explore-page"] = 1


def choose_like(at: Opened, image_id: str, name: str) -> None:
    """Photos like this one, itself first."""
    began = time.perf_counter()
    hits = held(at.site.root).search(at.site).like(image_id, HITS)
    choose(
        {"kind": "like", "name": name, "ids": [image_id, *hits.image_ids], "cosines": [1.0, *hits.cosines.tolist()],
         "seconds": time.perf_counter() - began}
    )  # fmt: skip


def found_rows(seen: Seen, choice: dict[str, Any]) -> Ints:
    """The rows of the photos that were found. Looked up once: at a million photos that takes a while."""
    if choice.get("map") != seen.map_version:
        choice["rows"], choice["map"] = seen.photos.rows_of(choice["ids"]), seen.map_version
    rows: Ints = choice["rows"]
    return rows


def name_of(choice: Mapping[str, Any], count: int, at: Opened) -> str:
    """The selection in a line, e.g. for the queue's badge."""
    _ = at.translate
    what = {
        "text": _("search “{words}”").format(words=choice.get("words", "")),
        **dict.fromkeys(("like", "photo"), _("like {name}").format(name=choice.get("name", ""))),
        "area": _("picked on the map"), "one": _("picked on the map"),
    }.get(choice.get("kind", "") if "ids" in choice or "polygon" in choice else "", _("all photos"))  # fmt: skip
    return _("{what}, {n} photos").format(what=what, n=number(count, at.language))
