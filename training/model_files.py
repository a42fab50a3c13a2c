"""A retrained model on disk: SITE/models/ID in open_clip's local-dir format, with meta.json, written last.

meta.json holds where the model comes from (run, snapshot, base, code, settings, seeds), what it measured, and a few
cosines of held-out photos and captions: a model that is read back must give the same. Only safetensors are read; a
folder that holds a pickle, whatever it is called, is refused, because opening one can run code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from data.photos import open_photo
from data.site import Site
from scoring.encoder_files import META, PICKLES, require_as_written
from scoring.encoders import Encoder, load_for_site, source_for_site, write_encoder
from training.lineage import code_version

if TYPE_CHECKING:
    import torch

CHECKED_PAIRS = 8
PICKLE_SUFFIXES = (*PICKLES, ".pkl", ".pickle", ".joblib", ".npy", ".npz")
PROTOCOLS = range(2, 6)  # of pickle: its files begin with 0x80 and the protocol
ZIP = b"PK\x03\x04"  # torch.save and numpy.savez write one around their pickles
TOLERANCE = 5e-3  # of a cosine: other devices round differently, other weights are far off
Row = dict[str, Any]


def model_folder(site: Site, model_id: str) -> Path:
    """SITE/models/ID."""
    return site.folder("models") / model_id


def encoder_of(model_id: str) -> str:
    """The encoder id of a model as the store keeps it: relative to the site."""
    return f"local-dir:models/{model_id}"


def write_model(
    site: Site,
    encoder: Encoder,
    weights: Mapping[str, torch.Tensor],
    model_id: str,
    meta: Row,
    items: Sequence[Row],
) -> Row:
    """Write the model, read it back, compare, write meta.json; returns what meta.json holds.

    items: checked captions, of which the first few are compared.
    """
    encoder.model.load_state_dict(dict(weights))
    folder = model_folder(site, model_id)
    lineage = {key: meta[key] for key in ("run_id", "snapshot_id", "arm")}
    write_encoder(encoder, folder, extra=lineage)
    source = source_for_site(site, encoder_of(model_id))
    pairs = sorted(items, key=lambda item: item["item_id"])[:CHECKED_PAIRS]
    check = [{key: pair[key] for key in ("root", "uri", "caption")} for pair in pairs]
    cosines = score_pairs(site, encoder, check)
    meta = {**meta, "model_id": model_id, "fingerprint": source.files_fingerprint, "code": code_version(),
            "check": [{**pair, "cosine": cosine} for pair, cosine in zip(check, cosines, strict=True)]}  # fmt: skip
    _compare(site, model_id, meta, encoder.device)
    temporary = folder / f"{META}.tmp"
    temporary.write_text(json.dumps(meta, indent=1, ensure_ascii=False), encoding="utf-8")
    os.replace(temporary, folder / META)
    return meta


def read_meta(site: Site, model_id: str) -> Row:
    """Raises GenbaError for a model whose files are gone or were never finished."""
    path = model_folder(site, model_id) / META
    if not path.is_file():
        raise GenbaError(f"The model {model_id} has lost its files: there is no {path}.",
                         next=f"genba retrain {site.root}")  # fmt: skip
    meta: Row = json.loads(path.read_text(encoding="utf-8"))
    return meta


def check_model(site: Site, model_id: str, device: str = "cpu") -> None:
    """Read the model back: the same files as were written, and the same cosines. Raises GenbaError."""
    check_files(site, model_id)
    _compare(site, model_id, read_meta(site, model_id), device)


def check_files(site: Site, model_id: str) -> None:
    """The files are there, no pickle is among them, and they are those that were written. Raises GenbaError."""
    read_meta(site, model_id)
    require_no_pickle(model_folder(site, model_id))
    require_as_written(source_for_site(site, encoder_of(model_id)))


def require_no_pickle(folder: Path) -> None:
    """Raises GenbaError for a file that is a pickle by its name or by its first bytes. None is opened as one."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (path.suffix.lower() in PICKLE_SUFFIXES or _begins_like_a_pickle(path)):
            raise GenbaError(
                f"{path} is a pickle, or is called like one. It is never opened, because opening one can run code.",
                next=f"remove {path}",
            )


def _begins_like_a_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4)
    return start == ZIP or (len(start) > 1 and start[0] == 0x80 and start[1] in PROTOCOLS)


def _compare(site: Site, model_id: str, meta: Row, device: str) -> None:
    encoder = load_for_site(site, encoder_of(model_id), device, "fp32")
    for pair, cosine in zip(meta["check"], score_pairs(site, encoder, meta["check"]), strict=True):
        if not abs(cosine - pair["cosine"]) <= TOLERANCE:
            raise GenbaError(
                f"The model {model_id}, read back, scores {pair['uri']} {cosine:.4f}; it was {pair['cosine']:.4f}.",
                next=f"genba retrain {site.root}",
            )


def score_pairs(site: Site, encoder: Encoder, pairs: Sequence[Row]) -> list[float]:
    """Cosine of each pair's photo and caption, in fp32."""
    import torch

    if not pairs:
        return []
    exact = replace(encoder, precision="fp32")
    photos = [
        open_photo(site.photo_path(pair["root"], pair["uri"]), shortest_side=encoder.image_size)
        for pair in pairs
    ]
    images = exact.encode_images(torch.stack([exact.preprocess(photo) for photo in photos]))
    texts = exact.encode_texts([pair["caption"] for pair in pairs])
    return [float(cosine) for cosine in (images * texts).sum(1)]
