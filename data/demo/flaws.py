"""The seven defects: each changes the height, the colour or the shine of a part, and says exactly where.

Coordinates (a, b) run along the picture's axes from the middle of the defect, in radii of the part.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.demo.shapes import HOLES, Field
from data.demo.surfaces import noise, rough_noise

CLASSES = {
    "background": 0, "part": 1, "scratch": 2, "dent": 3, "rust": 4, "crack": 5, "stain": 6, "chip": 7, "burn": 8
}  # fmt: skip
SIZES = {"slight": 0.17, "moderate": 0.29, "severe": 0.46}
CONTRAST = {"slight": 0.72, "moderate": 0.88, "severe": 1.0}
Where = NDArray[np.bool_]
DARK = ("rubber", "cast_iron")


@dataclass
class Patch:
    """A part's surface inside its bounding box; a flaw changes it in place. height in radii; matt is 0 to 1."""

    height: Field
    alpha: Field
    albedo: Field
    matt: Field


@dataclass(frozen=True)
class Flaw:
    """size: radius of the defect in radii of the part; contrast 0 to 1; hole: radius of the hole it lies around."""

    size: float
    contrast: float
    hole: float
    cuts: bool
    material: str
    pixel: float


def flaw_of(part: str, material: str, place: str, severity: str, pixel: float) -> Flaw:
    """How large a defect is: by severity; on the narrow bolt smaller; around a hole larger by that hole."""
    size = SIZES[severity] * (0.85 if part in ("bolt", "bracket") else 1.0)
    hole = HOLES.get(part, 0.0) if place == "centre" else 0.0
    return Flaw(size + 0.75 * hole, CONTRAST[severity], hole, place != "centre", material, pixel)


def apply_flaw(rng: np.random.Generator, name: str, flaw: Flaw, a: Field, b: Field, patch: Patch) -> Where:
    """Change the patch; returns where the defect lies, boolean, inside the part's outline."""
    whole = patch.alpha > 0.5
    return FLAWS[name](rng, flaw, a, b, patch) & whole


def _turn(rng: np.random.Generator, a: Field, b: Field) -> tuple[Field, Field]:
    angle = rng.uniform(0, math.pi)
    return a * math.cos(angle) + b * math.sin(angle), -a * math.sin(angle) + b * math.cos(angle)


def _mix(patch: Patch, share: Field, colour: Field | tuple[float, float, float]) -> None:
    patch.albedo += share[..., None] * (np.asarray(colour, dtype=np.float32) - patch.albedo)


def _blob(rng: np.random.Generator, a: Field, b: Field, size: float, ragged: float) -> Field:
    """1 in the middle, 0 at about `size`, negative outside; the outline is uneven by `ragged`."""
    stretch = rng.uniform(0.8, 1.2)
    along, across = _turn(rng, a, b)
    r = np.hypot(along * stretch, across / stretch) / size
    angle = np.arctan2(across, along)
    wobble = sum(rng.normal(0, 1 / k) * np.cos(k * angle + rng.uniform(0, 6.28)) for k in (2, 3, 4, 5, 7))
    return (1 - r - ragged * 0.22 * wobble).astype(np.float32)


def _scratch(rng: np.random.Generator, flaw: Flaw, a: Field, b: Field, patch: Patch) -> Where:
    along, across = _turn(rng, a, b)
    length = flaw.size * 1.55
    width = 0.020 + 0.018 * flaw.contrast * (flaw.size > 0.2)
    blurred = max(width, 0.75 * flaw.pixel)
    where = np.zeros(a.shape, dtype=bool)
    fresh = (0.30, 0.30, 0.31) if flaw.material in DARK else (0.92, 0.92, 0.94)
    for k in range({0.72: 1, 0.88: 2, 1.0: 4}[flaw.contrast]):
        shift = 0.0 if k == 0 else rng.uniform(-0.34, 0.34) * flaw.size
        reach = length * (1 if k == 0 else rng.uniform(0.5, 0.95))
        middle = rng.uniform(-0.15, 0.15) * flaw.size
        bend, lean = rng.normal(0, 0.16), rng.normal(0, 0.08)
        off = across - shift - (lean + bend * along) * along
        taper = np.clip((reach - np.abs(along - middle)) / (0.35 * reach), 0, 1)
        groove = np.exp(-((off / blurred) ** 2)) * np.sqrt(taper) * min(1.0, 1.15 * width / blurred)
        lip = np.exp(-(((off - 1.7 * blurred) / blurred) ** 2)) * taper
        patch.height += 0.6 * width * lip - 1.6 * width * groove
        _mix(patch, np.clip(groove * 1.15, 0, 1) * (0.55 + 0.40 * flaw.contrast), fresh)
        patch.albedo *= 1 - 0.5 * lip[..., None] * flaw.contrast
        where |= (np.abs(off) < 1.4 * blurred) & (taper > 0.05)
    return where


