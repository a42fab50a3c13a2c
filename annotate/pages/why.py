"""Why is this here: beside the caption a panel with all reasons, photos that it fits better, captions of photos like
this one; beside the photo a panel with the words that pull the caption down, and where in the photo a phrase fits.

Never drawn for a pair that is judged blind. Photos and captions come from stored vectors; only words and places need
the encoder, which is loaded when somebody opens them (annotate/pages/encoder.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from annotate.pages import encoder as encoders
from annotate.pages.elements import Opened, escaped, heat_url, note, opened, photo_url, show_error
from annotate.pages.work import Work
from data.errors import GenbaError
from data.messages import LANGUAGES, number

if TYPE_CHECKING:
    from scoring.encoders import Encoder
    from scoring.explain import Explanation, OtherCaption, OtherPhoto

PANEL_WIDTH = 620
PHOTO_WIDTH, SMALL_WIDTH = 196, 84
HEAT_PANEL_WIDTH = 420
PHRASE_LENGTH = 200


@st.fragment
def show() -> None:
    """The button that opens the panel. What is in the panel is computed when it is open, and alone renewed."""
    hand: Work | None = st.session_state.get("work")
    if hand is None or hand.is_blind:
        return
    at = opened()
    _ = at.translate
    with st.container(horizontal=True, horizontal_alignment="right", key="why"):
        panel = st.popover(
            _("Why is this here?"), icon=":material/help_center:", type="tertiary", key=f"why-{hand.token}",
            on_change=hand.touch,
        )  # fmt: skip
    if not panel.open:
        return
    shown = {
        _("Reasons"): _reasons,
        _("Photos that it fits better"): _photos,
        _("Captions of photos like this one"): _captions,
    }
    with panel, st.container(key="why-panel", width=PANEL_WIDTH):
        tabs = st.tabs(list(shown), key=f"why-tabs-{hand.token}", on_change=hand.touch)
        for tab, draw in zip(tabs, shown.values(), strict=True):
            with tab:
                if tab.open:
                    _draw(draw, hand, at)


def _draw(part: Callable[[Work, Opened], None], hand: Work, at: Opened) -> None:
    try:
        part(hand, at)
    except GenbaError as error:
        show_error(error)


def _explained(hand: Work, at: Opened, encoder: Encoder | None) -> Explanation:
    """Kept for the pair at hand: every click draws the panel again."""
    from scoring.explain import explain

    kept = f"why-{'words' if encoder else 'photos'}"
    key, found = st.session_state.get(kept, (None, None))
    if key != hand.token:
        found = explain(at.site, [hand.pair_id], encoder)[hand.pair_id]
        st.session_state[kept] = (hand.token, found)
    return found


def _reasons(hand: Work, at: Opened) -> None:
    """All of them; beside the caption stand the strongest."""
    from scoring.reasons import words

    if hand.is_missing:
        note(at.translate("This photo has no caption yet."))
    with st.container(gap="xsmall"):
        for reason in hand.row["reasons"]:
            note("• " + words(reason, at.language))


def _photos(hand: Work, at: Opened) -> None:
    """Photos of the site that the caption fits better than its own."""
    _ = at.translate
    if hand.is_missing:
        note(_("This photo has no caption yet."))
        return
    found = _explained(hand, at, None)
    if found.cosine is None:
        note(_("Not known: the encoder does not read this caption, or it has not been scored yet."))
        return
    if not found.fits_better:
        note(_("None: of all photos it fits its own best."))
        return
    note(
        _("How well the caption fits its own photo: {n}. How well it fits these:").format(
            n=_fit(found.cosine, at)
        )
    )
    for column, one in zip(st.columns(3), found.fits_better, strict=False):
        _photo(column, one, PHOTO_WIDTH, at, caption=_fit(one.cosine, at))


def _captions(hand: Work, at: Opened) -> None:
    """What stands on the photos that look most like this one."""
    _ = at.translate
    found = _explained(hand, at, None)
    if not found.like:
        note(
            _("None: no photo like this one has a caption in this language, or nothing has been scored yet.")
        )
    for other in found.like:
        with st.container(horizontal=True, vertical_alignment="center", wrap=False, gap="small"):
            _photo(st, other, SMALL_WIDTH, at)
            st.text(other.caption, width="stretch")


def _photo(
    place: Any, one: OtherPhoto | OtherCaption, width: int, at: Opened, caption: str | None = None
) -> None:
    url = photo_url(at.site, one.image_id)
    alt = at.translate("Photo {name}").format(name=one.image)
    place.image(url, width=width, link=url, alt=alt, caption=caption)


@dataclass(frozen=True)
class Heat:
    """A heat map over the photo: its signed address, the phrase, and how it is to be read."""

    url: str
    phrase: str
    said: str


def heat_panel(hand: Work, at: Opened) -> Heat | None:
    """The button beside the photo: the words of the caption with what each does, and a phrase to look for.

    The map of the phrase lies over the photo itself, so it can be zoomed. Raises GenbaError where the encoder cannot be
    had or a photo cannot be read.
    """
    _ = at.translate
    phrase_key = f"why-phrase-{hand.token}"
    with st.container(key="heat", width="content"):
        panel = st.popover(
            _("Words and places"), icon=":material/local_fire_department:", type="tertiary",
            key=f"heat-{hand.token}", on_change=hand.touch,
        )  # fmt: skip
    phrase = str(st.session_state.get(phrase_key) or "").strip()
    if not panel.open and not phrase:
        return None
    encoder = encoders.loaded(at.site)
    if panel.open:
        with panel, st.container(key="heat-panel", width=HEAT_PANEL_WIDTH):
            if encoder is None:
                encoders.waiting()
            else:
                _words_and_phrase(hand, at, encoder, phrase_key)
    return _heat(hand, at, encoder, phrase) if encoder and phrase else None


def _words_and_phrase(hand: Work, at: Opened, encoder: Encoder, phrase_key: str) -> None:
    _ = at.translate
    if not hand.is_missing:
        _words(hand, at, encoder, phrase_key)
    if _places(hand, at, encoder) is None:
        note(_("This encoder gives one vector for the whole photo and none for its places."))
        return
    st.text_input(
        _("Where does a phrase fit?"), key=phrase_key, max_chars=PHRASE_LENGTH, on_change=hand.touch,
        placeholder=_("Type a phrase"), icon=":material/search:",
    )  # fmt: skip

    def plain() -> None:
        hand.touch()
        st.session_state[phrase_key] = ""

    st.button(_("Show the plain photo"), icon=":material/image:", on_click=plain)


def _words(hand: Work, at: Opened, encoder: Encoder, phrase_key: str) -> None:
    _ = at.translate
    language = hand.row["language"]
    if not encoder.source.reads(language):
        named = LANGUAGES.get(language, language)
        note(_("Not known: the encoder does not read {language}.").format(language=named))
        return
    found = _explained(hand, at, encoder)
    if found.words is None:
        note(_("Not known: the photo or the caption has not been scored yet."))
        return
    if not found.words:
        note(_("The caption is one word: there is none to leave out."))
        return
    note(_("Red: without these words the caption would fit its photo better. A click shows where they fit."))

    def chosen() -> None:
        hand.touch()
        place = st.session_state[pills]
        if place is not None and found.words is not None:
            st.session_state[phrase_key] = found.words[place].word

    pills = f"why-words-{hand.token}"
    words = found.words
    st.pills(
        _("Words"), list(range(len(words))), key=pills, on_change=chosen, label_visibility="collapsed", wrap=True,
        format_func=lambda place: _labelled(words[place].word, words[place].effect, at),
    )  # fmt: skip


def _labelled(word: str, effect: float, at: Opened) -> str:
    """ "rusty −0.03", red when it pulls down by as much as is shown."""
    rounded = round(effect, 2)
    text = f"{escaped(word)} {'+' if rounded > 0 else ''}{_fit(rounded or 0.0, at)}"
    return f":red[**{text}**]" if rounded < 0 else text


def _heat(hand: Work, at: Opened, encoder: Encoder, phrase: str) -> Heat | None:
    from data.heat_maps import keep_heat_map

    _ = at.translate
    places = _places(hand, at, encoder)
    if places is None:
        return None
    heat = places.heat(encoder.encode_texts([phrase])[0])
    url = heat_url(at.site, keep_heat_map(at.site, hand.row["image_id"], heat, places.box))
    said = _(
        "Darkest: it fits best here ({high}). Unchanged: least ({low}). "
        "A hint only: the encoder tells {rows} × {columns} places apart."
    )
    rows, columns = heat.shape
    high, low = _fit(float(heat.max()), at), _fit(float(heat.min()), at)
    words = said.format(high=high, low=low, rows=rows, columns=columns).replace(" × ", "\u00a0×\u00a0")
    return Heat(url, phrase, words)


def _places(hand: Work, at: Opened, encoder: Encoder) -> Any:
    """The places of the photo at hand; None where the encoder has none."""
    from scoring.patches import places_of

    key, found = st.session_state.get("why-places", (None, None))
    if key != hand.token:
        found = places_of(at.site, encoder, hand.row["image_id"])
        st.session_state["why-places"] = (hand.token, found)
    return found


def _fit(cosine: float, at: Opened) -> str:
    """With a real minus, which does not break at the end of a line."""
    return number(cosine, at.language, 2).replace("-", "−")
