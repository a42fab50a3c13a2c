"""Writes a model for devices: ONNX files, checked against torch, with a program that needs onnxruntime alone.

    genba export-model SITE MODEL --format onnx --precision int8        export(site, model_id, "int8", by="佐藤")

SITE/models/MODEL/onnx-PRECISION (or --output) then holds

    image.onnx, text.onnx                both towers; vectors of unit length
    prompts.json, classify.py            the template's questions with their texts' vectors, and the program
    open_clip_config.json, tokenizer     what the encoder `onnx:FOLDER` reads besides (scoring/onnx_encoder.py)
    edge.json                            precision, hashes, what the check measured; written last

An export that does not answer as its model does is refused, and nothing of it stays. Each needs its own checklist,
signed by a lead (training/checklist.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from data.jobs import Progress, silent
from data.site import Site
from data.snapshots import Contents, collect
from data.store import now
from scoring.encoder_files import CONFIG, MARK, WEIGHTS
from scoring.encoders import Encoder, load_encoder, load_for_site
from scoring.onnx_encoder import IMAGE, MANIFEST, TEXT
from training import edge_program
from training.bench import Bench, items_of
from training.caption_bench import CaptionBench, Question, photos_of, prompt_vectors, questions
from training.checklist import require_for_export
from training.edge_check import Comparison, compare, require_equal
from training.edge_onnx import PRECISIONS, convert, write_towers
from training.model_files import check_files, encoder_of, model_folder
from training.pixels import Pixels, load_pixels, normalised
from training.registry import models

if TYPE_CHECKING:
    import numpy as np

FORMATS = ("onnx",)
CALIBRATION_PHOTOS = 64
CALIBRATION_TEXTS = 256
STEPS = 4  # of the progress
Row = dict[str, Any]


@dataclass(frozen=True)
class Export:
    """A finished export. encoder: the id under which scoring can use it."""

    export_id: str
    model: str
    precision: str
    folder: str
    encoder: str
    made: dict[str, str]  # file -> how its precision was made
    report: Comparison

    def fields(self) -> Row:
        """For --json and the store."""
        return {**asdict(self), "report": self.report.fields()}


def export(
    site: Site,
    model_id: str,
    precision: str = "fp32",
    by: str = "genba",
    output: Path | None = None,
    format: str = "onnx",
    progress: Progress = silent,
) -> Export:
    """Write, check, record. output: a folder that is not there yet.

    Raises GenbaError: an unknown model, format or precision; damaged weights; no signed checklist; a folder that is
    there; no photo to check with; an export that differs too much from its model.
    """
    if format not in FORMATS:
        raise GenbaError(f"No format {format!r}.", choices=FORMATS)
    if precision not in PRECISIONS:
        raise GenbaError(f"No precision {precision!r}.", choices=PRECISIONS)
    known = [row["model_id"] for row in models(site)]
    if model_id not in known:
        raise GenbaError(f"No model {model_id!r}.", choices=known, next=f"genba models {site.root}")
    check_files(site, model_id)
    checklist = require_for_export(site, model_id)
    folder = output or model_folder(site, model_id) / f"{format}-{precision}"
    with _finished(folder, replaces=output is None) as work, tempfile.TemporaryDirectory() as decoded:
        encoder = load_for_site(site, encoder_of(model_id), "cpu", "fp32")
        progress(0, STEPS, "reading photos")
        bench, photos, texts = _material(site, encoder, Path(decoded))
        progress(1, STEPS, "writing")
        write_towers(encoder, work)
        made = convert(work, precision, photos, texts)
        _write_beside(site, encoder, bench, work, precision)
        progress(2, STEPS, "comparing")
        exported = load_encoder(f"onnx:{work}", "cpu", demo_site=site.settings.site.demo)
        report = compare(encoder, exported, bench)
        require_equal(report, precision)
        _write_manifest(work, {**_manifest(work), "report": report.fields(), "made": made})
    export_id = uuid.uuid4().hex
    found = Export(export_id, model_id, precision, str(folder), _encoder_id(site, folder), made, report)
    with site.connect() as db:
        row = {"export_id": export_id, "model_id": model_id, "format": format, "precision": precision,
               "path": str(folder), "report": {**found.fields(), "checklist": checklist}, "exported_by": by,
               "exported_at": now()}  # fmt: skip
        db.insert("edge_exports", [row])
        db.event(by, "model.exported", {"model": model_id, "precision": precision, "path": str(folder),
                                        "checklist": checklist})  # fmt: skip
    progress(STEPS, STEPS, "done")
    return found


def _encoder_id(site: Site, folder: Path) -> str:
    """Relative to the site where the export lies in it, as promoted models are."""
    real = folder.resolve()
    return f"onnx:{real.relative_to(site.root) if real.is_relative_to(site.root) else real}"


@contextmanager
def _finished(folder: Path, replaces: bool) -> Iterator[Path]:
    """A folder to work in that takes its place when all went well, and is gone when not. Raises GenbaError."""
    if folder.exists() and not replaces:
        raise GenbaError(f"{folder} is there already, so nothing was written.", next="another --output")
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield work
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(work, folder)
        folder.chmod(0o755)  # the folder for work was private
    except OSError as error:
        raise GenbaError(
            f"The export cannot be written to {folder.parent}: {error.strerror or error}. Nothing of it stays.",
            next="make room, or another --output",
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _material(site: Site, encoder: Encoder, decoded: Path) -> tuple[Bench, np.ndarray, np.ndarray]:
    """What the export is checked on (test photos), and what int8 is measured on (training photos and captions):
    (bench, (n, 3, S, S) float32, (m, context) int64)."""
    import torch

    contents = collect(site).read_by(encoder.source.reads)
    items = items_of(contents, "test")
    bench = Bench(
        items, load_pixels(site, encoder, items, decoded), None, None, _asked(site, contents, encoder)
    )
    rows = {row["image_id"]: row for row in contents.train}
    chosen = sorted(rows)[:CALIBRATION_PHOTOS]  # in the order of a hash, so a sample
    pixels = load_pixels(site, encoder, [rows[one] for one in chosen], decoded)
    photos = normalised(torch.from_numpy(pixels.of(chosen)), encoder).numpy()
    captions = dict.fromkeys(row["caption"] for row in contents.train if row["caption"])
    texts = encoder.tokenizer(list(captions)[:CALIBRATION_TEXTS]).numpy()
    return bench, photos, texts


def _asked(site: Site, contents: Contents, encoder: Encoder) -> CaptionBench:
    """The template's questions in every language that the encoder reads; no training photo is decoded for them."""
    import numpy as np

    template = site.template()
    test = photos_of(items_of(contents, "test"), template)
    languages = [one for one in template.languages if encoder.source.reads(one)]
    none = Pixels(np.zeros((0, 3, 1, 1), np.uint8), {})
    return CaptionBench(test, [], none, questions(template, languages, test), "", "", 0.0)


