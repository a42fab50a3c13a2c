"""Turns photos and captions into vectors that can be compared. The only module that loads an open_clip model.

    encoder = load_encoder("local-dir:/models/siglip2", device="auto")
    batch = torch.stack([encoder.preprocess(photo) for photo in photos])     # (B, 3, S, S)
    images = encoder.encode_images(batch)                                    # (B, D) float32, unit length
    texts = encoder.encode_texts(["a brass bolt with a scratch on a tray"])  # (1, D) float32, unit length
    cosine = images @ texts.T
    encoder = load_for_site(site)                                            # the one that the site uses

Nothing here falls back: weights that are absent, a device that is absent and a checkpoint that does not fit its config
are errors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from scoring import tokens
from scoring.catalogue import DEFAULT_ENCODER, DEMO_ENCODER, ENCODERS, KnownEncoder, real_encoders
from scoring.encoder_files import (
    CONFIG,
    WEIGHTS,
    EncoderSource,
    canonical_id,
    require_as_written,
    resolve_encoder,
    slug,
    write_mark,
)

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    import torch
    from numpy.typing import NDArray

    from data.site import Site

__all__ = ["DEFAULT_ENCODER", "DEMO_ENCODER", "DEVICES", "ENCODERS", "Encoder", "EncoderSource", "KnownEncoder",
           "canonical_id", "load_encoder", "load_for_site", "load_source", "load_tokenizer", "pick_device",
           "real_encoders", "require_usable", "resolve_encoder", "slug", "source_for_site",
           "write_encoder"]  # fmt: skip

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("fp32", "bf16")
TEXT_BATCH = 64
MANY_CONVOLUTIONS = (
    8  # a vision transformer has one; for convolutional towers channels_last is about twice as fast
)


@dataclass
class Encoder:
    """A loaded encoder. `model` is open_clip's (or a wrapper with the same two methods) and may be fine-tuned."""

    source: EncoderSource
    model: torch.nn.Module
    tokenizer: Any  # list[str] -> (B, context_length) int64
    transform: Callable[[PIL.Image.Image], torch.Tensor]
    image_size: int
    context_length: int
    device: str
    precision: str  # "fp32", or "bf16": autocast around fp32 weights
    compiled: bool = False  # by torch.compile, for batches of photos: scoring/for_photos.py

    @property
    def id(self) -> str:
        return self.source.id

    @property
    def dim(self) -> int:
        return self.source.dim

    @property
    def languages(self) -> tuple[str, ...]:
        return self.source.languages

    @property
    def fingerprint(self) -> str:
        return self.source.fingerprint

    def preprocess(self, photo: PIL.Image.Image) -> torch.Tensor:
        """A photo of any size as the model wants it: (3, image_size, image_size) float32. Safe to call from threads.

        SigLIP 2 NaFlex keeps the photo's shape: (patches, values of a patch + 2); encode_images takes both.
        """
        return self.transform(photo.convert("RGB"))

    def encode_images(self, batch: torch.Tensor) -> NDArray[np.float32]:
        """(B, 3, S, S) preprocessed photos -> (B, D) float32, unit length. Raises GenbaError for another size."""
        import torch

        wanted = (3, self.image_size, self.image_size)
        if batch.ndim == 4 and tuple(batch.shape[1:]) != wanted:
            raise GenbaError(
                f"The encoder {self.id!r} takes photos of {' x '.join(map(str, wanted))}, not of "
                f"{' x '.join(map(str, batch.shape[1:]))}: prepare them with its own preprocess()."
            )
        batch = batch.to(self.device, non_blocking=batch.is_pinned())
        if self.device == "cpu" and is_convolutional(self.model):
            batch = batch.contiguous(memory_format=torch.channels_last)
        with self._inference():
            return _unit(self.model.encode_image(batch))  # type: ignore[operator]

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """N captions -> (N, D) float32, unit length. Words past `context_length` tokens are cut: see `truncated`."""
        import numpy as np

        parts: list[NDArray[np.float32]] = [np.zeros((0, self.dim), dtype=np.float32)]
        with self._inference():
            for start in range(0, len(texts), TEXT_BATCH):
                ids = self.tokenizer(list(texts[start : start + TEXT_BATCH])).to(self.device)
                parts.append(_unit(self.model.encode_text(ids)))  # type: ignore[operator]
        return np.concatenate(parts)

    def is_truncated(self, texts: Sequence[str]) -> list[bool]:
        """For each caption, whether it is longer than the encoder reads. Only tokenises."""
        return tokens.is_truncated(self.tokenizer, self.context_length, texts)

    def truncated(self, texts: Sequence[str]) -> int:
        """How many of the captions are longer than the encoder reads. Only tokenises."""
        return sum(self.is_truncated(texts))

    def unknown_share(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """(N,) share of each caption's tokens that its vocabulary does not know: see tokens.unknown_share."""
        return tokens.unknown_share(self.tokenizer, texts)

    @contextmanager
    def _inference(self) -> Iterator[None]:
        """Evaluation mode, no gradients, the precision; the training mode is put back (training scores in between)."""
        import torch

        was_training = self.model.training
        if was_training:  # a walk through all layers
            self.model.eval()
        autocast: AbstractContextManager[Any] = (
            torch.autocast(self.device, dtype=torch.bfloat16) if self.precision == "bf16" else nullcontext()
        )
        try:
            with torch.no_grad(), autocast:
                yield
        finally:
            if was_training:
                self.model.train()


def load_encoder(
    encoder_id: str,
    device: str = "auto",
    precision: str | None = None,
    demo_site: bool = False,
    compiled: bool = False,
) -> Encoder:
    """Load an encoder by id: MODEL/PRETRAINED, local-dir:PATH, hf-hub:REPOSITORY, transformers:PATH, onnx:PATH or
    demo.

    device: auto | cpu | cuda | mps; asking for one that is absent is an error. precision: None (fp32, or what a site
    sets) | fp32 | bf16, which is faster on GPUs and some CPUs, gives slightly other vectors, and so is another
    fingerprint. compiled: torch.compile the image tower, a minute at the first photos. Raises GenbaError: see
    resolve_encoder, and when weights and config do not fit.
    """
    return load_source(resolve_encoder(encoder_id, demo_site), device, precision, compiled)


def load_for_site(
    site: Site, encoder_id: str | None = None, device: str = "auto", precision: str | None = None
) -> Encoder:
    """Load an encoder of a site; None = the one in use (a promoted model, else the base encoder of genba.toml)."""
    return load_source(source_for_site(site, encoder_id), device, precision)


def source_for_site(site: Site, encoder_id: str | None = None) -> EncoderSource:
    """The files of an encoder of a site, nothing loaded. Its id stays as the site's tables have it.

    `local-dir:models/ID` (a promoted model) is relative to the site, so that a copied site works. Connects to
    the store.
    """
    named = encoder_id or site.encoder_id()
    found = resolve_encoder(_from_root(named, site.root), demo_site=site.settings.site.demo)
    return replace(found, id=named, precision=site.settings.site.precision)


def _from_root(encoder_id: str, root: Path) -> str:
    """A relative folder means one inside the site; `transformers:NAME` may also be a repository."""
    for prefix in ("local-dir:", "transformers:", "onnx:"):
        path = Path(encoder_id.removeprefix(prefix)).expanduser()
        if encoder_id.startswith(prefix) and (prefix != "transformers:" or (root / path).is_dir()):
            return f"{prefix}{root / path}"  # an absolute path stands for itself
    return encoder_id


def load_source(
    source: EncoderSource, device: str = "auto", precision: str | None = None, compiled: bool = False
) -> Encoder:
    """Load the files of an encoder that resolve_encoder or source_for_site found; see load_encoder."""
    chosen = (
        "cpu" if source.kind == "onnx" and device == "auto" else pick_device(device)
    )  # it runs nowhere else
    if precision not in (None, *PRECISIONS):
        raise GenbaError(f"No precision {precision!r}.", choices=PRECISIONS)
    require_as_written(source)
    load = {"transformers": _load_transformers, "onnx": _load_onnx}.get(source.kind, _load_open_clip)
    with _loading(source):
        model, tokenizer, transform, image_size, context_length = load(source)
    model = model.to(chosen).eval()
    if chosen == "cpu" and is_convolutional(model):
        import torch

        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if precision not in (None, source.precision):
        source = replace(source, precision=precision)  # type: ignore[arg-type]
    return Encoder(
        source, model, tokenizer, transform, image_size, context_length, chosen, source.precision, compiled
    )


def load_tokenizer(source: EncoderSource) -> tuple[Any, int]:
    """(tokenizer, context length) of an encoder, for scoring.tokens; no weights are read. Raises as load_source."""
    with _loading(source):
        if source.kind == "transformers":
            from scoring.transformers_encoder import load_tokenizer as of_transformers

            found = of_transformers(source.weights.parent)
            return found, found.context_length
        tokenizer = _open_clip_tokenizer(source)
        return tokenizer, int(tokenizer.context_length)


def require_usable(vectors: NDArray[np.float32], encoder_id: str, what: str, names: Sequence[str]) -> None:
    """Raises GenbaError that names the first photo or caption whose vector is NaN or zero. vectors: (N, D)."""
    import numpy as np

    norm = np.linalg.norm(vectors, axis=1)
    for row in np.flatnonzero(~(np.abs(norm - 1) < 0.01))[:1]:  # NaN compares as not smaller
        kind = "zero" if norm[row] == 0 else "not a number"
        raise GenbaError(
            f"The encoder {encoder_id!r} gave no usable vector for the {what} {names[row]!r}: it is {kind}. Its "
            "weights are damaged, or too large for the precision in use.",
            next="--device cpu, or another encoder: genba encoders",
        )


def pick_device(device: str) -> str:
    """The device that will be used. "auto" takes cuda, then mps, then cpu; a named one that is absent is an error."""
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, is_there in present.items() if is_there)
    if device not in present:
        raise GenbaError(f"No device {device!r}.", choices=DEVICES)
    if not present[device]:
        there = [name for name, is_there in present.items() if is_there]
        raise GenbaError(
            f"This machine has no usable {device!r}.", choices=["auto", *there], next="--device auto"
        )
    return device


