"""The short program that stands beside an exported model and needs onnxruntime, numpy and Pillow alone.

    python classify.py photo.jpg         # one line an item of the template: its label, and the likeliest answer

It prepares a photo as the encoder does; the three ways in which encoders press a photo into a square are each one call
of Pillow. Genba's own decoding of a large photo may differ by a grey level or two.
"""

from __future__ import annotations

from typing import Any

from data.errors import GenbaError

NAME, PROMPTS = "classify.py", "prompts.json"
FITS = {
    "squash": "photo.resize(({side}, {side}), Image.Resampling.{how})",
    "shortest": "ImageOps.fit(photo, ({side}, {side}), Image.Resampling.{how})",
    "longest": "ImageOps.pad(photo, ({side}, {side}), Image.Resampling.{how}, color={fill})",
}
TEXT = '''\
"""What a photo shows, by the exported model beside this file: python {name} photo.jpg"""
import json, pathlib, sys, numpy, onnxruntime
from PIL import Image, ImageOps
here = pathlib.Path(__file__).parent
told = json.loads((here / "{prompts}").read_text(encoding="utf-8"))
try:
    photo = ImageOps.exif_transpose(Image.open("".join(sys.argv[1:2]))).convert("RGB")
except OSError as error:
    sys.exit(f"{{__doc__}} ({{error}})")
pixels = (numpy.asarray({fit}, "float32") / 255 - told["mean"]) / told["std"]
model = onnxruntime.InferenceSession(here / "image.onnx", providers=["CPUExecutionProvider"])
vector = model.run(None, {{"image": pixels.transpose(2, 0, 1)[None].astype("float32")}})[0][0]
for item in told["items"]:
    print(item["label"], item["answers"][(numpy.array(item["vectors"]) @ vector).argmax()])
'''


def program(side: int, preprocess: dict[str, Any]) -> str:
    """Its text. preprocess: open_clip's. Raises GenbaError for a way of preparing photos that it does not know."""
    mode, how = preprocess["resize_mode"], str(preprocess["interpolation"]).upper()
    if mode not in FITS:
        raise GenbaError(f"Photos are prepared by {mode!r}, which the program does not know.", choices=FITS)
    fill = int(preprocess.get("fill_color") or 0)
    fit = FITS[mode].format(side=side, how=how, fill=(fill,) * 3)
    return TEXT.format(name=NAME, prompts=PROMPTS, fit=fit)
