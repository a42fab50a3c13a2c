"""Where an encoder's files lie, what they are, and whether they are still the same: everything before it is loaded.

    source = resolve_encoder("local-dir:/models/siglip2")   # cheap: no torch, no network
    source.fingerprint, source.languages, source.slug

Weights are fetched by one explicit command (`hf download …`), never in passing: without a network a look-up on the hub
takes 46 seconds to fail, and a scorer that starts to download 1.5 GB by itself surprises people. Only safetensors are
read; a pickle can run code.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from data.errors import GenbaError, nearest
from scoring import onnx_encoder
from scoring.catalogue import (
    DEMO_ENCODER,
    DEMO_FOLDER,
    ENCODERS,
    EVERY_LANGUAGE,
    READS,
    real_encoders,
)
from scoring.transformers_encoder import FAMILIES, remote_code

CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")
MARK = "genba.json"  # beside the config: what Genba itself knows of a model (demo, languages, lineage)
META = "meta.json"  # beside the weights of a retrained model, written last: see training/model_files.py
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
PROJECTIONS = ("text_projection.weight", "text_model.head.weight")  # the second is SigLIP's; (D, width) both
VOCABULARIES = ("token_embedding.weight", "word_embeddings.weight")  # (tokens, width), under text_model
FORMS = ("MODEL/PRETRAINED", "local-dir:PATH", "hf-hub:REPOSITORY", "transformers:PATH", "onnx:PATH", "demo")
MULTILINGUAL_VOCABULARY = 200_000  # XLM-R has 250,002 tokens, Gemma 256,000; English ones below 60,000


class WeightsAbsent(GenbaError):
    """The id is right, but nobody has brought the weights to this machine yet; the message says how."""


@dataclass(frozen=True)
class EncoderSource:
    """The files of one encoder. `folder` has open_clip's local-dir format, or is a transformers model, or None."""

    id: str
    kind: Literal["folder", "named", "transformers", "onnx"]
    weights: Path
    config_text: str
    dim: int
    languages: tuple[str, ...]
    is_demo: bool
    folder: Path | None = None
    precision: Literal["fp32", "bf16"] = "fp32"  # it computes in; bf16 gives other vectors, by about 0.01

    @property
    def fingerprint(self) -> str:
        """What vectors and scores are kept under: the files, and the precision where it is not fp32."""
        of_files = self.files_fingerprint
        return of_files if self.precision == "fp32" else f"{of_files}-{self.precision}"

    @cached_property
    def files_fingerprint(self) -> str:
        """sha256 over config and weights (32 hex digits): a changed checkpoint is another encoder. About 1 s a GB."""
        digest = hashlib.sha256(self.config_text.encode())
        with self.weights.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
        return digest.hexdigest()[:32]

    @cached_property
    def temperature(self) -> float:
        """1 / the learned logit scale (0.01 for CLIP): how sharply the encoder tells texts apart. 0.01 without one.

        The checkpoint holds its logarithm, SigLIP's too. SigLIP's logit bias needs no reading: it adds the same to
        every logit, and neg_clip_loss, a difference of a logit and means of their log-sum-exp, is the same without.
        Raises GenbaError for a damaged file.
        """
        if self.kind == "onnx":
            return float(onnx_encoder.read_manifest(self.weights.parent)["temperature"])
        with _tensors(self.weights) as tensors:
            if "logit_scale" not in tensors.keys():  # noqa: SIM118  (not a dict)
                return 0.01
            if tensors.get_slice("logit_scale").get_dtype() != "BF16":
                return float(math.exp(-float(tensors.get_tensor("logit_scale").reshape(-1)[0])))
        with _tensors(
            self.weights, "pt"
        ) as tensors:  # numpy has no bfloat16, and torch takes a second to import
            return float(math.exp(-tensors.get_tensor("logit_scale").float().reshape(-1)[0].item()))

    @property
    def slug(self) -> str:
        """Name of the folder under SITE/vectors."""
        return slug(self.id)

    def reads(self, language: str) -> bool:
        """Whether the encoder was trained on captions in a language. "und" (no letters) counts as read."""
        return language == "und" or EVERY_LANGUAGE in self.languages or language in self.languages


