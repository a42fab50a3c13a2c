"""Makes a light base encoder by name: a mobile image tower beside a text tower, in open_clip's local-dir format.

    python -m training.bases mobilenetv4_conv_small FOLDER --text-of local-dir:/models/siglip2
    python -m training.bases MobileCLIP2-S0 FOLDER --captions my-site --image-weights mobile.safetensors

NAME is an open_clip model with a mobile tower (MobileCLIP and others: its image tower is taken) or any timm model. The
text tower is that of another encoder with its weights, so that `retrain.lock = "text"` teaches the new image tower to
speak its language (LiT, Zhai et al. 2022); or a small new one whose tokenizer is learned from a site's captions. The
image tower starts from timm weights in a file, else from random ones: then it knows nothing until it has seen many
photos, tens of thousands and more. Set `site.encoder = "local-dir:FOLDER"` to use the result.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from data.errors import GenbaError, nearest
from data.site import Site
from scoring.encoders import DEMO_ENCODER, Encoder, load_encoder, write_encoder
from training.demo_encoder import write_tokenizer

LIGHT = (
    "MobileCLIP2-S0",
    "MobileCLIP-S1",
    "mobilenetv4_conv_small",
    "repvit_m1",
    "fastvit_t8",
    "tiny_vit_5m_224",
)
FEWEST_CAPTIONS = 10
NEW_TEXT: dict[str, Any] = {
    "context_length": 64, "vocab_size": 8000, "hf_tokenizer_name": "genba", "width": 256, "heads": 8, "layers": 4,
    "pool_type": "eos", "pad_id": 0, "eos_id": 2,
}  # fmt: skip


def make_base(
    name: str,
    folder: Path,
    text_of: str | None = None,
    texts: Sequence[str] | None = None,
    languages: Sequence[str] = ("ja", "en"),
    image_weights: Path | None = None,
    size: int | None = None,
    seed: int = 0,
) -> Encoder:
    """Write the base to `folder`, read it back and return it.

    text_of: an open_clip encoder whose text tower is copied; else `texts`: captions in `languages` that a tokenizer is
    learned from. image_weights: a timm checkpoint of the tower. size: pixels of a side; None: the model's own. seed: of
    random weights. Raises GenbaError: an unknown name, a folder in use, no captions, weights of another model.
    """
    import torch

    if folder.exists() and any(folder.iterdir()):
        raise GenbaError(f"{folder} is not empty.", next="name a new folder")
    vision = vision_config(name, size)
    torch.manual_seed(seed)
    if text_of is not None:
        _beside_the_text_of(text_of, vision, folder, image_weights, name)
    else:
        _beside_a_new_text_tower(texts or (), list(languages), vision, folder, image_weights, name)
    return load_encoder(f"local-dir:{folder}", device="cpu", demo_site=text_of == DEMO_ENCODER)


def vision_config(name: str, size: int | None = None) -> dict[str, Any]:
    """open_clip's vision_cfg of a named light model. Raises GenbaError with the nearest name."""
    open_clip, timm = _libraries()
    if name in open_clip.list_models():
        found = dict(open_clip.get_model_config(name)["vision_cfg"])
        if "timm_model_name" not in found:
            raise GenbaError(f"{name} is no light model: its image tower is a ViT or ResNet.", choices=LIGHT)
        found |= {"timm_model_pretrained": False}
        return found | ({"image_size": size} if size else {})
    if not timm.is_model(name):
        guess = nearest(name, [*open_clip.list_models(), *timm.list_models()])
        hint = f" Did you mean {guess!r}?" if guess else ""
        raise GenbaError(
            f"No light model {name!r}.{hint}", choices=LIGHT, next="name one that timm.list_models() has"
        )
    # The tower's own classifier is the projection, as in MobileCLIP: some pool to another width than they say
    own = timm.get_pretrained_cfg(name)
    side = size or (own.input_size[-1] if own else 224)
    return {"image_size": side, "timm_model_name": name, "timm_model_pretrained": False, "timm_pool": "avg",
            "timm_proj": ""}  # fmt: skip


def _libraries() -> tuple[Any, Any]:
    from scoring.torchvision_ops import ensure_torchvision

    ensure_torchvision()
    import open_clip
    import timm

    return open_clip, timm


def _beside_the_text_of(
    text_of: str, vision: dict[str, Any], folder: Path, image_weights: Path | None, name: str
) -> None:
    """The text tower, its tokenizer and its logit scale, as they are."""
    open_clip, _ = _libraries()
    from open_clip.model import convert_to_custom_text_state_dict

    teacher = load_encoder(text_of, device="cpu", demo_site=text_of == DEMO_ENCODER)
    if teacher.source.kind not in ("folder", "named"):
        raise GenbaError(f"{text_of!r} is no open_clip encoder: its text tower cannot be taken over.",
                         next="genba encoders")  # fmt: skip
    read = json.loads(teacher.source.config_text)
    theirs = read["model_cfg"] if teacher.source.kind == "folder" else read[2]
    kept = {key: theirs[key] for key in ("quick_gelu", "init_logit_bias") if key in theirs}
    uses_quick_gelu = any(isinstance(one, open_clip.transformer.QuickGELU) for one in teacher.model.modules())
    config = {**kept, "embed_dim": teacher.dim, "vision_cfg": vision, "text_cfg": theirs["text_cfg"]}
    config |= {"quick_gelu": True} if uses_quick_gelu else {}
    model = open_clip.CustomTextCLIP(**config)
    state = convert_to_custom_text_state_dict(teacher.model.state_dict())
    text = {key: value for key, value in state.items() if not key.startswith("visual.")}
    missing = {key for key in model.state_dict() if not key.startswith("visual.")} ^ set(text)
    if missing:
        raise GenbaError(
            f"The text tower of {text_of!r} does not fit by itself: {', '.join(sorted(missing)[:3])}."
        )
    model.load_state_dict(text, strict=False)
    _load_image(model, image_weights)
    _require_fit(model, name)
    told = json.dumps(
        {"model_cfg": {**config, "custom_text": True}, "preprocess_cfg": _preprocessing(model)}, indent=1
    )
    source = replace(teacher.source, kind="folder", config_text=told)
    lineage = {"image_tower": name, "base_fingerprint": teacher.source.files_fingerprint}
    write_encoder(replace(teacher, model=model, source=source), folder, lineage)