def is_convolutional(model: torch.nn.Module) -> bool:
    """Whether the image tower is built of convolutions (and so gains from channels_last on a CPU)."""
    import torch

    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in model.modules())
    return convolutions > MANY_CONVOLUTIONS


def write_encoder(encoder: Encoder, folder: Path, extra: dict[str, Any] | None = None) -> None:
    """Write an open_clip encoder (retrained, say) in local-dir format: tokenizer, weights, genba.json, config last.

    The demo mark and the languages are inherited from the encoder's source; `extra` goes into genba.json.
    """
    from safetensors.torch import save_file

    if encoder.source.kind in ("transformers", "onnx"):
        raise GenbaError(
            f"{encoder.id!r} is a {encoder.source.kind} encoder; only open_clip encoders can be written."
        )
    folder.mkdir(parents=True, exist_ok=True)
    if hasattr(encoder.tokenizer, "save_pretrained"):
        encoder.tokenizer.save_pretrained(str(folder))
    tensors = {
        name: value.detach().cpu().contiguous().clone() for name, value in encoder.model.state_dict().items()
    }
    save_file(tensors, str(folder / WEIGHTS[0]))
    write_mark(folder, encoder.source, extra)
    text = encoder.source.config_text
    if encoder.source.kind == "named":
        config = {"model_cfg": json.loads(text)[2], "preprocess_cfg": _preprocess_cfg(encoder.model)}
        text = json.dumps(config, indent=1)
    (folder / CONFIG).write_text(text, encoding="utf-8")


