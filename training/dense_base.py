"""A base that is no CLIP, for the dense tasks: a timm model trained on masked images (MAE), or with labels.

    base = load_base("timm:vit_base_patch16_224.mae")       # from the hub's cache
    base = load_base("timm:/models/mae")                    # a folder with config.json and model.safetensors
    base = load_base("timm-random:vit_tiny_patch16_224")    # no weights: what the architecture alone can do
    bench = prepare(site, contents, base, folder)
    found, skipped = measure_dense(base, bench)

So the comparison of Vasu et al. 2024 (captions against masked images as pre-training) is drawn on the user's own masks
and depth maps. A folder as `hf download timm/NAME --local-dir FOLDER` or timm's `save_for_hf` makes it. Weights are
fetched by that command, never in passing; only safetensors are read; every weight must be in the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError, nearest
from scoring.encoder_files import PICKLES, WeightsAbsent
from scoring.encoders import pick_device, told_failures
from scoring.torchvision_ops import ensure_torchvision

if TYPE_CHECKING:
    import torch

TIMM, RANDOM = "timm:", "timm-random:"
CONFIG, WEIGHTS = "config.json", "model.safetensors"  # as timm's repositories on the hub have them
NEXT = "hf download timm/NAME --local-dir FOLDER, then --base timm:FOLDER"


@dataclass(frozen=True)
class DenseBase:
    """An image tower without texts: what the dense tasks need (dense_features.DenseEncoder), and nothing more.

    model.visual: the tower. fingerprint: sha256 of the weights' file (32 hex digits), "" for random weights.
    """

    id: str
    model: torch.nn.Module
    image_size: int
    device: str
    fingerprint: str

    @contextmanager
    def _inference(self) -> Iterator[None]:
        import torch

        with torch.no_grad():
            yield


def is_base(name: str) -> bool:
    """Whether an id names such a base rather than an encoder."""
    return name.startswith((TIMM, RANDOM))


def load_base(base_id: str, device: str = "auto", seed: int = 0) -> DenseBase:
    """Load timm:NAME, timm:FOLDER or timm-random:NAME. `seed`: of random weights.

    Raises GenbaError: an unknown name or form, weights that are no safetensors or lack a tensor, a tower that does not
    show its inner maps. WeightsAbsent: nobody has brought them to this machine.
    """
    ensure_torchvision()
    from timm.data import resolve_model_data_config

    name = base_id.removeprefix(TIMM).removeprefix(RANDOM)
    if not is_base(base_id) or not name:
        raise GenbaError(
            f"No base {base_id!r}.", choices=["timm:NAME", "timm:FOLDER", "timm-random:NAME"], next=NEXT
        )
    chosen = pick_device(device)
    weights = None
    if base_id.startswith(RANDOM):
        trunk = _random(_known(name), seed)
    else:
        model, weights = _files(name)
        with told_failures(f"The base {base_id!r} cannot be loaded from {weights}", NEXT):
            trunk = _create(model, weights)
    if not hasattr(trunk, "forward_intermediates"):
        raise GenbaError(f"The model of {base_id!r} ({type(trunk).__name__}) does not show its inner maps.")
    how = resolve_model_data_config(trunk)
    tower = _tower(trunk, {"mean": how["mean"], "std": how["std"], "interpolation": how["interpolation"],
                           "resize_mode": "squash"})  # fmt: skip
    return DenseBase(
        base_id, tower.to(chosen).eval(), int(how["input_size"][-1]), chosen,
        _fingerprint(weights) if weights else "",
    )  # fmt: skip


def _files(name: str) -> tuple[str, Path]:
    """(what timm calls the model, its weights)."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return f"local-dir:{folder}", _in_folder(folder)
    if "/" in name or "\\" in name:
        raise GenbaError(f"There is no folder {folder}.", next=NEXT)
    return _known(name), _in_cache(name)


def _in_folder(folder: Path) -> Path:
    if not (folder / CONFIG).is_file():
        raise GenbaError(f"{folder} is no folder of a timm model: it has no {CONFIG}.", next=NEXT)
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    pickled = [path.name for path in sorted(folder.iterdir()) if path.suffix in PICKLES]
    if pickled:
        raise GenbaError(
            f"{folder} holds {pickled[0]}, which could run code when it is read; only safetensors are.",
            next=f"bring the model's {WEIGHTS}",
        )
    raise WeightsAbsent(f"{folder} has no {WEIGHTS}.", next=NEXT)


def _in_cache(name: str) -> Path:
    import timm
    from huggingface_hub import try_to_load_from_cache

    published = timm.get_pretrained_cfg(name)
    repository = (published.hf_hub_id or "") if published else ""
    if not repository:
        raise GenbaError(
            f"timm publishes no weights for {name!r}.",
            next=f"timm-random:{name}, or a name of timm.list_pretrained()",
        )
    repository = f"{repository}{name}" if repository.endswith("/") else repository
    found = try_to_load_from_cache(repository, WEIGHTS)
    if not isinstance(found, str):
        raise WeightsAbsent(
            f"The weights of {name!r} are not on this machine (no {WEIGHTS} of {repository} in the hub's cache). With "
            f"a network here: hf download {repository} {WEIGHTS}. Without one, on a machine that has it: hf download "
            f"{repository} --local-dir FOLDER, carry it over, use timm:FOLDER.",
            next=f"hf download {repository} {WEIGHTS}",
        )
    return Path(found)


def _known(name: str) -> str:
    import timm

    known = [*timm.list_models(), *timm.list_pretrained()]
    if name not in known:
        guess = nearest(name, known)
        raise GenbaError(
            f"timm has no model {name!r}." + (f" Did you mean {guess!r}?" if guess else ""),
            next="python -c 'import timm; print(timm.list_pretrained(\"*mae*\"))'",
        )
    return name


def _random(name: str, seed: int) -> Any:
    import timm
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return timm.create_model(name, pretrained=False)


def _create(model: str, weights: Path) -> Any:
    """With as many outputs as the file has, so that timm demands every tensor of it."""
    import timm

    return timm.create_model(
        model, pretrained=True, pretrained_cfg_overlay={"file": str(weights), "source": "file"}
    )


def _fingerprint(weights: Path) -> str:
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def _tower(trunk: Any, how: dict[str, Any]) -> torch.nn.Module:
    """The model with the surface of open_clip's towers: model.visual.forward_intermediates and preprocess_cfg."""
    import torch

    class Tower(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = trunk
            self.preprocess_cfg = how

        def forward_intermediates(self, batch: torch.Tensor, **how: Any) -> dict[str, list[torch.Tensor]]:
            return {"image_intermediates": self.trunk.forward_intermediates(batch, **how)}

    if hasattr(trunk, "reset_classifier"):
        trunk.reset_classifier(0)
    model = torch.nn.Module()
    model.visual = Tower()
    return model