def _dent(rng: np.random.Generator, flaw: Flaw, a: Field, b: Field, patch: Patch) -> Where:
    along, across = _turn(rng, a, b)
    size = flaw.size * 0.95
    r2 = (along / size) ** 2 + (across / (size * rng.uniform(0.7, 0.95))) ** 2
    bowl = np.clip(1 - r2, 0, 1) ** 1.5
    rim = np.exp(-((np.sqrt(r2) - 1.05) ** 2) / 0.02)
    depth = size * (0.30 + 0.25 * flaw.contrast)
    patch.height += depth * (0.14 * rim - bowl)
    patch.albedo *= (1 - 0.42 * flaw.contrast * bowl)[..., None]
    return r2 < 0.9


def _rust(rng: np.random.Generator, flaw: Flaw, a: Field, b: Field, patch: Patch) -> Where:
    patchy, grain = rough_noise(rng, a.shape, 14), noise(rng, a.shape, (90, 90))
    field = _blob(rng, a, b, flaw.size * 1.15, 0.6) + 1.5 * (patchy - 0.5) + 0.35 * (grain - 0.5)
    share = np.clip(field / 0.18, 0, 1) * (0.80 + 0.2 * flaw.contrast)
    deep, light = np.array((0.13, 0.035, 0.012)), np.array((0.50, 0.17, 0.035))
    if flaw.material in ("brass", "copper"):  # copper alloys turn green
        deep, light = np.array((0.07, 0.05, 0.025)), np.array((0.16, 0.36, 0.23))
    mix = np.clip(1.5 * patchy + 0.7 * grain - 0.65, 0, 1)[..., None]
    _mix(patch, share, (deep + (light - deep) * mix).astype(np.float32))
    patch.matt = np.maximum(patch.matt, share)
    patch.height += 0.03 * share * (grain - 0.3)
    return field > 0.08


def _path(rng: np.random.Generator, along: Field, length: float, jag: float) -> Field:
    knots = np.linspace(-length, length, 13)
    walk = np.cumsum(rng.normal(0, jag, 13)) + rng.normal(0, 0.6 * jag, 13)
    return np.interp(along, knots, walk - walk[6]).astype(np.float32)


def _crack(rng: np.random.Generator, flaw: Flaw, a: Field, b: Field, patch: Patch) -> Where:
    along, across = _turn(rng, a, b)
    length = flaw.size * 1.35
    width = 0.016 + 0.050 * flaw.size
    where = np.zeros(a.shape, dtype=bool)
    black = (0.006, 0.005, 0.005)
    for k in range({0.72: 1, 0.88: 2, 1.0: 3}[flaw.contrast]):
        start, lean = (0.0, 0.0) if k == 0 else (rng.uniform(-0.4, 0.3) * length, rng.choice([-0.8, 0.8]))
        off = across - lean * np.maximum(along - start, 0) - _path(rng, along, length, 0.13 * flaw.size)
        taper = np.clip((length - np.abs(along)) / (0.7 * length), 0, 1) * (along > start - 0.02 if k else 1)
        thick = width * (0.35 + 0.65 * taper)
        blurred = np.maximum(thick, 0.7 * flaw.pixel)
        groove = np.exp(-((off / blurred) ** 4)) * (taper > 0) * np.minimum(1, 1.2 * thick / blurred)
        patch.height -= 2.0 * width * groove
        _mix(patch, np.clip(groove * 1.1, 0, 1) * (0.85 + 0.15 * flaw.contrast), black)
        patch.matt = np.maximum(patch.matt, groove)
        if flaw.material in DARK:  # black on black: a dusty lip shows the line
            lip = np.exp(-(((off - 2 * blurred) / blurred) ** 2)) * (taper > 0)
            _mix(patch, 0.75 * lip, (0.24, 0.23, 0.22))
        where |= (np.abs(off) < 1.1 * blurred) & (taper > 0)
    return where


