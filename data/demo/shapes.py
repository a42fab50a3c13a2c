"""The eight parts as height fields seen from above: signed distances in, height and coverage out.

Coordinates (u, v) are in units of the part's radius, so every part lies within -1.1 to 1.1; heights too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]  # float32 in practice; numpy's types widen it at every step


@dataclass
class Shape:
    """One part on a grid. height >= 0; alpha is coverage, 0 to 1; tone multiplies the albedo (grooves are darker)."""

    height: Field
    alpha: Field
    tone: Field


HOLES = {"nut": 0.50, "washer": 0.50, "gear": 0.20, "bearing": 0.34}  # radius of the hole in the middle


def part_shape(part: str, u: Field, v: Field, pixel: float) -> Shape:
    """Height, coverage and tone of a part at the points (u, v); `pixel` is the width of a pixel in the same units."""
    return SHAPES[part](u, v, pixel)


def _cover(distance: Field, pixel: float) -> Field:
    return np.clip(0.5 - distance / pixel, 0, 1)


def _round(distance: Field, width: float) -> Field:
    """A rounded edge: 0 at the outline, 1 from `width` inside it."""
    t = np.clip(1 + distance / width, 0, 1)
    return np.sqrt(1 - t * t)


def _box(u: Field, v: Field, half_u: float, half_v: float, corner: float = 0.0) -> Field:
    du, dv = np.abs(u) - (half_u - corner), np.abs(v) - (half_v - corner)
    outside = np.hypot(np.maximum(du, 0), np.maximum(dv, 0))
    return outside + np.minimum(np.maximum(du, dv), 0) - corner


def _hexagon(u: Field, v: Field, apothem: float) -> Field:
    a = np.abs(u)
    return np.maximum(np.abs(v), a * (math.sqrt(3) / 2) + np.abs(v) / 2) - apothem


def _washer(u: Field, v: Field, pixel: float) -> Shape:
    r = np.hypot(u, v)
    d = np.maximum(r - 1, HOLES["washer"] - r)
    return Shape(0.11 * _round(d, 0.05), _cover(d, pixel), np.ones_like(r))


def _nut(u: Field, v: Field, pixel: float) -> Shape:
    r = np.hypot(u, v)
    d = np.maximum(_hexagon(u, v, 0.87), HOLES["nut"] - r)
    chamfer = np.clip((r - 0.84) / 0.16, 0, 1) * 0.16
    thread = np.clip((r - HOLES["nut"]) / 0.09, 0, 1)  # the hole widens in a turned cone
    height = np.maximum(0.46 * _round(d, 0.03) - chamfer - 0.12 * (1 - thread), 0)
    return Shape(height, _cover(d, pixel), 0.55 + 0.45 * thread)


def _gear(u: Field, v: Field, pixel: float) -> Shape:
    r, angle = np.hypot(u, v), np.arctan2(v, u)
    tooth = np.clip(1.7 * np.cos(16 * angle) + 0.1, -1, 1)
    d = (r - (0.89 + 0.11 * tooth)) * 0.75
    key = _box(u - HOLES["gear"], v, 0.07, 0.06)
    d = np.maximum(d, -np.minimum(r - HOLES["gear"], key))
    web = np.clip(np.minimum(r - 0.42, 0.68 - r) / 0.025, 0, 1)
    hub = np.clip((0.40 - r) / 0.02, 0, 1)
    height = 0.24 * _round(d, 0.035) - 0.11 * web + 0.09 * hub * _round(d, 0.02)
    return Shape(np.maximum(height, 0), _cover(d, pixel), 1 - 0.12 * web)


def _bracket(u: Field, v: Field, pixel: float) -> Shape:
    outer = _box(u, v, 0.88, 0.88, 0.08)
    notch = _box(u - 0.60, v + 0.60, 0.80, 0.80, 0.06)
    d = np.maximum(outer, -notch)
    for x, y in ((-0.54, -0.60), (-0.54, -0.02), (0.05, 0.54), (0.60, 0.54)):
        d = np.maximum(d, 0.125 - np.hypot(u - x, v - y))
    return Shape(0.13 * _round(d, 0.035), _cover(d, pixel), np.ones_like(u))


def _pipe(u: Field, v: Field, pixel: float) -> Shape:
    radius = 0.36
    end = np.sqrt(np.maximum(1 - (v / radius) ** 2, 0))  # both ends are circles seen at a slant
    d = np.maximum(np.maximum(np.abs(v) - radius, u - (0.98 + 0.12 * end)), -(u + 0.98 + 0.10 * end))
    height = radius + np.sqrt(np.maximum(radius**2 - v**2, 1e-6))
    mouth = np.hypot((u - 0.98) / 0.12, v / radius)
    face = _cover(mouth - 1, pixel * 4)
    bore = _cover((mouth - 0.76) / 4, pixel)
    collar = np.clip((0.04 - np.abs(u + 0.72)) / 0.02, 0, 1)
    height = np.where(mouth < 1, height * (1 - 0.10 * face) - 0.35 * bore, height) + 0.02 * collar
    return Shape(
        np.maximum(height, 0) * _round(d, 0.02), _cover(d, pixel), (1 + 0.12 * face) * (1 - 0.82 * bore)
    )


def _plate(u: Field, v: Field, pixel: float) -> Shape:
    d = _box(u, v, 1.0, 0.70, 0.09)
    for x in (-0.82, 0.82):
        for y in (-0.52, 0.52):
            d = np.maximum(d, 0.085 - np.hypot(u - x, v - y))
    return Shape(0.09 * _round(d, 0.03), _cover(d, pixel), np.ones_like(u))


def _bearing(u: Field, v: Field, pixel: float) -> Shape:
    r, angle = np.hypot(u, v), np.arctan2(v, u)
    d = np.maximum(r - 1, HOLES["bearing"] - r)
    outer = np.maximum(r - 1, 0.77 - r)
    inner = np.maximum(r - 0.53, HOLES["bearing"] - r)
    rings = 0.30 * np.maximum(_round(outer, 0.04), _round(inner, 0.04))
    step = 2 * math.pi / 9
    local = (angle + step / 2) % step - step / 2
    ball = np.hypot(r - 0.65, local * 0.65) / 0.115
    balls = np.where(ball < 1, 0.10 + 0.16 * np.sqrt(np.maximum(1 - ball**2, 0)), 0.03)
    groove = (r > 0.53) & (r < 0.77)
    tone = np.where(groove & (ball >= 1), 0.28, 1.0).astype(np.float32)
    return Shape(np.where(groove, balls, rings).astype(np.float32), _cover(d, pixel), tone)


def _bolt(u: Field, v: Field, pixel: float) -> Shape:
    head = np.maximum(np.abs(u + 0.80) - 0.21, np.abs(v) - 0.47)
    shank = np.maximum(np.maximum(-0.70 - u, u - 1.0), np.abs(v) - 0.21 + 0.5 * np.maximum(u - 0.93, 0))
    threaded = np.clip((u + 0.15) / 0.04, 0, 1)
    wave = np.abs(((u + 0.12 * v) * 11) % 1 - 0.5) * 2  # triangular, 11 turns a unit
    fine = min(1.0, 0.045 / pixel)  # threads finer than a pixel only darken, or they would alias
    facets = 0.47 + np.where(np.abs(v) < 0.235, 0.40, 0.40 - 0.62 * (np.abs(v) - 0.235) / 0.235 * 0.6)
    chamfer = 0.25 * np.clip((-0.93 - u) / 0.08, 0, 1)
    shaft = 0.47 + np.sqrt(np.maximum(0.21**2 - v**2, 1e-6)) - 0.035 * fine * threaded * wave
    height = np.where(head < 0, facets - chamfer, shaft)
    d = np.minimum(head, shank)
    tone = np.where(head < 0, 1.0, 1 - threaded * (0.18 + 0.34 * fine * (wave - 0.5)))
    return Shape((height * _round(d, 0.015)).astype(np.float32), _cover(d, pixel), tone.astype(np.float32))


SHAPES: dict[str, Callable[[Field, Field, float], Shape]] = {
    "bolt": _bolt, "nut": _nut, "washer": _washer, "gear": _gear,
    "bracket": _bracket, "pipe": _pipe, "plate": _plate, "bearing": _bearing,
}  # fmt: skip

TOWARDS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "top": (0.0, -1.0), "bottom": (0.0, 1.0)}


@cache
def _silhouette(part: str) -> Field:
    """Points inside the part, (n, 2), on a grid of 61 x 61."""
    line = np.linspace(-1.1, 1.1, 61, dtype=np.float32)
    u, v = np.meshgrid(line, line)
    inside = part_shape(part, u, v, 0.01).alpha > 0.9
    return np.stack([u[inside], v[inside]], axis=1)


def place_point(part: str, place: str, rotation: float, edge: float = 0.8) -> tuple[float, float]:
    """Where on a part, turned by `rotation`, a place lies: offset from its middle in radii, along the picture's axes.

    The middle of a ring is its hole: a defect there lies around the hole. Otherwise the point is on the part, at the
    share `edge` of its extent in that direction.
    """
    cosine, sine = math.cos(rotation), math.sin(rotation)
    points = _silhouette(part) @ np.array([[cosine, sine], [-sine, cosine]], dtype=np.float32)
    middle = points.mean(axis=0)
    if place == "centre":
        if part in HOLES:
            return 0.0, 0.0
        found = points[np.argmin(((points - middle) ** 2).sum(axis=1))]
        return float(found[0]), float(found[1])
    direction = np.array(TOWARDS[place], dtype=np.float32)
    along = points @ direction
    across = (points - middle) @ np.array([-direction[1], direction[0]])
    target = edge * along.max()
    found = points[np.argmin(np.abs(along - target) * 2 + np.abs(across))]
    return float(found[0]), float(found[1])
