"""Photos show what the scene says: the masks are exact, defects lie where they are said to, depth is in metres."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.demo.flaws import CLASSES
from data.demo.render import render
from data.demo.scenes import DEFECTS, MATERIALS, NEW_DEFECTS, NEW_MATERIALS, PARTS, Scene, sample_scene
from data.demo.shapes import HOLES


def scene_with(**facts: object) -> Scene:
    """A scene of one part in the middle, upright camera, with the given facts."""
    rng = np.random.default_rng(11)
    scene = sample_scene(rng, MATERIALS, DEFECTS)
    while scene.count != 1:
        scene = sample_scene(rng, MATERIALS, DEFECTS)
    part = str(facts.get("part", "plate"))
    placed = replace(scene.objects[0], part=part, x=0.0, y=0.0, radius=0.65, rotation=0.0)
    facts = {"part": part, "place": "centre", "severity": "severe", "defect": "scratch", **facts}
    return replace(scene, objects=(placed,), distractors=(), tilt_x=0.0, tilt_y=0.0, **facts)  # type: ignore[arg-type]


def test_shapes_and_types() -> None:
    shot = render(scene_with(), 80, 60)
    assert shot.image.shape == (60, 80, 3) and shot.image.dtype == np.uint8
    assert shot.mask.shape == (60, 80) and shot.mask.dtype == np.uint8
    assert shot.depth_m.shape == (60, 80) and shot.depth_m.dtype == np.float32


def test_a_scene_renders_the_same_twice() -> None:
    scene = scene_with()
    assert np.array_equal(render(scene, 80, 60).image, render(scene, 80, 60).image)


@pytest.mark.parametrize("material", MATERIALS + NEW_MATERIALS)
@pytest.mark.parametrize("defect", DEFECTS[1:] + NEW_DEFECTS)
def test_each_defect_is_seen_on_each_material(defect: str, material: str) -> None:
    """In its mask, and in the picture: inside the mask the photo differs from the same part without it."""
    scene = scene_with(defect=defect, material=material)
    shot = render(scene, 200, 150)
    sound = render(replace(scene, defect="none", place=None, severity=None), 200, 150)
    where = shot.mask == CLASSES[defect]
    assert where.sum() > 60
    difference = np.abs(shot.image.astype(float) - sound.image).mean(axis=2)
    assert difference[where].mean() > 3 * difference[:20].mean()
    assert difference[where].mean() > 9


@pytest.mark.parametrize("part", PARTS)
def test_masks_have_only_the_classes_of_the_scene(part: str) -> None:
    shot = render(scene_with(part=part, defect="rust", material="steel"), 160, 120)
    assert set(np.unique(shot.mask)) == {CLASSES["background"], CLASSES["part"], CLASSES["rust"]}


@pytest.mark.parametrize(
    ("place", "axis", "sign"), [("left", 1, -1), ("right", 1, 1), ("top", 0, -1), ("bottom", 0, 1)]
)
@pytest.mark.parametrize("part", PARTS)
def test_a_defect_lies_at_its_place(part: str, place: str, axis: int, sign: int) -> None:
    shot = render(scene_with(part=part, defect="stain", place=place, severity="slight"), 160, 120)
    whole = np.argwhere(shot.mask > 0).mean(axis=0)
    flaw = np.argwhere(shot.mask == CLASSES["stain"]).mean(axis=0)
    assert sign * (flaw - whole)[axis] > 3


@pytest.mark.parametrize("part", PARTS)
def test_a_defect_in_the_middle_lies_in_the_middle(part: str) -> None:
    shot = render(scene_with(part=part, defect="rust", material="steel", severity="moderate"), 160, 120)
    whole, flaw = (np.argwhere(shot.mask > low).mean(axis=0) for low in (0, 1))
    assert np.abs(flaw - whole).max() < (10 if part in HOLES else 16)


def test_a_severer_defect_is_larger() -> None:
    areas = [
        (
            render(scene_with(defect="rust", material="steel", severity=s), 160, 120).mask == CLASSES["rust"]
        ).sum()
        for s in ("slight", "moderate", "severe")
    ]
    assert areas[0] * 1.4 < areas[1] and areas[1] * 1.4 < areas[2]


def test_depth_is_the_distance_to_the_camera() -> None:
    scene = scene_with(part="nut", defect="none", place=None, severity=None, background="concrete")
    shot = render(scene, 160, 120)
    table, part = np.median(shot.depth_m[shot.mask == 0]), np.median(shot.depth_m[shot.mask == 1])
    assert abs(table - scene.camera_m) < 0.01
    assert 0.01 < table - part < 0.2  # a nut of radius 0.65 view units is some centimetres high


def test_a_tilted_camera_sees_one_side_nearer() -> None:
    scene = replace(scene_with(background="concrete"), tilt_y=0.15)
    depth = render(scene, 160, 120).depth_m
    assert depth[:10].mean() - depth[-10:].mean() > 0.02


def test_a_smaller_rendering_shows_the_same_picture() -> None:
    """The encoder is trained on small renderings and used on photos: both must look alike."""
    large, small = (
        render(scene_with(defect="rust", material="steel"), *size) for size in ((400, 300), (200, 150))
    )
    reduced = large.image.reshape(150, 2, 200, 2, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(reduced - small.image).mean() < 9
    assert np.mean(large.mask[::2, ::2] == small.mask) > 0.97


def test_distractors_at_the_edge_are_background() -> None:
    rng = np.random.default_rng(0)
    scene = sample_scene(rng, MATERIALS, DEFECTS)
    while not scene.distractors:
        scene = sample_scene(rng, MATERIALS, DEFECTS)
    with_them, without = render(scene, 160, 120), render(replace(scene, distractors=()), 160, 120)
    assert not np.array_equal(with_them.image, without.image)
    assert np.array_equal(with_them.mask, without.mask)