def slug(encoder_id: str) -> str:
    """Folder name for an encoder id: readable, and different for different ids.

    slug("ViT-B-32/laion2b_s34b_b79k") == "ViT-B-32-laion2b_s34b_b79k-80021af1"
    """
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", encoder_id.rsplit("/models/", maxsplit=1)[-1])[-60:].strip(
        "-."
    )
    return f"{readable}-{hashlib.sha256(encoder_id.encode()).hexdigest()[:8]}"


def canonical_id(encoder_id: str) -> str:
    """The id as settings and tables keep it: paths made absolute, so that it means the same from any folder."""
    for prefix in ("local-dir:", "transformers:", "onnx:"):
        path = Path(encoder_id.removeprefix(prefix)).expanduser()
        if encoder_id.startswith(prefix) and path.is_dir():
            return prefix + str(path.resolve())
    return encoder_id


def require_as_written(source: EncoderSource) -> None:
    """Raises GenbaError for a retrained model with other files than were written: damaged weights load like any."""
    meta = source.weights.parent / META
    written = json.loads(meta.read_text(encoding="utf-8"))["fingerprint"] if meta.is_file() else None
    if written not in (None, source.files_fingerprint):
        raise GenbaError(
            f"The files of the model {meta.parent.name} are not those that its retraining wrote.",
            next="genba models SITE rollback, if it is in use, then: genba retrain SITE",
        )


def resolve_encoder(encoder_id: str, demo_site: bool = False) -> EncoderSource:
    """Find the files of an encoder. Raises GenbaError for an unknown id, WeightsAbsent (with the command that brings
    them), for weights that are not safetensors, and for the demo encoder on a site that is not the demo.
    """
    if encoder_id == DEMO_ENCODER:
        source = _from_folder(encoder_id, DEMO_FOLDER)
    elif encoder_id.startswith("local-dir:"):
        source = _from_folder(encoder_id, Path(encoder_id.removeprefix("local-dir:")).expanduser())
    elif encoder_id.startswith("hf-hub:"):
        source = _from_hub(encoder_id)
    elif encoder_id.startswith("transformers:"):
        source = _from_transformers(encoder_id)
    elif encoder_id.startswith("onnx:"):
        source = onnx_encoder.find_export(encoder_id)
    else:
        source = _from_name(encoder_id)
    if source.is_demo and not demo_site:
        raise GenbaError(
            f"The encoder {encoder_id!r} is the demo encoder (or was retrained from it): it has only seen rendered "
            "scenes and knows nothing of real photos.",
            choices=real_encoders(),
            next="genba encoders",
        )
    return source


def _from_folder(encoder_id: str, folder: Path) -> EncoderSource:
    if folder.suffix in PICKLES or folder.is_file():
        raise GenbaError(
            f"{folder} is a file. An encoder is a folder with {CONFIG} and {WEIGHTS[0]}; checkpoints in pickle formats "
            "are never opened, because opening one can run code.",
            next="give the folder: local-dir:PATH",
        )
    if not (folder / CONFIG).is_file():
        raise GenbaError(f"The encoder {encoder_id!r} has no {folder / CONFIG}.", next="genba encoders")
    text = (folder / CONFIG).read_text(encoding="utf-8")
    try:
        model_cfg = json.loads(text)["model_cfg"]
        dim = int(model_cfg["embed_dim"])
    except (ValueError, KeyError, TypeError) as error:
        raise GenbaError(f"{folder / CONFIG} cannot be read: {type(error).__name__} {error}.") from None
    mark = read_mark(folder)
    languages = tuple(mark.get("languages") or _languages_of(model_cfg))
    is_demo = encoder_id == DEMO_ENCODER or bool(mark.get("genba_demo"))
    return EncoderSource(
        encoder_id, "folder", _weights(folder, WEIGHTS), text, dim, languages, is_demo, folder
    )


def read_mark(folder: Path) -> dict[str, Any]:
    """The contents of genba.json beside a model's config; {} when there is none. Raises GenbaError when broken."""
    path = folder / MARK
    if not path.exists():
        return {}
    try:
        mark = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise GenbaError(f"{path} cannot be read: {error}.") from None
    return dict(mark)


