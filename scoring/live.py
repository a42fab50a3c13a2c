"""One caption, typed a moment ago, against its photo: how well do they fit, among all captions of the site?

    scorer = LiveScorer(site)                                 # loads the text tower and warms it up: some seconds, once
    scorer = LiveScorer(site, encoder=encoder)                # or with one that is in memory already
    found = scorer.score(image_id, "two brass bolts, one cracked at the head")
    found.cosine, found.place                                 # 0.41, 0.93: 93 % of the site's captions fit worse
    scorer.scores(image_id, captions)                         # several at once: one pass of the encoder

The photo is not touched: its vector is stored, and is read when it is asked for. Captions of different
languages lie at different distances from photos, so a caption takes its place among those of its language.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.records import language_of, normalise_caption
from scoring.encoders import load_source, require_usable, source_for_site
from scoring.vectors import VectorStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from data.site import Site
    from scoring.encoders import Encoder, EncoderSource

NO_LETTERS = "und"
KEPT_TEXTS = 2048  # vectors: 4 MB


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

    def __init__(self, site: Site, device: str = "cpu", encoder: Encoder | None = None) -> None:
        """encoder: the one that ranks the queue, where the process has it. Raises GenbaError when it cannot be had."""
        self.site = site
        self.name = site.queue_encoder()
        source = encoder.source if encoder else source_for_site(site, self.name)
        store = VectorStore.of(site, source)
        self._stamp = _stamp(store)
        self.images = store.load("images", remove=False)
        self.cosines = cosines_by_language(site, source)
        self.encoder = encoder or load_source(source, device)
        self._store = store
        self._texts: dict[str, tuple[NDArray[np.float32], bool]] = {}  # a form makes the same captions again
        self.encoder.encode_texts(["warm"])  # the first call allocates and compiles

    def score(self, image_id: str, caption: str) -> LiveScore | None:
        """One of `scores`."""
        return self.scores(image_id, [caption])[0]

    def scores(self, image_id: str, captions: Sequence[str]) -> list[LiveScore | None]:
        """For each caption; what is new among them goes through the encoder together.

        None when the photo has no vector yet, the encoder does not read the caption's language, or there is no word.
        Raises GenbaError when the encoder gives no usable vector.
        """
        row = int(self.images.rows([image_id])[0])
        asked = [(normalise_caption(caption), language_of(caption)) for caption in captions]
        usable = [
            bool(words) and row >= 0 and self.encoder.source.reads(language) for words, language in asked
        ]
        known = self._encoded(
            [words for (words, _), is_usable in zip(asked, usable, strict=True) if is_usable]
        )
        found: list[LiveScore | None] = []
        for (words, language), is_usable in zip(asked, usable, strict=True):
            if not is_usable:
                found.append(None)
                continue
            vector, is_truncated = known[words]
            cosine = float(self.images.array[row] @ vector)
            found.append(LiveScore(cosine, self._place(cosine, language), is_truncated))
        return found

    def _place(self, cosine: float, language: str) -> float | None:
        others = self.cosines.get(language if language != NO_LETTERS else main_language(self.cosines))
        return None if others is None else float(others.searchsorted(cosine)) / len(others)

    def _encoded(self, texts: Sequence[str]) -> dict[str, tuple[NDArray[np.float32], bool]]:
        """Text -> (D,), and whether its end did not count."""
        known = dict(self._texts)
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            vectors = self.encoder.encode_texts(new)
            require_usable(vectors, self.encoder.id, "caption", new)
            added = dict(zip(new, zip(vectors, self.encoder.is_truncated(new), strict=True), strict=True))
            known = {**known, **added}
            self._texts = {
                **(known if len(known) < KEPT_TEXTS else {}),
                **added,
            }  # in one step: others read it
        return {text: known[text] for text in texts}

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
