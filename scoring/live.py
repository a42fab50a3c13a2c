"""One caption, typed a moment ago, against its photo: how well do they fit, among all captions of the site?

    scorer = LiveScorer(site)                                 # loads the text tower and warms it up: some seconds, once
    found = scorer.score(image_id, "two brass bolts, one cracked at the head")
    found.cosine, found.place                                 # 0.41, 0.93: 93 % of the site's captions fit worse

The photo is not touched: its vector is stored. Captions of different languages lie at different distances from photos,
so a caption takes its place among those of its language.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.records import language_of, normalise_caption
from scoring.encoders import load_source, require_usable, source_for_site
from scoring.vectors import VectorStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from data.site import Site
    from scoring.encoders import EncoderSource

NO_LETTERS = "und"


@dataclass(frozen=True)
class LiveScore:
    """How one caption fits its photo."""

    cosine: float
    place: (
        float | None
    )  # share of the site's captions in this language that fit worse, in [0, 1]; None without any
    is_truncated: bool  # longer than the encoder reads: the end did not count


class LiveScorer:
    """The encoder whose scores rank the queue, kept warm, with the stored photos and cosines of the site.

    It shows the site as it was when this was made: see is_current. Safe to call from several threads.
    """

    def __init__(self, site: Site, device: str = "cpu") -> None:
        """Raises GenbaError when the encoder cannot be had."""
        self.site = site
        self.name = site.queue_encoder()
        source = source_for_site(site, self.name)
        store = VectorStore.of(site, source)
        self._stamp = _stamp(store)
        self.images = store.load("images", remove=False)
        self.cosines = cosines_by_language(site, source)
        self.encoder = load_source(source, device)
        self._store = store
        self.encoder.encode_texts(["warm"])  # the first call allocates and compiles

    def score(self, image_id: str, caption: str) -> LiveScore | None:
        """None when the photo has no vector yet, the encoder does not read the caption's language, or there is no word.

        Raises GenbaError when the encoder gives no usable vector.
        """
        words, language = normalise_caption(caption), language_of(caption)
        row = self.images.place.get(image_id)
        if row is None or not words or not self.encoder.source.reads(language):
            return None
        vector = self.encoder.encode_texts([words])
        require_usable(vector, self.encoder.id, "caption", [words])
        cosine = float(self.images.array[row] @ vector[0])
        others = self.cosines.get(language if language != NO_LETTERS else main_language(self.cosines))
        place = None if others is None else float(others.searchsorted(cosine)) / len(others)
        return LiveScore(cosine, place, self.encoder.is_truncated([words])[0])

    def is_current(self) -> bool:
        """False when another encoder ranks the queue, or the site was scored anew: then make a new one."""
        return self.site.queue_encoder() == self.name and _stamp(self._store) == self._stamp


def cosines_by_language(site: Site, source: EncoderSource) -> dict[str, NDArray[np.float64]]:
    """language -> sorted cosines of the captions that were there before any correction."""
    import numpy as np

    with site.connect() as db:
        found = db.connection.sql(
            "SELECT p.language, s.cosine FROM scores s JOIN pairs p ON p.pair_id = s.pair_id "
            "WHERE s.encoder = ? AND s.fingerprint = ? AND s.cosine IS NOT NULL AND p.state = 'captioned' "
            "AND p.origin IN ('legacy', 'draft') ORDER BY s.cosine",
            params=[source.id, source.fingerprint],
        ).fetchnumpy()
    language, cosine = np.asarray(found["language"], dtype=str), np.asarray(found["cosine"], dtype=np.float64)
    return {str(one): cosine[language == one] for one in np.unique(language)}


def main_language(cosines: dict[str, NDArray[np.float64]]) -> str:
    """The one with the most captions: those without letters ("???") take their place among them."""
    return max(cosines, key=lambda language: len(cosines[language]), default=NO_LETTERS)


def _stamp(store: VectorStore) -> int:
    """When the site was last embedded."""
    path = store.folder / "manifest.json"
    return path.stat().st_mtime_ns if path.exists() else 0