def _weights(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    if (folder / f"{names[0]}.index.json").is_file():
        raise GenbaError(
            f"The weights in {folder} lie in several files; only a checkpoint in one file is read.",
            next="save it in one: model.save_pretrained(FOLDER, max_shard_size='100GB')",
        )
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    found = (
        f" It has {pickles[0]}, a pickle: that is never opened, because opening one can run code."
        if pickles
        else ""
    )
    raise GenbaError(
        f"{folder} has no weights in safetensors format.{found}",
        choices=names,
        next=f"put {names[0]} into {folder}",
    )


def _languages_of(model_cfg: dict[str, Any]) -> tuple[str, ...]:
    """By the size of the vocabulary: a text tower with 200,000 tokens or more reads about a hundred languages."""
    text_cfg = model_cfg.get("text_cfg", {})
    named = str(text_cfg.get("hf_model_name", ""))
    many = int(text_cfg.get("vocab_size", 0)) >= MULTILINGUAL_VOCABULARY or re.search(
        r"xlm-r|mt5|multiling", named
    )
    return (EVERY_LANGUAGE,) if many else ("en",)


def _from_name(encoder_id: str) -> EncoderSource:
    model, _, tag = encoder_id.partition("/")
    from scoring.torchvision_ops import ensure_torchvision

    ensure_torchvision()
    import open_clip

    if Path(tag).suffix in PICKLES:
        raise GenbaError(
            f"The encoder {encoder_id!r} names a checkpoint in a pickle format. It is never opened, because opening "
            "one can run code.",
            next="give a folder with safetensors: local-dir:PATH",
        )
    models = open_clip.list_models()
    if not tag or model not in models:
        guess = nearest(model, models) if tag else None
        hint = f" Did you mean {guess!r}?" if guess else ""
        raise GenbaError(
            f"No encoder {encoder_id!r}.{hint} An id is one of: {', '.join(FORMS)}.",
            choices=real_encoders(),
            next="genba encoders",
        )
    tags = open_clip.list_pretrained_tags_by_model(model)
    if tag not in tags:
        raise GenbaError(f"{model} has no weights {tag!r}.", choices=tags, next="genba encoders")
    repository = open_clip.get_pretrained_cfg(model, tag).get("hf_hub", "").split(":")[0].strip("/")
    config = open_clip.get_model_config(model)
    known = ENCODERS.get(encoder_id)
    weights = _cached(encoder_id, repository, WEIGHTS)
    return EncoderSource(
        encoder_id, "named", weights, json.dumps([model, tag, config], sort_keys=True), int(config["embed_dim"]),
        known.languages if known else _languages_of(config), is_demo=False,
    )  # fmt: skip


def _from_hub(encoder_id: str) -> EncoderSource:
    repository = encoder_id.removeprefix("hf-hub:")
    folder = _cached(encoder_id, repository, (CONFIG,)).parent
    return _from_folder(encoder_id, folder)


def _from_transformers(encoder_id: str) -> EncoderSource:
    name = encoder_id.removeprefix("transformers:")
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _cached(encoder_id, name, ("config.json",)).parent
    path = folder / "config.json"
    if not path.is_file():
        raise GenbaError(f"The encoder {encoder_id!r} has no {path}.", next="genba encoders")
    text = path.read_text(encoding="utf-8")
    try:
        config = dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise GenbaError(f"{path} cannot be read: {type(error).__name__} {error}.") from None
    _require_family(folder, config)
    weights = _weights(folder, ("model.safetensors",))
    dim, vocabulary = _text_tower(weights)
    mark = read_mark(folder)
    languages = tuple(mark.get("languages") or _languages_of_family(folder, name, config, vocabulary))
    return EncoderSource(
        encoder_id, "transformers", weights, text, dim, languages, bool(mark.get("genba_demo")), folder
    )


def _require_family(folder: Path, config: dict[str, Any]) -> None:
    """Raises GenbaError for what is no image-text encoder, or one that transformers cannot load by itself."""
    kind, text_kind = config.get("model_type"), dict(config.get("text_config") or {}).get("model_type")
    if kind not in FAMILIES and "auto_map" in config:
        raise remote_code(str(folder), f"model ({kind})")
    if kind not in FAMILIES:
        raise GenbaError(
            f"{folder} is not an image-text encoder that transformers can load: its config.json has model_type "
            f"{kind!r}.",
            choices=FAMILIES,
        )
    if kind == "clip" and text_kind not in (None, "clip_text_model"):  # rinna's Japanese CLIP is published so
        raise GenbaError(
            f"{folder} calls itself CLIP, but its text tower is of type {text_kind!r}, which only the package of its "
            "authors can load.",
            next="convert it to a vision-text dual encoder, or take an encoder from: genba encoders",
        )


def _text_tower(weights: Path) -> tuple[int, int]:
    """(dimensions of the common space, size of the vocabulary), from the head of the weights file alone."""
    with _tensors(weights) as tensors:
        names = set(tensors.keys())
        projection = next((name for name in PROJECTIONS if name in names), None)
        read = (one for one in sorted(names) if one.startswith("text_model.") and one.endswith(VOCABULARIES))
        tokens = next(read, None)
        if projection is None or tokens is None:
            raise GenbaError(
                f"{weights} holds no text tower with a projection: it is only a part of an image-text encoder.",
                next="download the whole repository anew",
            )
        return tensors.get_slice(projection).get_shape()[0], tensors.get_slice(tokens).get_shape()[0]


@contextmanager
def _tensors(weights: Path, framework: Literal["np", "pt"] = "np") -> Iterator[Any]:
    """The opened safetensors file. Raises GenbaError when it is damaged or cut short."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(weights), framework=framework) as tensors:
            yield tensors
    except (SafetensorError, OSError) as error:
        what = f"{weights} is damaged or cut short: {error}."
        raise GenbaError(what, next="download or copy it anew") from None


def _languages_of_family(folder: Path, name: str, config: dict[str, Any], vocabulary: int) -> tuple[str, ...]:
    """What a checkpoint without genba.json reads. Raises GenbaError where nothing says it."""
    known = READS.get(name.lower()) or READS.get(folder.name.lower())
    if known:
        return known
    family = FAMILIES[config["model_type"]]
    if family.languages:
        return family.languages
    if vocabulary >= MULTILINGUAL_VOCABULARY:
        return (EVERY_LANGUAGE,)
    if config["model_type"] == "vision-text-dual-encoder":
        raise GenbaError(
            f"Nothing in {folder} says which languages its text tower was trained on.",
            next=f"""write {{"languages": ["ja"]}}, or what is true, into {folder / MARK}""",
        )
    return ("en",)


def _cached(encoder_id: str, repository: str, names: tuple[str, ...]) -> Path:
    """A file that `hf download` put into the hub cache. Raises WeightsAbsent with the command that brings it."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for name in names:
        try:
            found = try_to_load_from_cache(repository, name) if repository else None
        except HFValidationError:
            raise GenbaError(f"{repository!r} is not the name of a hub repository.", choices=FORMS) from None
        if isinstance(found, str):
            return Path(found)
    known = ENCODERS.get(encoder_id)
    form = "transformers" if encoder_id.startswith("transformers:") else "local-dir"
    fetch = known.fetch_commands() if known else [f'hf download {repository} --exclude "*.bin"']
    offline = (
        "; ".join(known.carry_commands())
        if known
        else f"hf download {repository} --local-dir FOLDER, carry it over, use {form}:FOLDER"
    )
    raise WeightsAbsent(
        f"The weights of {encoder_id!r} are not on this machine (no {names[0]} of {repository} in the hub cache). "
        f"With a network here: {'; '.join(fetch)}. Without one, on a machine that has it: {offline}.",
        next=fetch[0],
    )


def write_mark(folder: Path, source: EncoderSource, extra: dict[str, Any] | None = None) -> None:
    """Write genba.json beside a model that was made from `source`: languages and the demo mark are inherited."""
    mark: dict[str, Any] = {
        "languages": list(source.languages),
        "base_encoder": source.id,
        "base_fingerprint": source.files_fingerprint,
    }
    if source.is_demo:
        mark["genba_demo"] = True
    text = json.dumps({**mark, **(extra or {})}, ensure_ascii=False, indent=1)
    (folder / MARK).write_text(text, encoding="utf-8")
