"""The live alignment meter: how well do the old caption and the new one fit the photo, among all captions of the site?

Each caption takes its place among those of its own language, by the encoder that ranks the queue, and is never judged
by way of another language. Not shown for a pair that is judged blind. The encoder is loaded in the background.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import streamlit as st

from annotate.pages import encoder as encoders
from annotate.pages.elements import Opened, escaped, note, opened
from annotate.pages.work import Work
from data.errors import GenbaError
from data.messages import LANGUAGES, number
from data.site import Site

if TYPE_CHECKING:
    from scoring.encoders import Encoder
    from scoring.live import LiveScore, LiveScorer

BAR_WIDTH = 72
LOOK_SECONDS = 30.0  # between two looks whether the site was scored anew


@dataclass
class Making:
    """A scorer to come."""

    scorer: Future[LiveScorer]
    looked_at: float = field(default_factory=time.time)


def show(hand: Work, made: Mapping[str, str], at: Opened) -> None:
    """One line: the old caption's place, then that of each new one. Drawn where it is called."""
    if hand.is_blind:
        return
    try:
        scorer = _ready(at.site)
        if scorer is None:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                _waiting()
            return
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key="meter"):
            said = at.translate(
                "The share of this site's captions in the language that fit their photo worse"
            )
            st.caption(at.translate("Fit"), help=escaped(said), width="content")
            _line(scorer, hand, made, at)
    except GenbaError as error:
        said = at.translate("No fit is shown: the encoder cannot be used on this machine.")
        st.caption(said, help=escaped(error.what))


def warm_encoder(site: Site) -> Encoder | None:
    """The encoder when it, and what is read by it, is in memory; None while it is made or when it cannot be had."""
    try:
        scorer = _ready(site)
    except GenbaError:
        return None  # the form says why, beside the fit
    return scorer.encoder if scorer else None


def _line(scorer: LiveScorer, hand: Work, made: Mapping[str, str], at: Opened) -> None:
    shown = [(LANGUAGES[language], language, text) for language, text in made.items() if text]
    if not hand.is_missing:
        shown.insert(0, (at.translate("before"), hand.row["language"], hand.row["caption"]))
    scores = scorer.scores(str(hand.row["image_id"]), [text for _label, _language, text in shown])
    for (label, language, _text), found in zip(shown, scores, strict=True):
        _one(label, language, found, scorer, at)


def _one(label: str, language: str, found: LiveScore | None, scorer: LiveScorer, at: Opened) -> None:
    """A bar with the share of the site's captions in the language that fit their photo worse."""
    _ = at.translate
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", width="content"):
        if found is None or found.place is None:
            named = LANGUAGES.get(language, language)
            reads = scorer.encoder.source.reads(language)
            why = (
                _("not scored yet")
                if reads
                else _("the encoder does not read {language}").format(language=named)
            )
            note(f"{label}: {why}")
            return
        st.progress(found.place, width=BAR_WIDTH)
        percent = number(100 * found.place, at.language)
        st.caption(escaped(f"{label} {percent} %"), width="content")


@st.fragment(run_every=encoders.LOOK_SECONDS)
def _waiting() -> None:
    """Until the encoder is there; then the form is drawn again, with the meter."""
    at = opened()
    try:
        is_there = _ready(at.site) is not None
    except GenbaError:
        is_there = True  # the form says why there is none
    if is_there:
        st.rerun()
    note(at.translate("Fit: the encoder is being loaded. Go on meanwhile."))


def _ready(site: Site) -> LiveScorer | None:
    """The scorer, None while it is made. Raises GenbaError when it cannot be had."""
    encoder = encoders.loaded(site)
    if encoder is None:
        return None
    making = _making(str(site.root), id(encoder), encoder)
    if not making.scorer.done():
        return None
    scorer = making.scorer.result()
    if time.time() - making.looked_at > LOOK_SECONDS:
        making.looked_at = time.time()
        if not scorer.is_current():
            _making.clear()
            return None
    return scorer


@st.cache_resource(max_entries=1, show_spinner=False)
def _making(root: str, which: int, _encoder: Encoder) -> Making:
    """Ids of photos and sorted cosines are read in the background: a large site has millions."""
    found: Future[LiveScorer] = Future()

    def make() -> None:
        try:
            from scoring.live import LiveScorer
            from scoring.slot_embedding import embedding_of, parse_with_origin

            site = Site.open(root)
            scorer = LiveScorer(site, encoder=_encoder)
            for language in site.settings.site.languages:  # the first caption read by meaning takes seconds
                parse_with_origin(site.template(), "warm", language, embedding_of(_encoder, language))
            found.set_result(scorer)
        except Exception as error:  # noqa: BLE001  (handed to the page that asks)
            found.set_exception(error)

    threading.Thread(target=make, name="make-live-scorer", daemon=True).start()
    return Making(found)
