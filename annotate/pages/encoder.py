"""The encoder of the web process: loaded once, in the background, when somebody first asks for what needs it.

    encoder = loaded(at.site)          # None while it is being loaded: show `waiting()` and end there

It is the one that ranks the queue, so that what a page shows of words and places fits the scores beside it.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from annotate.pages.elements import note, opened
from data.messages import number
from data.site import Site

if TYPE_CHECKING:
    from scoring.encoders import Encoder

LOOK_SECONDS = 1.0
WHICH_SECONDS = 10.0  # so much later is another encoder noticed


def loaded(site: Site) -> Encoder | None:
    """The encoder, or None while it is loaded. Raises GenbaError when it cannot be had; the next call tries anew."""
    loading = _loading(str(site.root), _which(str(site.root)))
    if not loading.encoder.done():
        return None
    try:
        encoder = loading.encoder.result()
    except Exception:
        _loading.clear()
        raise
    if encoder.source.weights.stat().st_mtime > loading.began_at:  # another checkpoint under the same name
        _loading.clear()
        return None
    return encoder


@st.fragment(run_every=LOOK_SECONDS)
def waiting() -> None:
    """Says that the encoder is being loaded, and draws the page again when it is there."""
    at = opened()
    loading = _loading(str(at.site.root), _which(str(at.site.root)))
    if loading.encoder.done():
        st.rerun()
    seconds = number(time.time() - loading.began_at, at.language)
    st.badge(at.translate("Loading the encoder"), icon=":material/hourglass_top:", color="blue")
    note(at.translate("This happens once and takes some seconds: {n} so far.").format(n=seconds))


@st.cache_data(ttl=WHICH_SECONDS, show_spinner=False)
def _which(root: str) -> str:
    """The encoder that ranks the queue; every click asks, so the store is not."""
    return Site.open(root).queue_encoder()


@dataclass(frozen=True)
class Loading:
    """An encoder to come, and since when (Unix time)."""

    encoder: Future[Encoder]
    began_at: float


@st.cache_resource(max_entries=1, show_spinner=False)
def _loading(root: str, encoder_id: str) -> Loading:
    """One encoder at a time stays in memory."""
    found: Future[Encoder] = Future()

    def load() -> None:
        try:
            from scoring.encoders import load_for_site

            found.set_result(load_for_site(Site.open(root), encoder_id))
        except Exception as error:  # noqa: BLE001  (handed to the page that asks)
            found.set_exception(error)

    threading.Thread(target=load, name="load-encoder", daemon=True).start()
    return Loading(found, time.time())