def _write_beside(site: Site, encoder: Encoder, bench: Bench, work: Path, precision: str) -> None:
    """Prompts, program, tokenizer, config, mark, and the manifest that makes the folder an encoder."""
    config: Row = dict(encoder.model.visual.preprocess_cfg)  # type: ignore[union-attr, arg-type]
    asked = bench.captions.questions if bench.captions else []
    told = {"mean": list(config["mean"]), "std": list(config["std"]),
            "items": [_item(site, encoder, question) for question in asked]}  # fmt: skip
    _write_json(work / edge_program.PROMPTS, told)
    text = edge_program.program(encoder.image_size, config)
    (work / edge_program.NAME).write_text(text, encoding="utf-8")
    for path in sorted(Path(encoder.source.weights.parent).iterdir()):
        if path.is_file() and path.name not in (*WEIGHTS, "meta.json"):
            shutil.copyfile(path, work / path.name)
    for needed in (CONFIG, MARK):
        if not (work / needed).is_file():
            raise GenbaError(f"The model {encoder.id!r} has no {needed}: only retrained models are exported.")
    size = encoder.image_size
    preprocess = {**config, "size": size, "mean": list(config["mean"]), "std": list(config["std"])}
    manifest = {"format": "onnx", "precision": precision, "dim": encoder.dim,
                "temperature": encoder.source.temperature, "context_length": encoder.context_length,
                "preprocess": preprocess, "of": encoder.source.files_fingerprint}  # fmt: skip
    hashes = {name: hashlib.sha256((work / name).read_bytes()).hexdigest() for name in (IMAGE, TEXT)}
    _write_manifest(work, {**manifest, "sha256": hashes})


def _item(site: Site, encoder: Encoder, question: Question) -> Row:
    """A question of the template for the program: answers as the first language of the site labels them."""
    slot, language = site.template().slot(question.slot), site.settings.site.languages[0]
    labels = {option.id: option.label.get(language, option.id) for option in slot.options} if slot else {}
    vectors = prompt_vectors(encoder, question)
    label = slot.label.get(language, question.slot) if slot else question.slot
    return {"name": question.slot, "label": label, "ids": question.answers, "prompts": question.prompts,
            "answers": [labels.get(answer, str(answer)) for answer in question.answers],
            "vectors": [[round(float(value), 6) for value in row] for row in vectors]}  # fmt: skip


def _write_json(path: Path, value: Row) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")


def _write_manifest(work: Path, manifest: Row) -> None:
    temporary = work / f"{MANIFEST}.tmp"
    _write_json(temporary, manifest)
    os.replace(temporary, work / MANIFEST)


def _manifest(work: Path) -> Row:
    found: Row = json.loads((work / MANIFEST).read_text(encoding="utf-8"))
    return found
