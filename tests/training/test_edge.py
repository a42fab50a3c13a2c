"""Models for devices: what is written answers as the model does, alone, and is refused when it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from data.errors import GenbaError
from data.photos import open_photo
from data.settings import set_value
from data.site import Site
from data.store import now
from scoring.encoder_files import META
from scoring.encoders import Encoder, load_encoder, load_for_site, source_for_site, write_encoder
from scoring.onnx_encoder import MANIFEST, find_export
from tests.training.conftest import Made
from training import checklist, edge
from training.edge import export
from training.edge_check import Comparison, Speed, require_equal
from training.edge_program import program
from training.model_files import encoder_of, model_folder

MODEL = "model-1"
YES = {"answer": "yes", "note": "looked at"}
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "open_clip", "transformers", "data", "scoring", "training"):
            raise ImportError(name + " is not on this device")
sys.meta_path.insert(0, Blocked())
import runpy
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def sign(site: Site) -> None:
    answers = dict.fromkeys(checklist.question_names(), YES)
    checklist.sign(site, MODEL, "export", answers, "佐藤")


def with_model(made: Made, base: str) -> tuple[Site, Encoder]:
    """The site with its base encoder as if it had been retrained, and a signed checklist."""
    site = made.site
    encoder = load_encoder(base, "cpu", demo_site=True)
    write_encoder(encoder, model_folder(site, MODEL))
    written = {"fingerprint": source_for_site(site, encoder_of(MODEL)).files_fingerprint}
    (model_folder(site, MODEL) / META).write_text(json.dumps(written))
    with site.connect() as db:
        row = {"model_id": MODEL, "run_id": "run-1", "arm": "corrected", "state": "candidate",
               "encoder": encoder_of(MODEL), "base_encoder": base, "meta": {}, "created_at": now()}  # fmt: skip
        db.insert("models", [row])
    sign(site)
    return site, encoder


@pytest.fixture
def small(small_site: Callable[..., Made], tiny_encoder: Path) -> tuple[Site, Encoder]:
    return with_model(small_site(), f"local-dir:{tiny_encoder}")


def photo_paths(site: Site) -> list[Path]:
    with site.connect() as db:
        rows = db.rows("SELECT root, uri FROM images WHERE split = 'test' ORDER BY uri LIMIT 6")
    return [site.photo_path(row["root"], row["uri"]) for row in rows]


def answers_by_torch(encoder: Encoder, folder: Path, photo: Path) -> list[str]:
    """What the program must print: the nearest prompt of each item, by torch."""
    ready = encoder.preprocess(open_photo(photo, shortest_side=encoder.image_size))[None]
    vector = encoder.encode_images(ready)[0]
    lines = []
    for item in json.loads((folder / "prompts.json").read_text(encoding="utf-8"))["items"]:
        texts = [encoder.encode_texts(prompts).mean(0) for prompts in item["prompts"]]
        best = int(np.argmax([text / np.linalg.norm(text) @ vector for text in texts]))
        lines.append(f"{item['label']} {item['answers'][best]}")
    return lines


def run_program(folder: Path, photo: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, str(folder / "classify.py"), str(photo)], capture_output=True, text=True,
        cwd=folder.parent, env={"PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "utf-8", "PYTHONPATH": ""}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_damaged_weights_are_not_exported_and_do_not_score(
    small: tuple[Site, Encoder], tmp_path: Path
) -> None:
    site, _ = small
    weights = model_folder(site, MODEL) / "open_clip_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 0x40
    weights.write_bytes(bytes(content))
    with pytest.raises(GenbaError, match="not those that its retraining wrote"):
        export(site, MODEL, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(GenbaError, match="not those that its retraining wrote"):
        load_for_site(site, encoder_of(MODEL), "cpu")


def test_an_export_answers_as_its_model_and_runs_without_torch(small: tuple[Site, Encoder]) -> None:
    site, encoder = small
    found = export(site, MODEL, "fp32", "佐藤")
    folder = model_folder(site, MODEL) / "onnx-fp32"
    assert Path(found.folder) == folder and found.encoder == f"onnx:models/{MODEL}/onnx-fp32"
    assert found.report.photo_cosine_lowest > 0.9999 and found.report.text_cosine_lowest > 0.9999
    assert found.report.equal_answers == 1.0 and found.report.accuracy_export == found.report.accuracy_torch
    assert min(found.report.speed_export.photo_ms, found.report.speed_torch.text_ms) > 0
    assert found.report.megabytes_image == (folder / "image.onnx").stat().st_size / 1e6
    with site.connect() as db:
        row = db.rows("SELECT * FROM edge_exports")[0]
        event = db.rows("SELECT actor, detail FROM events WHERE what = 'model.exported'")[0]
        signed = db.value("SELECT checklist_id FROM checklists")
    assert (row["model_id"], row["precision"], row["exported_by"]) == (MODEL, "fp32", "佐藤")
    assert row["report"]["checklist"] == event["detail"]["checklist"] == signed
    text = (folder / "classify.py").read_text(encoding="utf-8")
    assert len(text.splitlines()[1:]) == 13  # besides the line that says what it is
    told = json.loads((folder / "prompts.json").read_text(encoding="utf-8"))["items"]
    assert [item["label"] for item in told] == [
        site.template().slot(item["name"]).label["ja"] for item in told
    ]
    for wrong in ([], [str(folder / "none.jpg")], [str(folder / "prompts.json")]):
        done = subprocess.run(
            [sys.executable, str(folder / "classify.py"), *wrong], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1 and "python classify.py photo.jpg" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
    for photo in photo_paths(site)[:2]:
        assert run_program(folder, photo) == answers_by_torch(encoder, folder, photo)
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_it_is_an_encoder_for_scoring(small: tuple[Site, Encoder], monkeypatch: pytest.MonkeyPatch) -> None:
    from scoring.score import score

    site, encoder = small
    found = export(site, MODEL)
    set_value(site.settings_path, "site", "encoder", found.encoder)
    opened = Site.open(site.root)
    with monkeypatch.context() as machine:
        machine.setattr("torch.cuda.is_available", lambda: True)
        exported = load_for_site(opened)
    assert exported.device == "cpu", "it runs nowhere else, so auto means that"
    assert (exported.id, exported.dim, exported.languages) == (found.encoder, encoder.dim, encoder.languages)
    batch = torch.stack([encoder.preprocess(open_photo(path)) for path in photo_paths(site)])
    texts = ["a brass bolt", "真鍮 の ボルト", "a steel nut with a scratch"]
    assert np.allclose(exported.encode_images(batch), encoder.encode_images(batch), atol=1e-5)
    assert np.allclose(exported.encode_texts(texts), encoder.encode_texts(texts), atol=1e-5)
    assert torch.equal(exported.preprocess(open_photo(photo_paths(site)[0])), batch[0])
    assert exported.source.temperature == pytest.approx(encoder.source.temperature)
    assert exported.is_truncated(texts) == encoder.is_truncated(texts)
    assert score(opened).written > 0
    with site.connect() as db:
        assert db.value("SELECT count(*) FROM scores WHERE encoder = ?", [found.encoder]) > 0
    with pytest.raises(GenbaError, match="cannot be trained"):
        exported.model.train()
    with pytest.raises(GenbaError, match="only open_clip encoders"):
        write_encoder(exported, site.root / "models" / "again")


@pytest.mark.parametrize("precision", [pytest.param("fp16", marks=pytest.mark.long), "int8"])
def test_smaller_ones_keep_the_answers_of_the_demo_encoder(
    precision: str, small_site: Callable[..., Made], tiny_encoder: Path
) -> None:
    made = small_site()
    set_value(made.site.settings_path, "site", "demo", True)
    made = Made(Site.open(made.site.root), made.facts)
    site, encoder = with_model(made, "demo")
    found = export(site, MODEL, precision)
    whole = sum(path.stat().st_size for path in model_folder(site, MODEL).glob("*.safetensors")) / 1e6
    small = found.report.megabytes_image + found.report.megabytes_text
    assert small < {"fp16": 0.56, "int8": 0.35}[precision] * whole
    assert found.report.photo_cosine_mean > 0.98 and found.report.text_cosine_mean > 0.98
    assert found.report.equal_answers and found.report.equal_answers > 0.9
    folder = Path(found.folder)
    kinds = {one.type for one in onnxruntime.InferenceSession(folder / "image.onnx").get_inputs()}
    assert kinds == {"tensor(float)"}  # programs need not know
    photo = photo_paths(site)[0]
    shown = run_program(folder, photo)
    assert (
        sum(a == b for a, b in zip(shown, answers_by_torch(encoder, folder, photo), strict=True))
        >= len(shown) - 1
    )


def test_an_export_that_differs_is_refused_and_nothing_of_it_stays(
    small: tuple[Site, Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, _encoder = small
    write = edge.write_towers

    def damaged(encoder: Encoder, folder: Path) -> None:
        """As if the exporter had got one layer wrong."""
        weights = {name: value.clone() for name, value in encoder.model.state_dict().items()}
        with torch.no_grad():
            for parameter in encoder.model.visual.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        write(encoder, folder)
        encoder.model.load_state_dict(weights)

    monkeypatch.setattr(edge, "write_towers", damaged)
    before = sorted(path.name for path in model_folder(site, MODEL).iterdir())
    with pytest.raises(
        GenbaError, match=r"fp32 export is not good enough: the mean cosine of photos to torch is"
    ):
        export(site, MODEL)
    assert sorted(path.name for path in model_folder(site, MODEL).iterdir()) == before
    with site.connect() as db:
        assert db.value("SELECT count(*) FROM edge_exports") == 0
    checklist.require_for_export(site, MODEL)  # and the signature is not used up


def test_what_is_refused_before_anything_is_written(small: tuple[Site, Encoder], tmp_path: Path) -> None:
    site, _encoder = small
    for arguments, told in (
        ({"model_id": "model-x"}, "No model 'model-x'. Known: model-1"),
        ({"model_id": MODEL, "precision": "int4"}, "No precision 'int4'. Known: fp32, fp16, int8"),
        ({"model_id": MODEL, "format": "tflite"}, "No format 'tflite'. Known: onnx"),
        ({"model_id": MODEL, "output": tmp_path}, "is there already"),
    ):
        with pytest.raises(GenbaError, match=told):
            export(site, **arguments)  # type: ignore[arg-type]
    with site.connect() as db:
        db.execute("DELETE FROM checklists")
    with pytest.raises(GenbaError, match="a checklist that a lead has signed"):
        export(site, MODEL)
    assert not list(model_folder(site, MODEL).glob("*onnx*"))


def test_a_disk_that_is_full_leaves_nothing_behind(
    small: tuple[Site, Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, _encoder = small

    def full(encoder: Encoder, folder: Path) -> None:
        (folder / "image.onnx").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(edge, "write_towers", full)
    with pytest.raises(GenbaError, match="No space left on device"):
        export(site, MODEL)
    assert not list(model_folder(site, MODEL).glob("*onnx*"))


def test_each_limit_refuses_by_itself() -> None:
    speed = Speed(1.0, 1.0, 1.0)
    good = {"photos": 9, "texts": 9, "photo_cosine_mean": 0.99, "photo_cosine_lowest": 0.95, "text_cosine_mean": 0.99,
            "text_cosine_lowest": 0.95, "equal_answers": 0.95, "accuracy_torch": 0.8, "accuracy_export": 0.79,
            "accuracy_photos": 9, "speed_torch": speed, "speed_export": speed, "threads": 1, "megabytes_torch": 1.0,
            "megabytes_image": 1.0, "megabytes_text": 1.0}  # fmt: skip

    def refused(**changed: float | None) -> str:
        try:
            require_equal(Comparison(**{**good, **changed}), "int8")
        except GenbaError as error:
            return error.what
        return ""

    assert refused() == "" and refused(accuracy_torch=None, accuracy_export=None, equal_answers=None) == ""
    assert "the mean cosine of texts to torch is 0.9400, and 0.9500" in refused(text_cosine_mean=0.94)
    assert "the lowest cosine of photos to torch is 0.7000" in refused(photo_cosine_lowest=0.7)
    assert "the share of equal answers is 0.8000" in refused(equal_answers=0.8)
    assert "the slot accuracy is 0.7600, and 0.7700" in refused(accuracy_export=0.76)
    for name in ("photo_cosine_mean", "text_cosine_mean", "photo_cosine_lowest", "text_cosine_lowest"):
        assert "is nan" in refused(**{name: float("nan")})


def test_a_folder_that_is_no_finished_export_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(GenbaError, match=rf"has no {MANIFEST}. Next: genba export-model"):
        find_export(f"onnx:{tmp_path}")
    for name, content in (("image.onnx", ""), ("text.onnx", ""), (MANIFEST, "{}")):
        (tmp_path / name).write_text(content)
    with pytest.raises(GenbaError, match="cannot be read: KeyError 'temperature'"):
        find_export(f"onnx:{tmp_path}")


@pytest.mark.parametrize("mode", ["squash", "shortest", "longest"])
def test_the_program_prepares_a_photo_as_the_encoder_does(mode: str, tmp_path: Path) -> None:
    """A tall photo, each way of pressing it into a square: equal but for rounding at the edges of the crop."""
    from scoring.torchvision_ops import ensure_torchvision

    ensure_torchvision()
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from PIL import Image

    rng = np.random.default_rng(0)
    tall = Image.fromarray(rng.integers(0, 255, (12, 9, 3)).astype(np.uint8)).resize(
        (90, 120), Image.Resampling.BICUBIC
    )
    config = {"size": 32, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4), "interpolation": "bicubic",
              "resize_mode": mode, "fill_color": 0}  # fmt: skip
    line = next(line for line in program(32, config).splitlines() if line.startswith("pixels"))
    from PIL import ImageOps

    names = {"numpy": np, "photo": tall, "Image": Image, "ImageOps": ImageOps,
             "told": {"mean": config["mean"], "std": config["std"]}}  # fmt: skip
    exec(line, names)  # noqa: S102  (a line that we have just written)
    theirs = image_transform_v2(PreprocessCfg(**config), is_train=False)(tall).numpy().transpose(1, 2, 0)
    difference = np.abs(names["pixels"] - theirs)
    assert difference.mean() < 0.06 and np.corrcoef(names["pixels"].ravel(), theirs.ravel())[0, 1] > 0.995
    with pytest.raises(GenbaError, match=r"'stretch', which the program does not know. Known: squash"):
        program(32, {**config, "resize_mode": "stretch"})
