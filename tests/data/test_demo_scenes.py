"""Scenes are drawn as documented: repeatable, a quarter without defect, new things in 35 to 40 % of the site."""

from __future__ import annotations

import numpy as np
import pytest

from data.demo.scenes import (
    DEFECTS,
    LONG_PARTS,
    MATERIALS,
    NEW_DEFECTS,
    NEW_MATERIALS,
    RUSTING,
    SITE_DEFECTS,
    SITE_MATERIALS,
    Scene,
    sample_scene,
    second_shot,
    slots,
)


@pytest.fixture(scope="module")
def site() -> list[Scene]:
    rng = np.random.default_rng(3)
    return [sample_scene(rng, SITE_MATERIALS, SITE_DEFECTS) for _ in range(3000)]


def test_the_same_seed_draws_the_same_scene() -> None:
    first, again = (sample_scene(np.random.default_rng(5), MATERIALS, DEFECTS) for _ in range(2))
    other = sample_scene(np.random.default_rng(6), MATERIALS, DEFECTS)
    assert first == again != other


def test_shares_of_the_site(site: list[Scene]) -> None:
    new = [scene.material in NEW_MATERIALS or scene.defect in NEW_DEFECTS for scene in site]
    assert 0.34 < np.mean(new) < 0.41
    assert 0.22 < np.mean([scene.defect == "none" for scene in site]) < 0.28


def test_general_scenes_have_nothing_new() -> None:
    rng = np.random.default_rng(4)
    scenes = [sample_scene(rng, MATERIALS, DEFECTS) for _ in range(500)]
    assert not {scene.material for scene in scenes} & set(NEW_MATERIALS)
    assert not {scene.defect for scene in scenes} & set(NEW_DEFECTS)


def test_a_scene_holds_together(site: list[Scene]) -> None:
    for scene in site:
        assert len(scene.objects) == scene.count
        assert all(placed.part == scene.part for placed in scene.objects)
        assert all(placed.part != scene.part for placed in scene.distractors)
        assert (scene.place is None) == (scene.severity is None) == (scene.defect == "none")
        assert scene.defect != "rust" or scene.material in RUSTING


def test_objects_do_not_lie_on_each_other(site: list[Scene]) -> None:
    for scene in site:
        if scene.part in LONG_PARTS:
            continue
        for i, one in enumerate(scene.objects):
            for other in scene.objects[:i]:
                assert np.hypot(one.x - other.x, one.y - other.y) > 0.93 * (one.radius + other.radius)


def test_slots_leave_out_place_and_severity_without_a_defect(site: list[Scene]) -> None:
    for scene in site[:200]:
        assert ("place" in slots(scene)) == ("severity" in slots(scene)) == (scene.defect != "none")
        assert slots(scene)["count"] == scene.count


def test_a_second_shot_is_another_picture_of_the_same_facts(site: list[Scene]) -> None:
    again = second_shot(np.random.default_rng(0), site[0])
    assert again.facts == site[0].facts
    assert again.objects != site[0].objects
