"""What an encoder says of each place in a photo, in the same space as its texts: where does a phrase fit?

    places = places_of(site, encoder, image_id)                  # Places, or None where the tower has none
    heat = places.heat(encoder.encode_texts(["a rusty pipe"])[0])        # (H, W) cosines
    vectors = patch_vectors(encoder, batch)                      # batch (B, 3, S, S) -> (B, H, W, D) float32, or None

One rule for every tower: the vector of a place is what the encoder would say if its pooling head saw that place alone.
- A tower that averages (most convolutional ones) pools one place instead of all. Where the head behind the average is
  linear, the mean over places is the photo's own embedding.
- A tower that pools by attention (SigLIP, CLIP's ResNets) attends to one place: the value path of the attention.
- A tower with a class token attends in its last block to one place, which keeps that place's value and drops the
  mixture: MaskCLIP (Zhou, Loy and Dai 2022, arXiv 2112.01071, section 3.2).

No training, no change to the tower, no hook (other threads may use it). Towers of another build give None.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from data.photos import open_photo

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from data.site import Site
    from scoring.encoders import Encoder

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Places:
    """What the encoder says of the places of one photo. `box`: the part of the photo that they cover, see seen_box."""

    vectors: NDArray[np.float32]  # (H, W, D), unit length
    box: Box

    def heat(self, phrase: NDArray[np.float32]) -> NDArray[np.float32]:
        """phrase (D,), unit length -> (H, W) cosines."""
        return self.vectors @ phrase


def places_of(site: Site, encoder: Encoder, image_id: str) -> Places | None:
    """The places of a photo of the site; None where the encoder's tower has none.

    Raises GenbaError for a photo that is not there or cannot be read any more.
    """
    with site.connect() as db:
        row = db.one("SELECT root, uri FROM images WHERE image_id = ?", [image_id])
    if row is None:
        raise GenbaError(f"No photo {image_id}.", next=f"genba doctor {site.root}")
    photo = open_photo(site.photo_path(row["root"], row["uri"]), shortest_side=encoder.image_size)
    vectors = patch_vectors(encoder, encoder.preprocess(photo)[None])
    return None if vectors is None else Places(vectors[0], seen_box(encoder, *photo.size))


def patch_vectors(encoder: Encoder, batch: torch.Tensor) -> NDArray[np.float32] | None:
    """(B, 3, S, S) preprocessed photos -> (B, H, W, D) float32, unit length; None for a tower without places."""
    from torch.nn import functional

    places = _places_of(encoder)
    if places is None or batch.ndim != 4:  # SigLIP 2 NaFlex packs photos of any shape
        return None
    with encoder._inference():
        found = places(batch.to(encoder.device))
    if found is None:
        return None
    return functional.normalize(found.float(), dim=-1).cpu().numpy()


def inner_maps(encoder: Encoder, batch: torch.Tensor) -> list[torch.Tensor]:
    """The maps (B, C, H, W) that the tower makes on its way, from the first to the last; on the encoder's device.

    Raises GenbaError for an image tower that does not show them.
    """
    tower: Any = getattr(encoder.model, "visual", encoder.model)
    if not hasattr(tower, "forward_intermediates"):
        raise GenbaError(
            f"The image tower of {encoder.id!r} ({type(tower).__name__}) does not show its inner maps."
        )
    with encoder._inference():
        found = tower.forward_intermediates(batch, intermediates_only=True, output_fmt="NCHW")
    return list(found["image_intermediates"])


def seen_box(encoder: Encoder, width: int, height: int) -> Box:
    """(left, top, right, bottom) of what the encoder sees of a photo, as shares of its width and height.

    (0, 0, 1, 1) where the photo is squashed into a square, less where it is cropped, more where it is padded. Measured
    on a photo of ramps, so that it holds for any transform.
    """
    import numpy as np

    from data.heat_maps import ramps

    scale = encoder.image_size * 2 / min(width, height)
    size = max(2, round(width * scale)), max(2, round(height * scale))
    seen, dark, bright = (
        encoder.preprocess(photo).numpy()
        for photo in (ramps(*size), ramps(*size, only=0), ramps(*size, only=255))
    )
    side = seen.shape[-1]
    full = bright - dark
    is_photo = np.abs(full[2]) > 0.5 * np.abs(full[2]).max()  # padding has one colour in all three
    edges = []
    for channel, axis in ((0, 0), (1, 1)):
        share = (seen[channel] - dark[channel]) / np.where(is_photo, full[channel], 1)
        counted = is_photo.any(axis=axis)
        line = np.where(is_photo, share, 0).sum(axis=axis)[counted] / is_photo.sum(axis=axis)[counted]
        place = (np.arange(side)[counted] + 0.5) / side
        slope, start = np.polyfit(place, line, 1)
        edges.append((float(start), float(start + slope)))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


def _places_of(encoder: Encoder) -> Callable[[torch.Tensor], torch.Tensor | None] | None:
    """(B, 3, S, S) -> (B, H, W, D), by the kind of the image tower; None where there is no way."""
    model: Any = encoder.model
    if encoder.source.kind == "transformers":
        return _of_transformers(model)
    import open_clip.modified_resnet
    import open_clip.timm_model
    import open_clip.transformer

    tower = model.visual
    if isinstance(tower, open_clip.transformer.VisionTransformer):
        return lambda batch: _of_vision_transformer(tower, batch)
    if isinstance(tower, open_clip.modified_resnet.ModifiedResNet):
        return lambda batch: _of_modified_resnet(tower, batch)
    if isinstance(tower, open_clip.timm_model.TimmModel):
        return _of_timm(tower)
    return None


def _of_vision_transformer(tower: Any, batch: torch.Tensor) -> torch.Tensor | None:
    """open_clip's own vision transformer."""
    tokens = tower._embeds(batch)  # (B, 1 + N, C), the class token first
    *early, last = tower.transformer.resblocks
    for block in early:
        tokens = block(tokens)
    has_class_token = tower.attn_pool is None and tower.pool_type == "tok"
    alone = _alone((last(tokens) if not has_class_token else tokens)[:, 1:])
    if has_class_token:
        alone = last(alone)
    # Pooling leaves out the first of the tokens or takes it: both are the same place here.
    pooled, _ = tower._pool(alone.expand(-1, 2, -1))
    return _on_square(pooled if tower.proj is None else pooled @ tower.proj, len(batch))