def _preprocess_cfg(model: torch.nn.Module) -> dict[str, Any]:
    kept = ("mean", "std", "interpolation", "resize_mode")
    return {key: value for key, value in model.visual.preprocess_cfg.items() if key in kept}  # type: ignore[union-attr, operator]


def _unit(features: torch.Tensor) -> NDArray[np.float32]:
    import torch

    return torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()


Parts = tuple["torch.nn.Module", Any, "Callable[[PIL.Image.Image], torch.Tensor]", int, int]


def _load_open_clip(source: EncoderSource) -> Parts:
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2

    if source.kind == "folder":
        name = f"local-dir:{source.folder}"
        model = open_clip.create_model(name, require_pretrained=True)
    else:
        name, tag, _ = json.loads(source.config_text)
        published = open_clip.get_pretrained_cfg(name, tag)
        model = open_clip.create_model(
            name,
            pretrained=str(source.weights),
            require_pretrained=True,
            force_quick_gelu=bool(published.get("quick_gelu")),
            force_preprocess_cfg={k: published[k] for k in ("mean", "std", "interpolation", "resize_mode")},
        )
    tokenizer = _open_clip_tokenizer(source)
    transform = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
    size = model.visual.image_size
    return (
        model,
        tokenizer,
        transform,
        size[0] if isinstance(size, tuple) else int(size),
        tokenizer.context_length,
    )


def _open_clip_tokenizer(source: EncoderSource) -> Any:
    import open_clip

    name = json.loads(source.config_text)[0] if source.kind == "named" else f"local-dir:{source.folder}"
    tokenizer = open_clip.get_tokenizer(name)
    tokens.require_words(tokenizer, str(source.folder or source.id))
    return tokenizer


def _load_transformers(source: EncoderSource) -> Parts:
    from scoring.transformers_encoder import load_parts

    return load_parts(source.weights.parent)


def _load_onnx(source: EncoderSource) -> Parts:
    from scoring.onnx_encoder import load_parts

    return load_parts(source, _open_clip_tokenizer(source))


@contextmanager
def _loading(source: EncoderSource) -> Iterator[None]:
    """Around what the libraries do with an encoder's files: no network, and every failure as a GenbaError.

    The hub client would ask the network for a tokenizer or config; so its look-ups go to its cache only.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        what = f"The encoder {source.id!r} cannot be loaded from {source.weights.parent}"
        with told_failures(what, next_command="genba encoders"):
            yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def told_failures(what: str, next_command: str) -> Iterator[None]:
    """Around what the libraries do with a model's files: every failure as a GenbaError that begins with `what`."""
    from safetensors import SafetensorError

    from scoring.torchvision_ops import ensure_torchvision

    ensure_torchvision()
    try:
        yield
    except (RuntimeError, OSError, ValueError, LookupError, AttributeError, TypeError, ImportError,
            SafetensorError) as error:  # fmt: skip
        detail = " ".join(str(error).split())[:400]
        raise GenbaError(f"{what}: {detail}", next=next_command) from error
