"""Where each page is made, and what is done before the web process answers. For app.py."""

from __future__ import annotations

import logging
from types import ModuleType

from data.errors import GenbaError
from data.messages import LANGUAGES
from data.site import Site

log = logging.getLogger(__name__)


def preload() -> None:
    """What the first visitor would wait for on top of a page: a second of a processor.

    Modules that are imported where they are needed, catalogues of words, and the first chart."""
    import streamlit.emojis  # noqa: F401  (for choices whose names are not ASCII, as in the switch of languages)

    from dashboards import charts

    modules()
    for language in LANGUAGES:
        charts.load(language)


def open_store(site: Site) -> None:
    """Start the database, beside the server: a store that is held or damaged keeps no page from saying so."""
    try:
        with site.connect():
            pass
    except GenbaError as error:  # every page says it too, with what to do
        log.warning("%s", error)


def modules() -> dict[str, ModuleType]:
    """Of each page by its name in the address. Imported once they are asked for: the process is to start first."""
    from annotate.pages import (
        adjudicate,
        correct,
        explore,
        feedback,
        guide,
        lots,
        queue,
        review,
        template_editor,
    )
    from dashboards.pages import finder, jobs, operations, overview, pilot, privacy, quality, roi, runs, staff

    return {
        "queue": queue, "correct": correct, "explore": explore, "feedback": feedback, "review": review,
        "adjudicate": adjudicate, "lots": lots, "overview": overview, "quality": quality, "staff": staff,
        "finder": finder, "runs": runs, "pilot": pilot, "roi": roi, "privacy": privacy, "jobs": jobs,
        "operations": operations, "template": template_editor, "guide": guide,
    }  # fmt: skip
