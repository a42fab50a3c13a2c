"""Renders a scene to a photo with an exact class mask and depth: a height field, lit, and photographed.

    shot = render(scene, 400, 300)
    shot.image, shot.mask, shot.depth_m

The camera is a pinhole above the table, a little tilted. Shading: one lamp with a cast shadow, light from all around
with an approximate ambient occlusion, and for metals a reflection of an imagined hall (dark floor, two window bands).
Shadows are marched over a height field, so nothing overhangs; parts are moved by the tilt, but not foreshortened.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from data.demo.flaws import CLASSES, Patch, apply_flaw, flaw_of
from data.demo.scenes import Placed, Scene
from data.demo.shapes import Field, part_shape, place_point
from data.demo.surfaces import ground, material_of, noise, texture

HALF_FIELD = math.tan(math.radians(16))  # half of the vertical field of view: 32 degrees


@dataclass(frozen=True)
class Rendered:
    """image: uint8 (h, w, 3) sRGB. mask: uint8 (h, w), classes of flaws.CLASSES. depth_m: float32 (h, w), metres
    along the optical axis."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    depth_m: Field


@dataclass
class Canvas:
    """The table as the camera sees it: x, y view units, z metres; then the surface, all (h, w) or (h, w, 3)."""

    x: Field
    y: Field
    z: Field
    pixel: float
    height: Field
    albedo: Field
    mirror: Field
    gloss: Field
    shine: Field
    mask: NDArray[np.uint8]


def render(scene: Scene, width: int, height: int) -> Rendered:
    """Render a scene. The same scene gives the same surface at any size; only the sensor's noise differs."""
    canvas = _table(scene, width, height)
    for placed in scene.distractors:
        _stamp(canvas, scene, placed, scene.distractor_material, None)
    for placed in scene.objects:
        _stamp(canvas, scene, placed, scene.material, scene.defect if scene.defect != "none" else None)
    light = _light(scene, canvas)
    metres = scene.camera_m * HALF_FIELD  # metres in one view unit
    depth = (canvas.z - canvas.height * metres).astype(np.float32)
    return Rendered(_develop(scene, light), canvas.mask, depth)


def _table(scene: Scene, width: int, height: int) -> Canvas:
    pixel = 2 / height
    line_x = ((np.arange(width, dtype=np.float32) + 0.5) - width / 2) * pixel
    line_y = ((np.arange(height, dtype=np.float32) + 0.5) - height / 2) * pixel
    px, py = np.meshgrid(line_x, line_y)
    tilt_x, tilt_y = math.sin(scene.tilt_x), math.sin(scene.tilt_y)
    upright = math.sqrt(1 - tilt_x**2 - tilt_y**2)
    stretch = (1 / (upright + HALF_FIELD * (tilt_x * px + tilt_y * py))).astype(np.float32)
    x, y = px * stretch, py * stretch
    rng = np.random.default_rng([scene.seed, 1])
    table = ground(rng, scene.background, x, y, scene.background_angle, pixel)
    shape = x.shape
    return Canvas(
        x, y, stretch * scene.camera_m, pixel, table.height, table.albedo,
        np.full(shape, table.mirror, np.float32), np.full(shape, 14, np.float32),
        np.full(shape, table.shine, np.float32), np.zeros(shape, np.uint8),
    )  # fmt: skip


