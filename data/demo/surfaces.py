"""What parts and tables are made of: colour (linear light), shine and fine texture.

Noise comes from small random grids that are enlarged: the same seed gives the same surface at any resolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from data.demo.shapes import Field


def noise(rng: np.random.Generator, shape: tuple[int, ...], cells: tuple[int, int]) -> Field:
    """Smooth noise, 0 to 1, mean one half: `cells` (down, across) random values enlarged to `shape`."""
    grid = Image.fromarray(rng.random(cells, dtype=np.float32))
    return np.asarray(grid.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def rough_noise(rng: np.random.Generator, shape: tuple[int, ...], cells: int) -> Field:
    """Three octaves of noise, about 0 to 1: patchy, with fine grain."""
    octaves = [noise(rng, shape, (max(2, cells * k * shape[0] // shape[1]), cells * k)) for k in (1, 2, 6)]
    return 0.55 * octaves[0] + 0.3 * octaves[1] + 0.15 * octaves[2]


@dataclass(frozen=True)
class Material:
    """albedo: linear RGB. mirror: how much of the surroundings it reflects; gloss: sharpness of the highlight and its
    strength; grain: roughness of a casting; lines: strength of machining marks."""

    albedo: tuple[float, float, float]
    mirror: float
    gloss: float
    shine: float
    grain: float
    lines: float


MATERIALS: dict[str, Material] = {
    "steel": Material((0.25, 0.27, 0.30), 0.9, 60, 0.9, 0.0, 0.16),
    "brass": Material((0.58, 0.37, 0.075), 0.8, 50, 0.8, 0.0, 0.10),
    "copper": Material((0.50, 0.145, 0.055), 0.8, 45, 0.7, 0.0, 0.05),
    "aluminium": Material((0.56, 0.57, 0.58), 0.40, 14, 0.3, 0.10, 0.05),
    "plastic": Material((0.05, 0.15, 0.5), 0.0, 22, 0.30, 0.0, 0.0),
    "rubber": Material((0.022, 0.022, 0.024), 0.0, 6, 0.04, 0.12, 0.0),
    "cast_iron": Material((0.085, 0.080, 0.078), 0.10, 8, 0.08, 0.75, 0.0),
}
# No yellow or orange: at 96 pixels these are brass and copper.
PLASTICS = (
    (0.03, 0.13, 0.52), (0.58, 0.030, 0.035), (0.04, 0.36, 0.10), (0.03, 0.40, 0.42),
)  # fmt: skip


def material_of(name: str, seed: int) -> Material:
    """The material with the small differences from one batch to the next; plastics come in four colours."""
    base = MATERIALS[name]
    rng = np.random.default_rng(seed)
    colour = np.array(PLASTICS[int(rng.integers(len(PLASTICS)))] if name == "plastic" else base.albedo)
    tone = colour * np.exp(rng.normal(0, 0.10)) * np.exp(rng.normal(0, 0.03, 3))
    return Material(
        (float(tone[0]), float(tone[1]), float(tone[2])),
        base.mirror * rng.uniform(0.85, 1.1), base.gloss, base.shine, base.grain, base.lines * rng.uniform(0.6, 1.4),
    )  # fmt: skip


def texture(
    rng: np.random.Generator, material: Material, part: str, u: Field, v: Field, pixel: float
) -> Field:
    """What multiplies a part's albedo: marks of the lathe around a turned part, along a flat one; casting grain."""
    coarse = 1 + 0.16 * (noise(rng, u.shape, (5, 5)) - 0.5)
    if material.lines:
        along = np.hypot(u, v) if part in ("washer", "gear", "bearing", "nut") else v
        marks = rng.random(256, dtype=np.float32)
        strength = material.lines * min(1.0, 0.02 / pixel)
        coarse = coarse * (1 + strength * (marks[(along * 70).astype(np.int32) % 256] - 0.5) * 2)
    if material.grain:
        cells = (max(2, u.shape[0] // 3), max(2, u.shape[1] // 3))
        coarse = coarse * (1 + material.grain * 0.7 * (noise(rng, u.shape, cells) - 0.5))
    return coarse.astype(np.float32)


@dataclass
class Ground:
    """The table: albedo (h, w, 3), relief in view units (h, w), mirror share and shine."""

    albedo: Field
    height: Field
    mirror: float
    shine: float


def ground(rng: np.random.Generator, name: str, x: Field, y: Field, angle: float, pixel: float) -> Ground:
    """The background at the table's points (x, y) in view units, its pattern turned by `angle` radians."""
    cosine, sine = math.cos(angle), math.sin(angle)
    along, across = x * cosine + y * sine, -x * sine + y * cosine
    return GROUNDS[name](rng, along + rng.uniform(0, 3), across + rng.uniform(0, 3), angle, pixel)


def _streaks(rng: np.random.Generator, shape: tuple[int, ...], angle: float, fine: int) -> Field:
    """Noise drawn out along the direction `angle`."""
    h, w = shape
    side = int(math.hypot(h, w)) + 2
    grid = Image.fromarray(noise(rng, (side, side), (fine, 7)))
    turned = grid.rotate(-math.degrees(angle), Image.Resampling.BILINEAR)
    left, top = (side - w) // 2, (side - h) // 2
    return np.asarray(turned)[top : top + h, left : left + w]


def _tint(base: tuple[float, float, float], tone: Field) -> Field:
    return (tone[..., None] * np.array(base, dtype=np.float32)).astype(np.float32)


def _workbench(rng: np.random.Generator, a: Field, b: Field, angle: float, pixel: float) -> Ground:
    plank = np.floor(b / 0.62).astype(np.int32)
    within = b / 0.62 - plank
    tones = rng.uniform(0.8, 1.15, 16).astype(np.float32)[plank % 16]
    streak = _streaks(rng, a.shape, angle, 70)
    rings = np.sin(_streaks(rng, a.shape, angle, 14) * 30 + within * 9) * 0.5 + 0.5
    seam = np.clip(np.minimum(within, 1 - within) / 0.014, 0, 1)
    tone = tones * (0.72 + 0.38 * streak + 0.16 * rings) * (0.35 + 0.65 * seam)
    worn = noise(rng, a.shape, (4, 5))
    colour = _tint((0.36, 0.20, 0.095), tone) * (0.85 + 0.3 * worn[..., None])
    return Ground(colour, (0.012 * (seam - 1) + 0.003 * streak).astype(np.float32), 0.0, 0.06)


def _tray(rng: np.random.Generator, a: Field, b: Field, angle: float, pixel: float) -> Ground:
    """A moulded blue-grey box with raised cross ribs."""
    pitch = 0.36
    da, db = np.abs((a / pitch) % 1 - 0.5) * pitch, np.abs((b / pitch) % 1 - 0.5) * pitch
    ridge = np.clip(1.3 - np.minimum(da, db) / 0.022, 0, 1)
    ridge = ridge * ridge * (3 - 2 * ridge)
    scuff = _streaks(rng, a.shape, angle + 0.6, 60)
    tone = 0.85 + 0.12 * ridge + 0.22 * (scuff - 0.5) + 0.2 * (noise(rng, a.shape, (3, 4)) - 0.5)
    base = ((0.10, 0.17, 0.27), (0.09, 0.20, 0.24), (0.15, 0.18, 0.25))[int(rng.integers(3))]
    return Ground(_tint(base, tone), (0.022 * ridge).astype(np.float32), 0.0, 0.22)


def _conveyor(rng: np.random.Generator, a: Field, b: Field, angle: float, pixel: float) -> Ground:
    """A dark green belt with thick ribs across it, dusty between them."""
    phase = (a / 0.30) % 1
    rib = np.clip((0.20 - np.abs(phase - 0.5)) / 0.06, 0, 1)
    fabric = min(1.0, 0.012 / pixel) * 0.12 * np.sin(b * 260) * np.sin(a * 260)
    dust = rough_noise(rng, a.shape, 7)
    tone = 0.75 + 0.35 * rib + fabric + 0.45 * (dust - 0.45) * (1 - 0.5 * rib)
    base = ((0.030, 0.085, 0.055), (0.028, 0.070, 0.060), (0.040, 0.085, 0.045))[int(rng.integers(3))]
    return Ground(_tint(base, tone), (0.035 * rib).astype(np.float32), 0.0, 0.10)


def _concrete(rng: np.random.Generator, a: Field, b: Field, angle: float, pixel: float) -> Ground:
    patches = rough_noise(rng, a.shape, 6)
    grain = noise(rng, a.shape, (150, 200))
    pits = noise(rng, a.shape, (60, 80))
    pit = np.clip((pits - 0.83) / 0.08, 0, 1)
    tone = (0.78 + 0.42 * (patches - 0.5) + 0.22 * (grain - 0.5)) * (1 - 0.45 * pit)
    offset = np.interp(a, np.linspace(-3, 7, 60), np.cumsum(rng.normal(0, 0.05, 60)))
    line = np.abs(b - 2.1 - offset + offset.mean())
    tone = tone * (1 - 0.55 * np.exp(-((line / max(0.006, pixel * 0.7)) ** 2)))
    height = 0.006 * patches + 0.003 * grain - 0.012 * pit
    return Ground(_tint((0.36, 0.35, 0.33), tone), height.astype(np.float32), 0.0, 0.0)


def _cloth(rng: np.random.Generator, a: Field, b: Field, angle: float, pixel: float) -> Ground:
    """A shop towel: a coarse weave, soft folds, a coloured stripe."""
    fine = min(1.0, 0.020 / pixel)
    weave = np.sin(a * 115) * np.sin(b * 115) * fine
    folds = noise(rng, a.shape, (4, 5)) + 0.5 * noise(rng, a.shape, (7, 9))
    tone = 0.95 + 0.20 * weave + 0.10 * (noise(rng, a.shape, (60, 80)) - 0.5)
    base = ((0.62, 0.57, 0.50), (0.60, 0.60, 0.58), (0.55, 0.42, 0.36))[int(rng.integers(3))]
    colour = _tint(base, tone)
    stripe = np.clip((0.045 - np.abs((b % 1.5) - 0.7)) / 0.01, 0, 1)[..., None]
    dye = np.array(((0.45, 0.06, 0.07), (0.06, 0.13, 0.42))[int(rng.integers(2))], dtype=np.float32)
    colour = colour * (1 - 0.85 * stripe) + 0.85 * stripe * dye * tone[..., None]
    return Ground(colour.astype(np.float32), (0.10 * folds + 0.004 * weave).astype(np.float32), 0.0, 0.0)


GROUNDS: dict[str, Callable[[np.random.Generator, Field, Field, float, float], Ground]] = {
    "workbench": _workbench, "tray": _tray, "conveyor": _conveyor, "concrete": _concrete, "cloth": _cloth,
}  # fmt: skip
