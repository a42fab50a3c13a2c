"""An encoder's towers as ONNX files, in fp32, fp16 or int8.

    write_towers(encoder, folder)                                  # image.onnx, text.onnx in fp32
    convert(folder, "int8", calibration)                           # in place

Both towers end in vectors of unit length, so that a program needs no more than a dot product.

fp16 and int8 are each tried in several ways (WAYS), for no way is good for every tower: the weights alone, or the
arithmetic too. Of those whose vectors come near enough to fp32 (NEAR), the smallest is kept; where two are about as
small, the one that is named first. Measured: static int8 takes a MobileNetV4 from 11.1 to 3.1 MB at a mean cosine of
0.97, and dynamic int8 leaves its convolutions as they are; a multilingual BERT has activations that neither fp16 nor
int8 can hold, so there only the weights shrink.
"""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from scoring.encoders import Encoder
from scoring.onnx_encoder import IMAGE, OUTPUT, TEXT, run, session

if TYPE_CHECKING:
    import numpy as np
    import torch

PRECISIONS = ("fp32", "fp16", "int8")
INPUTS = {IMAGE: "image", TEXT: "text"}
CALIBRATION_BATCH = 8
NEAR = {"fp16": 0.999, "int8": 0.95}  # mean cosine to fp32, on what ranges were measured on
ABOUT = 1.1  # two files are about as small
FEWEST_WEIGHTS = 1024  # a smaller tensor stays as it is
HALF_MOST = 65504.0  # the largest number in fp16
FP32_ALWAYS = ("LayerNormalization", "Gelu")
EXAMPLES = ("a", "b c")
CHATTY = ("torch.onnx", "onnxscript", "onnx_ir", "root")


def write_towers(encoder: Encoder, folder: Path) -> None:
    """image.onnx and text.onnx of an open_clip encoder on the CPU, in fp32, any batch size.

    Raises GenbaError for an encoder that is none of open_clip's, and for a tower that torch cannot export.
    """
    import torch

    if encoder.source.kind not in ("folder", "named"):
        raise GenbaError(
            f"{encoder.id!r} is a {encoder.source.kind} encoder; only open_clip encoders are exported."
        )
    side = encoder.image_size
    images = torch.zeros(2, 3, side, side)
    texts = encoder.tokenizer(list(EXAMPLES))
    for name, example in ((IMAGE, images), (TEXT, texts)):
        _write(_tower(encoder.model, name), example, folder / name)


def _tower(model: Any, name: str) -> torch.nn.Module:
    import torch

    encode = model.encode_image if name == IMAGE else model.encode_text

    class Tower(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.normalize(encode(batch), dim=-1)

    return Tower().eval()


def _write(tower: torch.nn.Module, example: torch.Tensor, path: Path) -> None:
    import torch

    # Whether torch's fused attention is traced depends on this switch; the plain form is what other runtimes know.
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                tower, (example,), dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=[INPUTS[path.name]], output_names=[OUTPUT], external_data=False, verbose=False,
            )  # fmt: skip
            if program is None:
                raise GenbaError(f"torch gave no ONNX program for {path.stem}.")
            program.save(str(path))
    except torch.onnx.OnnxExporterError as error:
        first = str(error).strip().splitlines()[0]
        raise GenbaError(f"The {path.stem} tower cannot be exported to ONNX: {first}.",
                         next="export a model with another base: genba encoders") from error  # fmt: skip
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells its own deprecations, the quantiser its advice; neither is about the model at hand."""
    loggers = [logging.getLogger(name) for name in CHATTY]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, before, strict=True):
            one.setLevel(level)


def convert(folder: Path, precision: str, photos: np.ndarray, texts: np.ndarray) -> dict[str, str]:
    """Replace both fp32 files by the precision asked for; returns the way in which each was made.

    photos: (n, 3, S, S) float32 to measure ranges and nearness on, prepared; texts: (m, context) int64. Raises
    GenbaError when no way gives a file that onnxruntime loads.
    """
    if precision == "fp32":
        return {}
    return {
        name: _convert(folder / name, precision, given) for name, given in ((IMAGE, photos), (TEXT, texts))
    }


@dataclass(frozen=True)
class _Made:
    way: str
    path: Path
    cosine: float  # mean, to fp32; -1 for vectors that are no numbers

    @property
    def size(self) -> int:
        return self.path.stat().st_size


def _convert(path: Path, precision: str, given: np.ndarray) -> str:
    wanted = run(session(path), given)
    found: list[_Made] = []
    why = ""
    for way, make in WAYS[precision].items():
        made = path.with_suffix(f".{way}")
        with _quiet():
            make(path, made, given)
        trouble = _trouble_with(made)
        if trouble:
            why = trouble
            made.unlink()
            continue
        found.append(_Made(way, made, _mean_cosine(run(session(made), given), wanted)))
    if not found:
        raise GenbaError(f"onnxruntime loads no {precision} file of the {path.stem} tower: {why}.",
                         next="--precision fp32")  # fmt: skip
    best = _best(found, NEAR[precision])
    for one in found:
        if one is not best:
            one.path.unlink()
    os.replace(best.path, path)
    return f"{precision} {best.way}"


def _best(found: Sequence[_Made], near: float) -> _Made:
    """The first that is near enough and about as small as the smallest of those; the nearest when none is."""
    close = [one for one in found if one.cosine >= near]
    if not close:
        return max(found, key=lambda one: one.cosine)
    smallest = min(one.size for one in close)
    return next(one for one in close if one.size <= ABOUT * smallest)


def _trouble_with(path: Path) -> str:
    """Why onnxruntime cannot load a file, or "". In a process of its own: a crash must not end the worker."""
    load = "import onnxruntime, sys; onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])"
    done = subprocess.run(
        [sys.executable, "-c", load, str(path)], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1][:300]


def _mean_cosine(vectors: np.ndarray, wanted: np.ndarray) -> float:
    """wanted: of unit length; vectors that are rounded need not be. -1 where a vector is no number."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1).clip(1e-12)
    mean = float(((vectors * wanted).sum(1) / lengths).mean())
    return mean if np.isfinite(mean) else -1.0


