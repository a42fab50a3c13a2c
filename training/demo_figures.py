"""Measures the demo's encoder on a site built by data/demo/build.py, and writes its README with the figures.

    python -m training.demo_figures SITE_FOLDER        # prints the figures of data/demo/encoder on these photos

These figures read the truth beside the site: they say how good the demo's encoder is, and no part of Genba sees them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.demo.build import open_photo, read_captions, read_truth
from data.demo.captions import LANGUAGES, WRONG_KINDS

if TYPE_CHECKING:
    from scoring.encoders import Encoder

Figures = dict[str, float]


def auroc(wrong: NDArray[np.floating[Any]], right: NDArray[np.floating[Any]]) -> float:
    """Probability that a wrong caption's cosine lies below a right one's; ties count half. 0.5 is chance.

    auroc([0.1, 0.3], [0.2, 0.4]) == 0.75
    """
    below = np.searchsorted(np.sort(right), wrong, side="right")
    up_to = np.searchsorted(np.sort(right), wrong, side="left")
    return float(1 - (below + up_to).mean() / 2 / len(right))


def recall_at_1(rows: NDArray[np.float32], facts: Sequence[str]) -> float:
    """Share of rows whose highest column has the same facts. rows: (n, n) similarities."""
    best = rows.argmax(axis=1)
    return float(np.mean([facts[index] == facts[found] for index, found in enumerate(best)]))


def measure(encoder: Encoder, site: Path) -> Figures:
    """AUROC of the cosine of wrong against right legacy captions (overall, by language, by kind), and recall@1 with
    right plain captions both ways; another scene with equal facts counts as found."""
    captions, truth = read_captions(site), read_truth(site)
    images = image_vectors(encoder, [site / row["image"] for row in captions])
    cosine = (images * encoder.encode_texts([row["caption"] for row in captions])).sum(axis=1)
    error = np.array([one["error"] for one in truth])
    language = np.array([row["language"] for row in captions])
    found: Figures = {"auroc": auroc(cosine[error != "none"], cosine[error == "none"])}
    for name in LANGUAGES:
        of = language == name
        found[f"auroc_{name}"] = auroc(cosine[of & (error != "none")], cosine[of & (error == "none")])
    for kind in WRONG_KINDS:
        found[f"auroc_{kind}"] = auroc(cosine[error == kind], cosine[error == "none"])
    lowest = np.argsort(cosine)[:300]
    found["wrong_of_lowest_300"] = float((error[lowest] != "none").sum())
    facts = [json.dumps(one["slots"], sort_keys=True) for one in truth]
    for name in LANGUAGES:
        similarity = images @ encoder.encode_texts([one["caption"][name] for one in truth]).T
        found[f"recall_at_1_image_to_text_{name}"] = recall_at_1(similarity, facts)
        found[f"recall_at_1_text_to_image_{name}"] = recall_at_1(similarity.T, facts)
    return found


def image_vectors(encoder: Encoder, photos: Sequence[Path]) -> NDArray[np.float32]:
    """(n, d), unit length. The photos go through the encoder's own preprocessing."""
    import torch

    parts = []
    for start in range(0, len(photos), 100):
        batch = [encoder.preprocess(open_photo(path)) for path in photos[start : start + 100]]
        parts.append(encoder.encode_images(torch.stack(batch)))
    return np.concatenate(parts)


def write_card(folder: Path, figures: Figures, settings: str) -> None:
    """The encoder's README.md: what it is, how it was made, what it reached. `settings` is one line of words."""
    kinds = "".join(f"| {kind} | {figures[f'auroc_{kind}']:.2f} |\n" for kind in WRONG_KINDS)
    recalls = "".join(
        f"| {name} | {figures[f'recall_at_1_image_to_text_{language}']:.2f} "
        f"| {figures[f'recall_at_1_text_to_image_{language}']:.2f} |\n"
        for language, name in (("ja", "Japanese"), ("en", "English"))
    )
    text = CARD.format(
        settings=settings, kinds=kinds, recalls=recalls, auroc=figures["auroc"], ja=figures["auroc_ja"],
        en=figures["auroc_en"], lowest=int(figures["wrong_of_lowest_300"]),
    )  # fmt: skip
    (folder / "README.md").write_text(text, encoding="utf-8")


CARD = """# The demo's encoder

A small image-text encoder for `genba demo`, so that the demo runs without a network. **Trained on rendered scenes only,
of no use outside the demo**: it knows eight kinds of parts on five kinds of tables and has never seen a real photo.
Genba refuses it for any other site (`genba.json` marks it). Licence: Apache-2.0, as the rest of Genba.

- Image tower: timm `mobilenetv4_conv_small` at 96 x 96 pixels, squashed. Text tower: two causal layers, 192 wide, with
  a byte-level BPE of 1,600 tokens learned from the captions. Japanese and English. Both from random weights.
- Format: open_clip local-dir, weights stored in fp16; use it in fp32.
- Made by `genba demo --rebuild-encoder`: {settings}.
- It has never seen rubber, cast iron, chips and burns, which 38 % of the demo's photos have: retraining on the site has
  something to learn.

## Figures

On the 1,200 photos of the demo's site (other scenes than those of the training), 530 of them wrongly captioned.

Cosine, wrong against right legacy captions, AUROC: **{auroc:.2f}** (Japanese {ja:.2f}, English {en:.2f}); {lowest} of
the 300 lowest are wrong. By kind of error:

| kind | AUROC |
|---|---|
{kinds}
Recall@1 among the right captions of all 1,200 photos:

| language | image to text | text to image |
|---|---|---|
{recalls}"""


def main() -> None:
    """Print the figures of the embedded encoder on a built site."""
    import sys

    from scoring.encoders import load_encoder

    print(json.dumps(measure(load_encoder("demo", demo_site=True), Path(sys.argv[1])), indent=1))


if __name__ == "__main__":
    main()
