"""What a demo photo shows, and everything by chance about how it was taken. Drawing a scene renders nothing.

    scene = sample_scene(np.random.default_rng(7), SITE_MATERIALS, SITE_DEFECTS)

Lengths are in view units: the picture is 2 units high and centred on 0, x to the right, y down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

PARTS = ("bolt", "nut", "washer", "gear", "bracket", "pipe", "plate", "bearing")
MATERIALS = ("steel", "brass", "copper", "aluminium", "plastic")
NEW_MATERIALS = ("rubber", "cast_iron")  # only the site has them: the encoder never saw them
DEFECTS = ("none", "scratch", "dent", "rust", "crack", "stain")
NEW_DEFECTS = ("chip", "burn")  # likewise
PLACES = ("centre", "left", "right", "top", "bottom")
SEVERITIES = ("slight", "moderate", "severe")
BACKGROUNDS = ("workbench", "tray", "conveyor", "concrete", "cloth")
COUNTS = (1, 2, 3, 4)

# Repeats are weights: what is new appears three quarters as often as what is known, so in 35 to 40 % of the scenes.
SITE_MATERIALS = MATERIALS * 4 + NEW_MATERIALS * 3
SITE_DEFECTS = DEFECTS * 4 + NEW_DEFECTS * 3

SHARE_WITHOUT_DEFECT = 0.25
RUSTING = ("steel", "cast_iron", "brass", "copper")  # rust on plastic, rubber or aluminium would look false
LONG_PARTS = (
    "bolt",
    "pipe",
    "plate",
    "bracket",
)  # kept near the axes, so that left and top are not the same end
# Radius of a part by count: four parts must be told apart, one may fill the picture.
RADII = {1: (0.56, 0.74), 2: (0.44, 0.54), 3: (0.38, 0.45), 4: (0.36, 0.42)}
LAYOUTS: dict[int, tuple[tuple[tuple[float, float], ...], ...]] = {
    1: (((0.0, 0.0),),),
    2: (((-0.60, 0.0), (0.60, 0.0)), ((-0.55, -0.38), (0.55, 0.38)), ((-0.55, 0.38), (0.55, -0.38))),
    3: (((-0.72, 0.38), (0.0, -0.42), (0.72, 0.38)), ((-0.72, -0.38), (0.0, 0.42), (0.72, -0.38))),
    4: (((-0.56, -0.47), (0.56, -0.47), (-0.56, 0.47), (0.56, 0.47)),),
}


@dataclass(frozen=True)
class Placed:
    """One object: which part, where (view units), how large (radius), turned by how many radians, its own seed."""

    part: str
    x: float
    y: float
    radius: float
    rotation: float
    seed: int


@dataclass(frozen=True)
class Scene:
    """The facts (first seven fields; place and severity are None without a defect), then the nuisance.

    tilt_x and tilt_y are radians, camera_m metres above the table, blur in view units (standard deviation),
    noise a standard deviation on the range 0 to 1, warmth the log ratio of red to blue.
    """

    part: str
    material: str
    defect: str
    place: str | None
    severity: str | None
    background: str
    count: int
    objects: tuple[Placed, ...]
    distractors: tuple[Placed, ...]
    distractor_material: str
    light_azimuth: float
    light_elevation: float
    light_intensity: float
    ambient: float
    warmth: float
    exposure: float
    camera_m: float
    tilt_x: float
    tilt_y: float
    blur: float
    noise: float
    vignette: float
    background_angle: float
    jpeg_quality: int
    seed: int

    @property
    def facts(self) -> tuple[str, str, str, str | None, str | None, str, int]:
        """What a caption must say; two scenes with equal facts share every right caption."""
        return (
            self.part, self.material, self.defect, self.place, self.severity, self.background, self.count
        )  # fmt: skip


def slots(scene: Scene) -> dict[str, str | int]:
    """The facts as slots of the `parts` template: option ids; place and severity only where there is a defect.

    slots(scene)["part"] == "bolt"
    """
    found: dict[str, str | int] = {
        "part": scene.part, "material": scene.material, "defect": scene.defect,
        "background": scene.background, "count": scene.count,
    }  # fmt: skip
    if scene.place is not None and scene.severity is not None:
        found |= {"place": scene.place, "severity": scene.severity}
    return found


def sample_scene(rng: np.random.Generator, materials: Sequence[str], defects: Sequence[str]) -> Scene:
    """Draw a scene. A value that stands twice in `materials` or `defects` is twice as likely; a quarter of the scenes
    has no defect whatever the share of "none"."""
    part, material = _one(rng, PARTS), _one(rng, materials)
    found = [d for d in defects if d != "none" and (d != "rust" or material in RUSTING)]
    defect = "none" if not found or rng.random() < SHARE_WITHOUT_DEFECT else _one(rng, found)
    # A dent or a chip in the hole of a ring would not be seen.
    places = (
        PLACES[1:] if defect in ("dent", "chip") and part in ("nut", "washer", "gear", "bearing") else PLACES
    )
    place = None if defect == "none" else _one(rng, places)
    severity = None if defect == "none" else _one(rng, SEVERITIES)
    count = int(rng.choice(COUNTS, p=(0.4, 0.25, 0.2, 0.15)))
    return Scene(
        part=part, material=material, defect=defect, place=place, severity=severity,
        background=_one(rng, BACKGROUNDS), count=count,
        objects=_objects(rng, part, count),
        distractors=_distractors(rng, part) if rng.random() < 0.25 else (),
        distractor_material=_one(rng, MATERIALS),
        light_azimuth=rng.uniform(0, 2 * math.pi),
        light_elevation=rng.uniform(0.55, 1.0),
        light_intensity=rng.uniform(0.85, 1.25),
        ambient=rng.uniform(0.25, 0.45),
        warmth=float(np.clip(rng.normal(0, 0.09), -0.2, 0.2)),
        exposure=float(np.exp(rng.normal(0, 0.13))),
        camera_m=rng.uniform(0.5, 0.8),
        tilt_x=float(np.clip(rng.normal(0, 0.06), -0.15, 0.15)),
        tilt_y=float(np.clip(rng.normal(0.05, 0.07), -0.15, 0.2)),
        blur=rng.uniform(0.0015, 0.006) if rng.random() < 0.88 else rng.uniform(0.008, 0.013),
        noise=rng.uniform(0.005, 0.022),
        vignette=rng.uniform(0.05, 0.3),
        background_angle=rng.normal(0, 0.2) + (math.pi / 2 if rng.random() < 0.4 else 0),
        jpeg_quality=int(rng.integers(72, 93)),
        seed=int(rng.integers(2**31)),
    )  # fmt: skip


def second_shot(rng: np.random.Generator, scene: Scene) -> Scene:
    """The same set-up photographed again: everything a little moved, other noise, the same facts."""
    dx, dy = rng.uniform(-0.025, 0.025, 2)
    moved = tuple(replace(o, x=o.x + dx, y=o.y + dy, rotation=o.rotation + 0.01) for o in scene.objects)
    return replace(
        scene, objects=moved, exposure=scene.exposure * rng.uniform(0.96, 1.04), noise=scene.noise * 1.1
    )


def _one(rng: np.random.Generator, values: Sequence[str]) -> str:
    return values[int(rng.integers(len(values)))]


def _objects(rng: np.random.Generator, part: str, count: int) -> tuple[Placed, ...]:
    layout = LAYOUTS[count][int(rng.integers(len(LAYOUTS[count])))]
    radius = rng.uniform(*RADII[count])
    base = _rotation(rng, part)
    jitter = 0.16 if count == 1 else 0.035
    return tuple(
        Placed(
            part, x + rng.normal(0, jitter), y + rng.normal(0, jitter * 0.6), radius * rng.uniform(0.95, 1.05),
            base + rng.normal(0, 0.12) if part in LONG_PARTS else _rotation(rng, part), int(rng.integers(2**31)),
        )
        for x, y in layout
    )  # fmt: skip


def _rotation(rng: np.random.Generator, part: str) -> float:
    if part in LONG_PARTS:
        return float(rng.integers(4)) * math.pi / 2 + rng.normal(0, 0.18)
    return rng.uniform(0, 2 * math.pi)


def _distractors(rng: np.random.Generator, part: str) -> tuple[Placed, ...]:
    """One or two small parts of another kind at the edge of the picture, partly outside it."""
    other = _one(rng, [p for p in ("nut", "washer", "bolt", "bearing") if p != part])
    found = []
    for _ in range(int(rng.integers(1, 3))):
        side = 1 if rng.random() < 0.5 else -1
        x, y = side * rng.uniform(1.16, 1.33), rng.uniform(-0.95, 0.95)
        found.append(
            Placed(other, x, y, rng.uniform(0.10, 0.16), rng.uniform(0, 6.28), int(rng.integers(2**31)))
        )
    return tuple(found)