def _of_modified_resnet(tower: Any, batch: torch.Tensor) -> torch.Tensor:
    """CLIP's ResNets: the value path of the pooling attention."""
    maps = tower.stem(batch)
    for layer in (tower.layer1, tower.layer2, tower.layer3, tower.layer4):
        maps = layer(maps)
    pool = tower.attnpool
    return pool.c_proj(pool.v_proj(maps.permute(0, 2, 3, 1)))


def _of_timm(tower: Any) -> Callable[[torch.Tensor], torch.Tensor | None] | None:
    """A timm trunk with open_clip's head: convolutional maps, or tokens that are averaged or attended to."""
    trunk = tower.trunk
    if not (hasattr(trunk, "forward_features") and hasattr(trunk, "forward_head")) or hasattr(
        tower.head, "pool"
    ):
        return None
    if (
        getattr(trunk, "global_pool", "avg") == "token"
    ):  # by its last block alone, which each architecture builds anew
        return None

    def places(batch: torch.Tensor) -> torch.Tensor | None:
        found = trunk.forward_features(batch)
        if found.ndim == 3:
            prefix = int(getattr(trunk, "num_prefix_tokens", 0))
            alone = _alone(found[:, prefix:]).expand(-1, prefix + 1, -1)
            return _on_square(tower.head(trunk.forward_head(alone)), len(batch))
        is_last = str(getattr(trunk, "output_fmt", "NCHW")).endswith("NHWC")  # Swin keeps its channels last
        rows, columns = found.shape[1:3] if is_last else found.shape[2:4]
        cells = found if is_last else found.permute(0, 2, 3, 1)
        width = cells.shape[-1]
        alone = cells.reshape(-1, 1, 1, width) if is_last else cells.reshape(-1, width, 1, 1)
        return tower.head(trunk.forward_head(alone)).reshape(len(batch), rows, columns, -1)

    return places


def _of_transformers(model: Any) -> Callable[[torch.Tensor], torch.Tensor | None] | None:
    """CLIP-like (a class token, `visual_projection`) and SigLIP-like (a pooling head) models of transformers."""
    inner = getattr(model, "inner", model)
    vision = getattr(inner, "vision_model", None)
    if vision is None:
        return None

    def by_head(batch: torch.Tensor) -> torch.Tensor | None:
        return _on_square(vision.head(_alone(vision(pixel_values=batch).last_hidden_state)), len(batch))

    def by_class_token(batch: torch.Tensor) -> torch.Tensor | None:
        before = vision(pixel_values=batch, output_hidden_states=True).hidden_states[-2]
        made = vision.encoder.layers[-1](_alone(before[:, 1:]), attention_mask=None)
        alone = made[0] if isinstance(made, tuple) else made
        return _on_square(inner.visual_projection(vision.post_layernorm(alone[:, 0])), len(batch))

    if hasattr(vision, "head") and vision.head is not None:
        return by_head
    parts = (
        hasattr(vision, "encoder"),
        hasattr(vision, "post_layernorm"),
        hasattr(inner, "visual_projection"),
    )
    return by_class_token if all(parts) else None


def _alone(tokens: torch.Tensor) -> torch.Tensor:
    """(B, N, C) -> (B * N, 1, C): each place as a sequence of its own."""
    return tokens.reshape(-1, 1, tokens.shape[-1])


def _on_square(vectors: torch.Tensor, photos: int) -> torch.Tensor | None:
    """(B * N, D) -> (B, H, W, D); None when the places make no square."""
    side = math.isqrt(len(vectors) // photos)
    if side * side * photos != len(vectors):
        return None
    return vectors.reshape(photos, side, side, -1)