def _half_arithmetic(path: Path, made: Path, _given: np.ndarray) -> None:
    """Weights and arithmetic in fp16; inputs and outputs stay float32, so that programs need not know.

    FP32_ALWAYS stay fp32: they lose most in fp16, hold hardly any weights, and onnxruntime 1.32 crashes on a CPU while
    it loads a transformer whose LayerNormalization and Gelu are both fp16.
    """
    import onnx
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    kept = [*DEFAULT_OP_BLOCK_LIST, *FP32_ALWAYS]
    onnx.save(
        convert_float_to_float16(onnx.load(str(path)), keep_io_types=True, op_block_list=kept), str(made)
    )


def _half_weights(path: Path, made: Path, _given: np.ndarray) -> None:
    """Weights are kept in fp16 and made fp32 again when the file is loaded; the arithmetic is fp32."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(path))
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or np.prod(weight.dims) < FEWEST_WEIGHTS:
            continue
        name, half = weight.name, f"{weight.name}_half"
        values = numpy_helper.to_array(weight)
        weight.CopyFrom(numpy_helper.from_array(values.clip(-HALF_MOST, HALF_MOST).astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, str(made))


def _static(path: Path, made: Path, given: np.ndarray) -> None:
    """Weights by channel, and activations, whose ranges are measured on `given`."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    name = INPUTS[path.name]
    ready = made.with_suffix(".ready")
    quant_pre_process(str(path), str(ready), skip_symbolic_shape=True)

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(
                given[at : at + CALIBRATION_BATCH] for at in range(0, len(given), CALIBRATION_BATCH)
            )

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {name: batch}

    quantize_static(
        str(ready), str(made), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    ready.unlink()


def _dynamic(path: Path, made: Path, _given: np.ndarray) -> None:
    """The weights of matrix products and embeddings; the ranges of what they are multiplied with as it comes."""
    _quantize(path, made, ["MatMul", "Gemm", "Gather"])


def _embeddings(path: Path, made: Path, _given: np.ndarray) -> None:
    """The table of tokens alone: most of a multilingual text tower."""
    _quantize(path, made, ["Gather"])


def _quantize(path: Path, made: Path, operators: list[str]) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        str(path), str(made), op_types_to_quantize=operators, per_channel=True, weight_type=QuantType.QInt8
    )


Way = Callable[[Path, Path, "np.ndarray"], None]
WAYS: dict[str, dict[str, Way]] = {
    "fp16": {"arithmetic": _half_arithmetic, "weights": _half_weights},
    "int8": {"static": _static, "dynamic": _dynamic, "embeddings": _embeddings},
}