def _box(canvas: Canvas, placed: Placed) -> tuple[slice, slice] | None:
    """Rows and columns that an object can touch; None when it lies outside the picture."""
    reach = 1.5 * placed.radius
    rows = np.flatnonzero((np.abs(canvas.y - placed.y) < reach).any(axis=1))
    columns = np.flatnonzero((np.abs(canvas.x - placed.x) < reach).any(axis=0))
    if not len(rows) or not len(columns):
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _stamp(canvas: Canvas, scene: Scene, placed: Placed, material_name: str, defect: str | None) -> None:
    """Lay one object on the table, with its defect; the defect's class goes into the mask."""
    box = _box(canvas, placed)
    if box is None:
        return
    dx, dy = (canvas.x[box] - placed.x) / placed.radius, (canvas.y[box] - placed.y) / placed.radius
    cosine, sine = np.float32(math.cos(placed.rotation)), np.float32(math.sin(placed.rotation))
    u, v = dx * cosine + dy * sine, -dx * sine + dy * cosine
    pixel = canvas.pixel / placed.radius
    shape = part_shape(placed.part, u, v, pixel)
    material = material_of(material_name, scene.seed)
    rng = np.random.default_rng([placed.seed, 2])
    tone = shape.tone * texture(rng, material, placed.part, u, v, pixel)
    albedo = tone[..., None] * np.array(material.albedo, dtype=np.float32)
    grain = material.grain * 0.03 * noise(rng, u.shape, (48, 48)) if material.grain else 0.0
    patch = Patch(shape.height + grain, shape.alpha, albedo, np.zeros_like(u))
    label = (patch.alpha > 0.5).astype(np.uint8)
    if placed in scene.distractors:
        label[:] = 0  # another kind of part at the edge belongs to the background
    if defect is not None and scene.place is not None and scene.severity is not None:
        flaw = flaw_of(placed.part, material_name, scene.place, scene.severity, pixel)
        edge = 0.94 if defect == "chip" else 0.80
        a, b = place_point(placed.part, scene.place, placed.rotation, edge)
        where = apply_flaw(rng, defect, flaw, dx - np.float32(a), dy - np.float32(b), patch)
        label[where] = CLASSES[defect]
    _lay(canvas, box, patch, placed.radius, label)
    dull = patch.alpha * (1 - patch.matt)
    for field, value in ((canvas.mirror, material.mirror), (canvas.shine, material.shine)):
        field[box] = field[box] * (1 - patch.alpha) + value * shape.tone * dull
    canvas.gloss[box] += patch.alpha * (material.gloss - canvas.gloss[box])


def _lay(
    canvas: Canvas, box: tuple[slice, slice], patch: Patch, radius: float, label: NDArray[np.uint8]
) -> None:
    alpha = patch.alpha
    under = canvas.height[box]
    canvas.height[box] += alpha * (patch.height * radius + np.float32(under.mean()) - under)
    canvas.albedo[box] += alpha[..., None] * (patch.albedo - canvas.albedo[box])
    canvas.mask[box] = np.where(label > 0, label, canvas.mask[box])


def _light(scene: Scene, canvas: Canvas) -> Field:
    """Linear RGB of the lit table, (h, w, 3)."""
    elevation, azimuth = scene.light_elevation, scene.light_azimuth
    lx, ly = math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth)
    lz = math.sin(elevation)
    gy, gx = np.gradient(canvas.height, np.float32(canvas.pixel))
    nz = 1 / np.sqrt(1 + gx * gx + gy * gy)
    nx, ny = -gx * nz, -gy * nz
    fine = canvas.pixel < 0.012
    relief, step = (_halved(canvas.height), 2 * canvas.pixel) if fine else (canvas.height, canvas.pixel)
    shadow, hidden = _shadow(relief, lx, ly, lz, step), _occlusion(relief, step)
    if fine:
        shadow, hidden = _doubled(shadow, nx.shape), _doubled(hidden, nx.shape)
    sun = np.maximum(nx * lx + ny * ly + nz * lz, 0) * shadow * np.float32(scene.light_intensity)
    sky = scene.ambient * hidden * (0.55 + 0.45 * nz)
    diffuse = (1.25 * sun + sky) * (1 - 0.6 * canvas.mirror)
    half = math.sqrt(lx * lx + ly * ly + (lz + 1) ** 2)
    aligned = (nx * lx + ny * ly + nz * (lz + 1)) / half
    glint = canvas.shine * np.exp(canvas.gloss * (aligned - 1)) * shadow * scene.light_intensity
    hall = canvas.mirror * _hall(scene, nx, ny, nz, canvas) * (0.35 + 0.65 * shadow)
    colour = canvas.albedo * (diffuse + 1.5 * hall)[..., None]
    # Metals tint what they reflect; on other surfaces the highlight is white.
    white = np.minimum(canvas.mirror, 1)[..., None]
    return colour + 0.9 * glint[..., None] * (white * canvas.albedo * 2.2 + (1 - white) * 0.5)


def _hall(scene: Scene, nx: Field, ny: Field, nz: Field, canvas: Canvas) -> Field:
    """What a mirror sees above the table: a hall brighter to one side, with two bands of windows."""
    rx, ry = 2 * nz * nx + 0.22 * canvas.x, 2 * nz * ny + 0.22 * canvas.y
    angle = scene.light_azimuth + 0.7
    along = rx * math.cos(angle) + ry * math.sin(angle)
    across = -rx * math.sin(angle) + ry * math.cos(angle)
    bands = np.exp(-(((along - 0.42) / 0.16) ** 2)) + 0.7 * np.exp(-(((along + 0.55) / 0.13) ** 2))
    return 0.30 + 0.24 * np.tanh(2.2 * along) + 1.1 * bands * (0.75 + 0.25 * np.cos(3 * across))


