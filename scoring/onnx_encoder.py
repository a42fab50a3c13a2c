"""An exported encoder (`onnx:PATH`) runs with onnxruntime on a CPU; `genba export-model` writes it (training/edge.py).

PATH is a folder:

    image.onnx, text.onnx       (B, 3, S, S) float32, (B, context) int64 -> (B, D) float32, unit length, as `vector`
    open_clip_config.json       how photos are prepared; with the tokenizer's files beside it
    edge.json                   precision, hashes of both files, the temperature; written last

Both files are protocol buffers that hold operators and numbers, no code. The same Encoder as any other comes out of it:
what reads gradients or the inside of the towers (training, heat maps) says that it cannot.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    import torch

    from scoring.encoder_files import EncoderSource

IMAGE, TEXT, MANIFEST = "image.onnx", "text.onnx", "edge.json"
OUTPUT = "vector"
Parts = tuple["torch.nn.Module", Any, "Callable[[PIL.Image.Image], torch.Tensor]", int, int]


def read_manifest(folder: Path) -> dict[str, Any]:
    """edge.json. Raises GenbaError for a folder that is no finished export, or whose files are missing."""
    path = folder / MANIFEST
    missing = [name for name in (MANIFEST, IMAGE, TEXT) if not (folder / name).is_file()]
    if missing:
        raise GenbaError(
            f"{folder} is no exported model: it has no {missing[0]}.", next="genba export-model SITE MODEL"
        )
    try:
        manifest = dict(json.loads(path.read_text(encoding="utf-8")))
        float(manifest["temperature"]), int(manifest["dim"])
    except (ValueError, TypeError, KeyError) as error:
        raise GenbaError(f"{path} cannot be read: {type(error).__name__} {error}.") from None
    return manifest


def find_export(encoder_id: str) -> EncoderSource:
    """The files of `onnx:PATH`. The manifest counts to the fingerprint: it holds the hashes of both towers."""
    from scoring.encoder_files import EncoderSource, read_mark

    folder = Path(encoder_id.removeprefix("onnx:")).expanduser()
    manifest, mark = read_manifest(folder), read_mark(folder)
    return EncoderSource(
        encoder_id, "onnx", folder / IMAGE, json.dumps(manifest, sort_keys=True), int(manifest["dim"]),
        tuple(mark["languages"]), bool(mark.get("genba_demo")), folder,
    )  # fmt: skip


def load_parts(source: EncoderSource, tokenizer: Any) -> Parts:
    """(model, tokenizer, transform, image size, context length). Raises what onnxruntime raises for damaged files."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    folder = source.weights.parent
    manifest = read_manifest(folder)
    preprocess = manifest["preprocess"]
    size = int(preprocess["size"])
    transform = image_transform_v2(PreprocessCfg(**preprocess), is_train=False)
    return _module(folder, preprocess), tokenizer, transform, size, int(tokenizer.context_length)


def _module(folder: Path, preprocess: dict[str, Any]) -> torch.nn.Module:
    """Both sessions as a module with open_clip's two methods and its `visual.preprocess_cfg`."""
    import torch

    image, text = session(folder / IMAGE), session(folder / TEXT)

    class Exported(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.visual = torch.nn.Identity()
            self.visual.preprocess_cfg = preprocess  # type: ignore[assignment]

        def encode_image(self, batch: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(run(image, batch.numpy()))

        def encode_text(self, ids: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(run(text, ids.numpy()))

        def train(self, mode: bool = True) -> Exported:
            if mode:
                raise GenbaError(
                    f"{folder} is an exported model: it cannot be trained.",
                    next="retrain from the model itself",
                )
            return super().train(False)

        def _apply(self, fn: Any, recurse: bool = True) -> Exported:
            if fn(torch.zeros(())).device.type != "cpu":
                raise GenbaError(f"{folder} is an exported model: it runs on the CPU.", next="--device cpu")
            return super()._apply(fn, recurse)

    return Exported().eval()


def session(path: Path, threads: int | None = None) -> Any:
    """An onnxruntime session on the CPU. threads: None = as many as torch uses, so that both share one limit."""
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(opened: Any, batch: np.ndarray) -> np.ndarray:
    """One input in, the vectors out."""
    import numpy as np

    name = opened.get_inputs()[0].name
    found: np.ndarray = np.asarray(opened.run([OUTPUT], {name: np.ascontiguousarray(batch)})[0])
    return found
