"""Guide: how the pages are used, shown from docs/guide/AUDIENCE/LANGUAGE.md with its pictures; no internet is needed.

A guide is plain Markdown that reads as well on a code host: one `# title`, then `## sections`. A picture stands alone
on its line as `![what it shows](pictures/NAME.png)`, below the folder of its guide. HTML is shown as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from annotate.pages.elements import Opened, opened, shows_errors
from data.errors import GenbaError
from data.messages import LANGUAGES

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "guide"
WIDTH = 760
PICTURE = re.compile(r"^!\[(?P<alt>[^\]]*)\]\((?P<path>[A-Za-z0-9_./-]+)\)$")


@dataclass(frozen=True)
class Picture:
    """A picture between two paragraphs."""

    path: Path
    alt: str


@dataclass(frozen=True)
class Section:
    """What stands under one `##`. `anchor`: the same in every language, so that a page can link to it."""

    title: str
    anchor: str
    parts: tuple[str | Picture, ...]


@dataclass(frozen=True)
class Guide:
    """A guide in one language. `opening`: what stands before the first section."""

    title: str
    opening: tuple[str | Picture, ...]
    sections: tuple[Section, ...]


def audiences() -> list[str]:
    """For whom there is a guide: the folders of docs/guide that have one in every language."""
    order = ["staff", "manager"]
    return [name for name in order if all((FOLDER / name / f"{one}.md").is_file() for one in LANGUAGES)]


def read(audience: str, language: str) -> Guide:
    """A guide from its file. Raises GenbaError for one that is not there."""
    if audience not in audiences() or language not in LANGUAGES:
        raise GenbaError(f"No guide {audience!r} in {language!r}.", choices=audiences())
    blocks = _blocks(audience, language)
    anchors = [_anchor(title) for title, _lines in _blocks(audience, "en")[1:]]
    (title, opening), rest = blocks[0], blocks[1:]
    folder = FOLDER / audience
    sections = tuple(
        Section(name, anchor, _parts(lines, folder))
        for (name, lines), anchor in zip(rest, anchors, strict=True)
    )
    return Guide(title, _parts(opening, folder), sections)


def _blocks(audience: str, language: str) -> list[tuple[str, list[str]]]:
    """(heading, lines below it): the guide's title first, then each section."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for line in (FOLDER / audience / f"{language}.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            found[0] = line[2:].strip(), []
        elif line.startswith("## "):
            found.append((line[3:].strip(), []))
        else:
            found[-1][1].append(line)
    return found


def _anchor(title: str) -> str:
    """ "The keyboard alone" -> "the-keyboard-alone"."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _parts(lines: list[str], folder: Path) -> tuple[str | Picture, ...]:
    """Text and pictures in their order; a picture from outside the guide's folder stays text."""
    parts: list[str | Picture] = []
    text: list[str] = []
    for line in [*lines, None]:
        found = PICTURE.match(line.strip()) if line is not None else None
        path = (folder / found["path"]).resolve() if found else None
        if line is not None and not (path and path.is_relative_to(folder)):
            text.append(line)
            continue
        if joined := "\n".join(text).strip():
            parts.append(joined)
        text = []
        if found and path:
            parts.append(Picture(path, found["alt"]))
    return tuple(parts)


@shows_errors
def page() -> None:
    """The guide of field staff; where there are others, a choice between them."""
    at = opened()
    guide = read(_chosen(at), at.language)
    st.title(guide.title, anchor=False)
    contents, text = st.columns([2, 7], gap="large")
    with contents, st.container(key="guide-contents"):
        st.markdown("\n".join(f"- [{_plain(one.title)}](#{one.anchor})" for one in guide.sections))
    with text, st.container(width=WIDTH, key="guide-text"):
        _show(guide.opening)
        for section in guide.sections:
            st.header(section.title, anchor=section.anchor)
            _show(section.parts)


def _plain(title: str) -> str:
    return re.sub(r"([\\\[\]])", r"\\\1", title)


def _chosen(at: Opened) -> str:
    _ = at.translate
    names = {"staff": _("Field staff"), "manager": _("Managers")}
    known = audiences()
    if len(known) < 2:
        return known[0]
    chosen = st.segmented_control(
        _("For whom"), known, format_func=names.__getitem__, default=known[0], required=True, key="guide-audience",
        label_visibility="collapsed",
    )  # fmt: skip
    return str(chosen)


def _show(parts: tuple[str | Picture, ...]) -> None:
    for part in parts:
        if isinstance(part, Picture):
            with st.container(border=True):
                st.image(str(part.path), alt=part.alt, width="stretch")
        else:
            st.markdown(part)
