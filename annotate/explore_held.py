"""What the web process keeps of a site's map: the photos, the colourings that were asked for, the opened search.

    seen = held(site.root).seen(site)           # Seen, or None while there is no map
    held(site.root).search(site)                # PhotoSearch
    part(site, "points", {…})                   # what a browser fetches: bytes and their kind

Pages and routes share it, so it is locked. It is read anew when the store has changed, and not more often than its own
reading takes a tenth of the time: at a million photos that is some seconds.
"""

from __future__ import annotations

import functools
import hashlib
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from annotate import explore, queue
from annotate.explore import Colouring, Photos
from data.errors import GenbaError
from data.served import is_valid, photo_address, signed
from data.site import Site
from scoring import site_map
from scoring.encoders import source_for_site
from scoring.search import PhotoSearch
from scoring.vectors import VectorStore

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from scoring.encoder_files import EncoderSource
    from scoring.site_map import Stated

SIGNED = "map"  # the name under which addresses of the parts are signed
PARTS = ("points", "colours", "photo")
PATIENCE = 10  # times as long as reading took
LOOK_SECONDS = 0.5  # between two looks whether anything has changed
KEPT_COLOURINGS = 12
CHANGES = """
    SELECT (SELECT count(*) FROM corrections), (SELECT max(created_at) FROM corrections),
           (SELECT count(*) FROM corrections WHERE state = 'active'), (SELECT count(*) FROM audits),
           (SELECT count(*) FROM pairs), (SELECT max(scored_at) FROM scores WHERE encoder = ?)
"""


@dataclass
class Seen:
    """The photos as they were read at one moment. version: of everything, map_version: of the places alone."""

    photos: Photos
    method: str
    version: str
    map_version: str
    columns: list[str]  # extra columns of the captions that tell them apart
    stated: Stated | None  # what the captions state of the template's choices
    colourings: dict[str, Colouring] = field(default_factory=dict)