def _shadow(height: Field, lx: float, ly: float, lz: float, pixel: float) -> Field:
    """1 in the light, 0 in full shadow: for each step towards the lamp, is the ground there higher than the ray?"""
    flat = max(math.hypot(lx, ly), 1e-3)
    slope, ux, uy = lz / flat, lx / flat, ly / flat
    reach = min(1.2 / slope, 0.9)
    lit = np.ones_like(height)
    h, w = height.shape
    for distance in reach * np.linspace(0.04, 1, 12) ** 1.4:
        sx, sy = round(ux * distance / pixel), round(uy * distance / pixel)
        if abs(sx) >= w or abs(sy) >= h:
            continue
        here = (slice(max(0, -sy), h - max(0, sy)), slice(max(0, -sx), w - max(0, sx)))
        there = (slice(max(0, sy), h - max(0, -sy)), slice(max(0, sx), w - max(0, -sx)))
        open_sky = (height[here] - height[there]) * np.float32(20) + np.float32(1 + 20 * distance * slope)
        np.minimum(lit[here], open_sky, out=lit[here])
    return _smooth(np.maximum(lit, 0), max(1, round(0.012 / pixel)))


def _occlusion(height: Field, pixel: float) -> Field:
    """Light from all around: less where the neighbourhood stands higher."""
    wide = _smooth(height, max(1, round(0.10 / pixel))) - height
    near = _smooth(height, max(1, round(0.03 / pixel))) - height
    return np.clip(1 - 2.2 * np.maximum(wide, 0) - 3.0 * np.maximum(near, 0), 0.25, 1)


def _halved(field: Field) -> Field:
    """Every second pixel: shadows are soft, and cost a quarter."""
    return np.ascontiguousarray(field[::2, ::2])


def _doubled(field: Field, shape: tuple[int, ...]) -> Field:
    big = Image.fromarray(field).resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(big)


def _smooth(field: Field, radius: int) -> Field:
    """Box blur of (2 radius + 1) squared, twice; the border is repeated."""
    for _ in range(2):
        for axis in (0, 1):
            pad = [(0, 0), (0, 0)]
            pad[axis] = (radius + 1, radius)
            total = np.cumsum(np.pad(field, pad, mode="edge"), axis=axis, dtype=np.float32)
            size = 2 * radius + 1
            field = (total[size:] - total[:-size] if axis == 0 else total[:, size:] - total[:, :-size]) / size
    return field


def _develop(scene: Scene, light: Field) -> NDArray[np.uint8]:
    """From linear light to the camera's picture: exposure, white balance, vignette, tone curve, lens blur, noise."""
    h, w, _ = light.shape
    y, x = (
        np.linspace(-0.75, 0.75, h, dtype=np.float32)[:, None],
        np.linspace(-1, 1, w, dtype=np.float32)[None],
    )
    fall = 1 - scene.vignette * (x * x + y * y)
    warm = math.exp(scene.warmth)
    balance = np.array([warm, 1.0, 1 / warm], dtype=np.float32) * np.float32(scene.exposure * 0.95)
    levels = np.sqrt(light * (balance * fall[..., None])) * np.float32(LEVELS / 2)
    picture = Image.fromarray(_tone_curve()[np.minimum(levels, LEVELS - 1).astype(np.int16)])
    if scene.blur * h / 2 > 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(scene.blur * h / 2))
    rng = np.random.default_rng([scene.seed, 3])
    sigma = scene.noise * 255 * min(1.0, h / 300)  # larger pixels gather more light
    grain = rng.standard_normal((h, w), dtype=np.float32) * np.float32(sigma)
    chroma = np.stack([0.4 * np.roll(grain, shift, axis=1) for shift in (7, 31, 53)], axis=2)
    return np.clip(np.asarray(picture) + grain[..., None] + chroma, 0, 255).astype(np.uint8)


LEVELS = 2048  # steps of the table from the square root of linear light (0 to 2) to sRGB


@cache
def _tone_curve() -> NDArray[np.uint8]:
    """Shoulder, gamma, and the S of a camera's own processing; a table, because powers of every pixel are slow."""
    exposed = (np.arange(LEVELS) / (LEVELS / 2)) ** 2
    curve = np.clip(exposed * (1.15 + exposed / 3) / (1 + exposed), 0, 1) ** (1 / 2.2)
    return ((0.55 * curve + 0.45 * curve * curve * (3 - 2 * curve)) * 255).astype(np.uint8)