def _beside_a_new_text_tower(
    texts: Sequence[str],
    languages: list[str],
    vision: dict[str, Any],
    folder: Path,
    image_weights: Path | None,
    name: str,
) -> None:
    """A small causal transformer over a byte-level tokenizer, which can spell any language."""
    open_clip, _ = _libraries()
    from safetensors.torch import save_file

    if len(texts) < FEWEST_CAPTIONS:
        raise GenbaError(
            f"A new text tower needs captions for its tokenizer, at least {FEWEST_CAPTIONS}; there are {len(texts)}.",
            next="--captions SITE, or --text-of ENCODER",
        )
    config = {"embed_dim": NEW_TEXT["width"], "vision_cfg": vision, "text_cfg": NEW_TEXT}
    model = open_clip.CustomTextCLIP(**config)
    _load_image(model, image_weights)
    _require_fit(model, name)
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder, texts, NEW_TEXT["vocab_size"], NEW_TEXT["context_length"])
    weights = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(weights, str(folder / "open_clip_model.safetensors"))
    mark = {"languages": languages, "image_tower": name}
    (folder / "genba.json").write_text(json.dumps(mark, ensure_ascii=False), encoding="utf-8")
    told = {"model_cfg": {**config, "custom_text": True}, "preprocess_cfg": _preprocessing(model)}
    (folder / "open_clip_config.json").write_text(json.dumps(told, indent=1), encoding="utf-8")


def _preprocessing(model: Any) -> dict[str, Any]:
    own = model.visual.trunk.pretrained_cfg
    return {
        "mean": list(own["mean"]),
        "std": list(own["std"]),
        "interpolation": "bicubic",
        "resize_mode": "squash",
    }


def _require_fit(model: Any, name: str) -> None:
    """Raises GenbaError when the image tower cannot take photos of its size."""
    import torch

    width, height = model.visual.image_size
    try:
        with torch.no_grad():
            model.eval().encode_image(torch.zeros(1, 3, height, width))
    except (RuntimeError, AssertionError) as error:
        raise GenbaError(
            f"{name} takes no photos of {width} pixels: {error}.", next="another --size"
        ) from None


def _load_image(model: Any, path: Path | None) -> None:
    """timm's weights into the image tower; those of its classifier are left out. Raises GenbaError."""
    if path is None:
        return
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    trunk = model.visual.trunk
    try:
        found = load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise GenbaError(f"{path} cannot be read as safetensors: {error}.",
                         next="weights are read from safetensors files alone") from None  # fmt: skip
    own = trunk.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{head}." for head in ([own] if isinstance(own, str) else own))
    wanted = {key: value for key, value in trunk.state_dict().items() if not key.startswith(heads)}
    wrong = [key for key, value in wanted.items() if key not in found or found[key].shape != value.shape]
    wrong += [key for key in found if key not in wanted and not key.startswith(heads)]
    if wrong:
        raise GenbaError(f"{path} holds weights of another model: {len(wrong)} do not fit, {wrong[0]} among them.",
                         next="take the checkpoint of the same timm model")  # fmt: skip
    trunk.load_state_dict({key: found[key] for key in wanted}, strict=False)


@click.command()
@click.argument("name")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--text-of", default=None, help="An open_clip encoder whose text tower is taken over.")
@click.option(
    "--captions", default=None, help="A site whose captions the tokenizer of a new text tower learns."
)
@click.option("--image-weights", type=click.Path(dir_okay=False, path_type=Path), help="timm's, safetensors.")
@click.option(
    "--size", type=click.IntRange(min=16), default=None, help="Pixels of a side; default: the model's own."
)
@click.option("--seed", type=int, default=0, show_default=True)
def main(
    name: str,
    folder: Path,
    text_of: str | None,
    captions: str | None,
    image_weights: Path | None,
    size: int | None,
    seed: int,
) -> None:
    """Make a light base encoder NAME in FOLDER."""
    try:
        texts, languages = _captions_of(captions) if captions else (None, ["ja", "en"])
        made = make_base(name, folder, text_of, texts, languages, image_weights, size, seed)
    except GenbaError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    count = sum(parameter.numel() for parameter in made.model.parameters()) / 1e6
    start = (
        "its image tower is random"
        if image_weights is None
        else f"its image tower is that of {image_weights}"
    )
    click.echo(f"{made.id}: {count:.1f} million parameters, {made.image_size} pixels; {start}.")


def _captions_of(folder: str) -> tuple[list[str], list[str]]:
    site = Site.open(folder)
    with site.connect() as db:
        rows = db.rows("SELECT DISTINCT caption FROM pairs WHERE state = 'captioned' ORDER BY caption")
    return [row["caption"] for row in rows], list(site.settings.site.languages)


if __name__ == "__main__":
    main()