class Held:
    """Of one site."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._seen: Seen | None = None
        self._search: PhotoSearch | None = None
        self._looked_at, self._read_at, self._cost = 0.0, 0.0, 0.0

    def seen(self, site: Site) -> Seen | None:
        """The photos now, or as they were a moment ago; None while there is no map."""
        with self._lock:
            if self._seen is not None and time.monotonic() - self._looked_at < LOOK_SECONDS:
                return self._seen
            self._looked_at = time.monotonic()
            encoder = site.queue_encoder()
            source = source_for_site(site, encoder)
            place = _map_version(site, source)
            with site.connect() as db:
                changes = db.table(CHANGES, [encoder]).to_pylist()[0]
            version = hashlib.sha256(f"{place} {changes}".encode()).hexdigest()[:16]
            is_fresh = time.monotonic() - self._read_at < PATIENCE * self._cost
            if self._seen and self._seen.map_version == place and (self._seen.version == version or is_fresh):
                return self._seen
            began = time.monotonic()
            found = site_map.load(site, source) if place else None
            self._seen = None
            if found is not None:
                photos, columns = explore.read(site, found, encoder), list(queue.slices(site))
                stated = site_map.stated(site, source, site.template())
                self._seen = Seen(photos, found.method, version, place, columns, stated)
            self._read_at = time.monotonic()
            self._cost = self._read_at - began
            return self._seen

    def colouring(self, site: Site, seen: Seen, by: str) -> Colouring:
        """by: "state", "risk", "slot:ID" or "extra:COLUMN". Raises GenbaError for what there is not."""
        with self._lock:
            if by not in seen.colourings:
                while len(seen.colourings) >= KEPT_COLOURINGS:
                    seen.colourings.pop(next(iter(seen.colourings)))
                seen.colourings[by] = _coloured(site, seen, by)
            return seen.colourings[by]

    def search(self, site: Site) -> PhotoSearch:
        """Opened the first time, and again when photos were embedded or an index was built."""
        with self._lock:
            source = source_for_site(site, site.queue_encoder())
            if self._search is None or not self._search.is_current(VectorStore.of(site, source)):
                self._search = PhotoSearch.open(site, source)
            return self._search


@functools.cache
def held(root: Path) -> Held:
    """What this process keeps of the site in this folder."""
    return Held()


def _map_version(site: Site, source: EncoderSource) -> str:
    """Changes when photos are placed anew or captions were read; "" while there is no map."""
    folder = VectorStore.of(site, source).folder
    path, slots = folder / site_map.FILE, folder / site_map.SLOTS_FILE
    if not path.exists():
        return ""
    times = [one.stat().st_mtime_ns for one in (path, slots) if one.exists()]
    return "-".join([source.fingerprint[:12], *(f"{one:x}" for one in times)])


def _coloured(site: Site, seen: Seen, by: str) -> Colouring:
    kind, _, name = by.partition(":")
    if by == "state":
        return explore.by_state(seen.photos)
    if by == "risk":
        return explore.by_risk(seen.photos)
    if kind == "extra" and name in seen.columns:
        return explore.by_column(site, seen.photos, name)
    if kind == "slot" and seen.stated is not None and name in seen.stated.values:
        return explore.by_slot(site, seen.photos, name, seen.stated)
    slots = seen.stated.slots if seen.stated else []
    known = ["state", "risk", *(f"slot:{one}" for one in slots), *(f"extra:{one}" for one in seen.columns)]
    raise GenbaError(f"The map cannot be coloured by {by!r}.", choices=known, next=f"genba map {site.root}")


def address(site: Site, name: str, **query: str) -> str:
    """The signed address of a part of the map, with what it is asked for."""
    from urllib.parse import urlencode

    path = signed(site, SIGNED, f"/map/{name}")
    return f"{path}&{urlencode(query)}" if query else path


def part(site: Site, name: str, query: Mapping[str, str]) -> tuple[bytes, str]:
    """A part of the map and its kind. Raises PermissionError without a valid signature, GenbaError for an unknown part.

    points: float32 x and y of each drawn photo; colours: a byte each; photo: what the pointer shows of one.
    """
    if not is_valid(site, SIGNED, query.get("e", ""), query.get("s", "")):
        raise PermissionError("this address has expired or is not signed")
    mine = held(site.root)
    seen = mine.seen(site)
    if seen is None or name not in PARTS:
        raise GenbaError(f"The map has no part {name!r} now.", choices=PARTS, next=f"genba map {site.root}")
    if name == "points":
        return seen.photos.xy[seen.photos.drawn].astype("<f4").tobytes(), "application/octet-stream"
    if name == "colours":
        codes = mine.colouring(site, seen, query.get("by", "state")).codes
        return codes[seen.photos.drawn].tobytes(), "application/octet-stream"
    return json.dumps(_about(site, seen.photos, query), ensure_ascii=False).encode(), "application/json"


def _about(site: Site, photos: Photos, query: Mapping[str, str]) -> dict[str, Any]:
    """Of the drawn photo number `at`: caption, the photo's address, review state and risk in words."""
    from annotate.explore_words import risk_words, state_words

    at = query.get("at", "")
    if not at.isascii() or not at.isdigit() or int(at) >= len(photos.drawn):
        raise GenbaError(f"No photo number {at[:12]!r} is drawn.")
    found = explore.details(site, photos, np.array([photos.drawn[int(at)]]))
    if not found:
        return {"caption": "", "photo": "", "words": ""}
    row, language = found[0], "en" if query.get("l") == "en" else "ja"
    words = " · ".join(
        filter(None, [state_words(language)[row["review"]], risk_words(row["risk"], language)])
    )
    return {"caption": row["caption"], "photo": photo_address(site, row["image_id"]), "words": words}


def answer(site: Site, request: Request) -> Response:
    """The route /map/{name}: 403 without a valid signature, 404 for what there is not."""
    from starlette.responses import PlainTextResponse, Response

    try:
        found, kind = part(site, request.path_params["name"], request.query_params)
    except PermissionError as error:
        return PlainTextResponse(str(error), status_code=403)
    except GenbaError as error:
        return PlainTextResponse(str(error), status_code=404)
    is_fixed = "v" in request.query_params  # the address changes with what it leads to
    headers = {
        "Cache-Control": f"private, max-age={3600 if is_fixed else 0}",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(found, media_type=kind, headers=headers)
