"""The sets beyond ../shared: the demo's own errors, and MSCOCO and Flickr30k in the layout they are published in."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from data.demo.build import read_truth
from data.demo.captions import WRONG_KINDS
from data.errors import GenbaError
from scoring.benchmark_sets import SPLITS, demo, make_site, open_set, planted_pairs
from scoring.score import captioned_pairs
from tests.data.makers import photo


@pytest.fixture(scope="module")
def small_demo(tmp_path_factory):
    return demo(tmp_path_factory.mktemp("scratch"), scenes=60)


def test_the_demo_set_has_the_errors_of_its_renderer(small_demo, tmp_path: Path):
    truth = Counter(row["error"] for row in read_truth(small_demo.folder))
    wrong = {kind: count for kind, count in truth.items() if kind != "none"}
    assert sum(truth.values()) == len(small_demo.pairs) == 60 and set(wrong) <= set(small_demo.kinds) == set(
        WRONG_KINDS
    )
    assert small_demo.encoder == "demo" and small_demo.template == "parts"
    site = make_site(small_demo, tmp_path, small_demo.encoder)
    assert site.settings.site.demo and list(site.settings.site.languages) == ["ja", "en"]
    pairs = captioned_pairs(site)
    rows = planted_pairs(pairs, small_demo, share=0.3, seed=0)
    assert [row.pair for row in rows] == pairs, "nothing is planted on top"
    found = Counter(row.kind for row in rows if row.kind)
    assert found == wrong and small_demo.share == pytest.approx(sum(wrong.values()) / 60)
    assert {pair.language for pair in pairs} == {"ja", "en"}


def published(folder: Path, name: str, count: int = 20) -> Path:
    """A folder in the layout of Karpathy's split: `count` test photos with five captions, and one of another split."""
    images = []
    for number in range(count + 1):
        filepath = {"filepath": "val2014"} if name == "mscoco" else {}
        filename = f"{number:06d}.jpg"
        where = folder / "images" / filepath.get("filepath", "") / filename
        photo(where, seed=number + 1)
        sentences = [{"raw": f"photo {number} seen by\n person {one} ."} for one in range(5)]
        split = "test" if number < count else "train"
        images.append({**filepath, "filename": filename, "split": split, "sentences": sentences})
    (folder / SPLITS[name].file).write_text(json.dumps({"images": images, "dataset": name}))
    return folder


@pytest.mark.parametrize("name", SPLITS)
def test_a_published_set_with_two_fifths_of_its_captions_swapped(name, tmp_path: Path, tiny_encoder: Path):
    one = open_set(f"{name}:{published(tmp_path / 'set', name)}", tmp_path)
    assert len(one.pairs) == 100 and one.kinds == ("swap",) and one.share == 0.4
    assert one.pairs[0][1] == "photo 0 seen by person 0 ." and one.name == f"{name} test"
    site = make_site(one, tmp_path / "work", f"local-dir:{tiny_encoder}")
    pairs = captioned_pairs(site)
    assert len(pairs) == 100
    rows = planted_pairs(pairs, one, one.share, seed=1)
    wrong = [(row, pair) for row, pair in zip(rows, pairs, strict=True) if row.kind]
    assert len(wrong) == 40 and {row.kind for row, _ in wrong} == {"swap"}
    assert all(row.pair.caption.split()[1] != pair.caption.split()[1] for row, pair in wrong), (
        "of another photo"
    )


def test_what_is_absent_is_named(tmp_path: Path):
    with pytest.raises(GenbaError, match=r"There is no .*dataset_coco\.json") as error:
        open_set(f"mscoco:{tmp_path}", tmp_path)
    assert "val2014/COCO_val2014_" in str(error.value)
    folder = published(tmp_path / "flickr", "flickr30k")
    (folder / "images" / "000003.jpg").unlink()
    with pytest.raises(GenbaError, match=r"1 of 20 photos are not in .*images, 000003\.jpg first"):
        open_set(f"flickr30k:{folder}", tmp_path)
    (folder / "images").rename(folder / "elsewhere")
    with pytest.raises(GenbaError, match=r"000000\.jpg lies nowhere under"):
        open_set(f"flickr30k:{folder}", tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "is not a split file"), ('{"images": [{"split": "test"}]}', "KeyError"), ("[]", "not a split file"),
     ('{"images": []}', "no photo of the split 'test'")],
)  # fmt: skip
def test_a_broken_split_file_is_named(text, words, tmp_path: Path):
    (tmp_path / "dataset_coco.json").write_text(text)
    with pytest.raises(GenbaError, match=words):
        open_set(f"mscoco:{tmp_path}", tmp_path)


def test_an_unknown_set_lists_the_known_ones(tmp_path: Path):
    for given in ("coco", "mscoco", "flickr30k:"):
        with pytest.raises(GenbaError, match="No benchmark set") as error:
            open_set(given, tmp_path)
        assert "demo" in error.value.choices and "mscoco:FOLDER" in error.value.choices


def test_the_photos_of_shared_open_by_their_names(shared: Path, tmp_path: Path):
    assert open_set("inspection", tmp_path).template == "lab-inspection"
    assert open_set("flickr8k", tmp_path).name == "flickr8k dev"
