"""Why is this here: the panel in both languages, on a site that a real encoder has scored. The real browser:
tests/test_app.py."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from annotate import audit
from annotate.pages import encoder as encoders
from data.heat_maps import heat_file
from data.messages import translator
from data.site import Site
from scoring.score import score
from tests.annotate.sites import rows
from tests.annotate.test_pages import LANGUAGES, rerun, show, texts
from tests.scoring.conftest import make_site

PHOTOS, LIKE, WORDS = "Photos that it fits better", "Captions of photos like this one", "Words and places"


@pytest.fixture
def site(tmp_path: Path, tiny_encoder: Path) -> Site:
    encoders._loading.clear()
    made = make_site(tmp_path, tiny_encoder)
    score(made)
    return made


def pair(site: Site, caption: str) -> str:
    sql = "SELECT pair_id FROM pairs WHERE caption = ? ORDER BY pair_id"
    return str(rows(site, sql, caption)[0]["pair_id"])


def opened(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch, pair_id: str, tab: str = PHOTOS
) -> AppTest:
    """The page with the panel open on one of its tabs, or with that of words and places, and the encoder is there."""
    at = show("correct", site, language, monkeypatch, open_pair=pair_id)
    unfold(at, language, tab)
    deadline = time.monotonic() + 60
    while translator(language)("Loading the encoder") in texts(at):
        assert time.monotonic() < deadline
        time.sleep(0.2)
        rerun(at)
    return at


def unfold(at: AppTest, language: str, tab: str) -> None:
    token = at.session_state["work"].token
    if tab == WORDS:
        at.session_state[f"heat-{token}"] = True
    else:
        at.session_state[f"why-{token}"] = True
        at.session_state[f"why-tabs-{token}"] = translator(language)(tab)
    rerun(at)


def pictures(at: AppTest) -> list[str]:
    """In the panel; the photo itself stands in the viewer."""
    return [url for element in at.image for url in element.value]


def viewed(at: AppTest) -> str:
    """The address of what the viewer shows."""
    shown = [
        json.loads(one.proto.json)
        for one in at.get("bidi_component")
        if one.proto.component_name.endswith("viewer")
    ]
    return str(shown[0]["url"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_closed_it_computes_nothing(site: Site, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at = show("correct", site, language, monkeypatch, open_pair=pair(site, "photo"))
    assert "why-photos" not in at.session_state and "why-words" not in at.session_state
    assert not pictures(at) and "/heat/" not in viewed(at)


@pytest.mark.parametrize("language", LANGUAGES)
def test_photos_that_the_caption_fits_better(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = opened(site, language, monkeypatch, pair(site, "photo"))
    found = at.session_state["why-photos"][1]
    assert len(found.fits_better) > 0
    assert len(pictures(at)) == len(found.fits_better)
    for url, one in zip(pictures(at), found.fits_better, strict=True):
        assert f"/photos/{one.image_id}.jpg?e=" in url, "signed, as every photo"
    said = translator(language)("How well the caption fits its own photo: {n}. How well it fits these:")
    assert said.format(n=f"{found.cosine:.2f}".replace("-", "−")) in texts(at)


@pytest.mark.parametrize("language", LANGUAGES)
def test_captions_of_photos_like_it(site: Site, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at = opened(site, language, monkeypatch, pair(site, "鋼のナット"), LIKE)
    found = at.session_state["why-photos"][1]
    assert [one.caption for one in found.like] == ["真鍮製のボルト2個。左側に軽度の傷。トレイの上"]
    assert all(one.caption in texts(at) for one in found.like)
    assert len(pictures(at)) == len(found.like)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_words_and_where_a_phrase_fits(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = opened(site, language, monkeypatch, pair(site, "two steel bolts on the tray"), WORDS)
    token = at.session_state["work"].token
    pills = next(group for group in at.get("button_group") if group.key == f"why-words-{token}")
    found = at.session_state["why-words"][1]
    assert [one.word for one in found.words] == ["two", "steel", "bolts", "on the tray"]
    for label, one in zip(pills.options, found.words, strict=True):
        assert one.word in label and label.startswith(":red[") == (round(one.effect, 2) < 0)
    assert "/heat/" not in viewed(at), "no heat map before a phrase was chosen"
    pills.set_value(2)
    rerun(at)
    assert at.text_input(key=f"why-phrase-{token}").value == "bolts"
    key = viewed(at).split("/heat/")[1].split(".jpg?e=")[0]
    assert heat_file(site, key).stat().st_size > 500
    assert "2\u00a0×\u00a02" in texts(at)
    at.text_input(key=f"why-phrase-{token}").set_value("a brass nut")
    rerun(at)
    assert key not in viewed(at), "another phrase, another map"


def test_a_click_in_the_panel_counts_as_work(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at = opened(site, "en", monkeypatch, pair(site, "two steel bolts on the tray"), WORDS)
    work = at.session_state["work"]
    work.last_action -= 20
    before = work.active_seconds
    at.text_input(key=f"why-phrase-{work.token}").set_value("bolt")
    rerun(at)
    assert 20 <= work.active_seconds - before < 25


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("tab", [PHOTOS, LIKE, WORDS])
def test_a_pair_that_is_judged_blind_has_no_panel(
    site: Site, language: str, tab: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when its panel was open at the moment when it was drawn."""
    chosen = pair(site, "photo")
    with site.connect() as db:
        db.execute("UPDATE images SET split = 'test'")
    audit.draw(site, 12, seed=1)
    at = show("correct", site, language, monkeypatch, open_pair=chosen)
    work = at.session_state["work"]
    assert work.pair_id == chosen and work.is_blind
    unfold(at, language, tab)
    assert not any(name in at.session_state for name in ("why-photos", "why-words", "why-places"))
    assert not pictures(at) and not at.tabs and "/heat/" not in viewed(at)