def _stain(rng: np.random.Generator, flaw: Flaw, a: Field, b: Field, patch: Patch) -> Where:
    """Spilled oil: dark, smooth, wet, with a sharper rim and drops around it; on black parts a pale dried film."""
    field = _blob(rng, a, b, flaw.size * 1.05, 1.0) / 0.16
    for _ in range(5):
        angle, far = rng.uniform(0, 6.28), flaw.size * rng.uniform(1.15, 1.5)
        drop = rng.uniform(0.12, 0.26) * flaw.size
        d = np.hypot(a - far * math.cos(angle), b - far * math.sin(angle))
        field = np.maximum(field, (1 - d / drop) * 3)
    share = np.clip(field, 0, 1)
    rim = np.clip(1 - np.abs(field - 0.5) / 0.9, 0, 1)
    if flaw.material in DARK:
        _mix(patch, 0.7 * flaw.contrast * share * (0.65 + 0.35 * rim), (0.42, 0.40, 0.34))
    else:
        dye = 1 - (0.58 + 0.22 * flaw.contrast) * share * (0.86 + 0.14 * rim)
        patch.albedo *= dye[..., None] * (
            1 - share[..., None] * np.array((0.0, 0.06, 0.30), dtype=np.float32)
        )
    patch.height += 0.006 * share
    return field > 0.3


def _chip(rng: np.random.Generator, flaw: Flaw, a: Field, b: Field, patch: Patch) -> Where:
    """Broken away: the edge is gone, and a rough bright fracture is left around the gap."""
    broken, facets = rough_noise(rng, a.shape, 9), noise(rng, a.shape, (26, 26))
    field = _blob(rng, a, b, flaw.size * 0.95, 0.5) + 0.7 * (broken - 0.5)
    share = np.clip(field / 0.07, 0, 1)
    floor = patch.height * (0.30 + 0.5 * (facets - 0.5)) - 0.05
    fresh = np.array((0.20, 0.19, 0.185) if flaw.material in DARK else (0.52, 0.51, 0.50), dtype=np.float32)
    own = np.minimum(patch.albedo.mean(axis=(0, 1)) * 1.2 + 0.05, 0.7)
    tone = 0.45 + 1.1 * facets * broken * 2
    patch.height += share * (floor - patch.height)
    _mix(patch, share * (0.7 + 0.3 * flaw.contrast), (0.55 * fresh + 0.45 * own) * tone[..., None])
    patch.matt = np.maximum(patch.matt, share)
    if flaw.cuts:
        patch.alpha *= 1 - np.clip((field - 0.24) / 0.05, 0, 1)
    return field > 0.03


def _burn(rng: np.random.Generator, flaw: Flaw, a: Field, b: Field, patch: Patch) -> Where:
    """Soot in the middle, then heat colours: straw, purple, blue on metal; brown blisters on the rest."""
    soot = rough_noise(rng, a.shape, 10)
    field = _blob(rng, a, b, flaw.size * 1.45, 0.35) + 0.35 * (soot - 0.5)
    if flaw.material in ("plastic", "rubber"):
        _mix(patch, 0.8 * np.clip(field / 0.3, 0, 1), (0.20, 0.09, 0.035))
        patch.height += 0.04 * np.clip(field, 0, 1) * (noise(rng, a.shape, (20, 20)) > 0.55)
    else:
        for level, colour in (
            (0.12, (0.50, 0.30, 0.07)),
            (0.26, (0.30, 0.07, 0.24)),
            (0.38, (0.06, 0.10, 0.38)),
        ):
            _mix(patch, 0.62 * np.exp(-(((field - level) / 0.065) ** 2)), colour)
    core = np.clip((field - 0.42) / 0.14, 0, 1)
    _mix(patch, core, np.array((0.012, 0.011, 0.010)) * (0.6 + 1.2 * soot[..., None]))
    if flaw.material in DARK:
        _mix(patch, 0.7 * np.clip((field - 0.62) / 0.1, 0, 1) * soot, (0.45, 0.44, 0.42))  # ash
    patch.matt = np.maximum(patch.matt, core)
    return field > 0.06


FLAWS: dict[str, Callable[[np.random.Generator, Flaw, Field, Field, Patch], Where]] = {
    "scratch": _scratch, "dent": _dent, "rust": _rust, "crack": _crack, "stain": _stain, "chip": _chip,
    "burn": _burn,
}  # fmt: skip