def test_what_is_not_known_is_blind_by_default(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at = show("correct", site, "en", monkeypatch, open_pair=pair(site, "photo"))
    work = at.session_state["work"]
    assert not work.is_blind
    for change in ({"audit": True}, {}):
        work.row = {key: value for key, value in work.row.items() if key != "audit"} | change
        assert work.is_blind


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_photo_without_a_caption(site: Site, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _ = translator(language)
    at = opened(site, language, monkeypatch, pair(site, ""))
    assert _("This photo has no caption yet.") in texts(at)
    at = opened(site, language, monkeypatch, pair(site, ""), WORDS)
    token = at.session_state["work"].token
    assert not any(group.key == f"why-words-{token}" for group in at.get("button_group"))
    at.text_input(key=f"why-phrase-{token}").set_value("bolt")
    rerun(at)
    assert "/heat/" in viewed(at), "a phrase can be looked for all the same"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_vectors_is_said_in_words(site: Site, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _ = translator(language)
    for path in site.folder("vectors").rglob("*.parquet"):
        path.unlink()
    chosen = pair(site, "photo")
    assert _("Not known: the encoder does not read this caption, or it has not been scored yet.") in texts(
        opened(site, language, monkeypatch, chosen)
    )
    assert _(
        "None: no photo like this one has a caption in this language, or nothing has been scored yet."
    ) in texts(opened(site, language, monkeypatch, chosen, LIKE))
    assert _("Not known: the photo or the caption has not been scored yet.") in texts(
        opened(site, language, monkeypatch, chosen, WORDS)
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_that_the_encoder_does_not_read(
    site: Site, language: str, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from data.settings import set_value

    english = shutil.copytree(tiny_encoder, tmp_path / "english")
    (english / "genba.json").write_text('{"languages": ["en"]}')
    set_value(site.settings_path, "site", "encoder", f"local-dir:{english}")
    site = Site.open(site.root)
    score(site)
    at = opened(site, language, monkeypatch, pair(site, "鋼のナット"), WORDS)
    said = translator(language)("Not known: the encoder does not read {language}.").format(language="日本語")
    assert said in texts(at)
    assert "why-words" not in at.session_state


@pytest.mark.parametrize("language", LANGUAGES)
def test_weights_that_are_gone_are_an_error_in_words_and_the_rest_works(
    site: Site, language: str, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from data.settings import set_value

    moved = shutil.copytree(tiny_encoder, tmp_path / "moved")
    set_value(site.settings_path, "site", "encoder", f"local-dir:{moved}")
    site = Site.open(site.root)
    score(site)
    shutil.rmtree(moved)
    chosen = pair(site, "photo")
    assert len(pictures(opened(site, language, monkeypatch, chosen))) > 0
    at = opened(site, language, monkeypatch, chosen, WORDS)
    assert translator(language)("This could not be done") in "".join(
        element.value for element in at.markdown
    ).replace("\\", "")
    assert str(moved) in texts(at)
    shutil.copytree(tiny_encoder, moved)
    assert "two" not in texts(at)
    at = opened(site, language, monkeypatch, chosen, WORDS)
    assert str(moved) not in texts(at), "the next look tries again"
    assert any("why-phrase-" in str(field.key) for field in at.text_input)
