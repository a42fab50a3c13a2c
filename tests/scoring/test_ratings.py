"""Rank correlations with known answers, the layouts that are read, and the command on real photos."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.errors import GenbaError
from scoring.encoders import load_encoder
from scoring.ratings import RatedPair, agreement, clip_scores, correlations, rate, read_ratings, table
from tests.conftest import CHECKOUT, ENVIRONMENT
from tests.data.makers import photo


def pair(image: str, *ratings: float, caption: str = "a bolt") -> RatedPair:
    return RatedPair(image, caption, ratings)


def test_correlations_by_hand():
    """Scores 1 2 3 4, ratings 1 1 2 2: of 6 pairs 4 concordant, 0 discordant, 2 tied in the ratings.

    tau-b = (4 - 0) / sqrt(6 (6 - 2)); tau-c = 2 * 4 * m / (n^2 (m - 1)) with n = 4, m = 2 (Kendall 1945, Stuart 1953);
    rho = Pearson of the ranks (1, 2, 3, 4) and (1.5, 1.5, 3.5, 3.5) = 4 / sqrt(5 * 4).
    """
    tau_b, tau_c, rho = correlations(np.array([1, 2, 3, 4.0]), np.array([1, 1, 2, 2.0]))
    assert tau_b == pytest.approx(4 / np.sqrt(24))
    assert tau_c == pytest.approx(1.0)
    assert rho == pytest.approx(4 / np.sqrt(20))


def test_a_discordant_pair_and_the_sign():
    tau_b, tau_c, rho = correlations(
        np.array([3, 1, 2.0]), np.array([1, 2, 3.0])
    )  # 1 concordant, 2 discordant
    assert tau_b == pytest.approx(-1 / 3) and tau_c == pytest.approx(-1 / 3) and rho == pytest.approx(-0.5)
    assert np.isnan(correlations(np.array([1, 2.0]), np.array([4, 4.0]))).all()


def test_each_rating_is_an_observation_and_the_mean_another_view():
    rated = [pair("a", 1, 1, 3), pair("b", 2, 2, 2), pair("c", 4, 4, 4)]
    scores = np.array([0.1, 0.2, 0.3])
    each, mean = (agreement(scores, rated, way, resamples=50) for way in ("each", "mean"))
    assert (each.observations, mean.observations) == (9, 3)
    tau_b, _, _ = correlations(np.repeat(scores, 3), np.array([1, 1, 3, 2, 2, 2, 4, 4, 4.0]))
    assert each.correlations[0].value == pytest.approx(tau_b) and 0 < tau_b < 1
    assert mean.correlations[0].value == pytest.approx(1.0)


def test_the_interval_covers_a_known_tau():
    """Of two normals with correlation r, tau = 2/pi asin(r) (Kruskal 1958): 1/3 for r = 0.5."""
    inside = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=120)
        y = 0.5 * x + np.sqrt(0.75) * rng.normal(size=120)
        found = agreement(
            x, [pair(str(i), value) for i, value in enumerate(y)], "each", 120, seed
        ).correlations[0]
        inside += found.low <= 1 / 3 <= found.high
        assert found.measure == "tau_b" and found.low < found.value < found.high
    assert inside >= 25, "28.5 expected of 30 at 95 %"


def test_photos_are_drawn_whole():
    """Ten copies of each photo's row say no more than one: the interval stays as wide."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=40), rng.normal(size=40)
    once = agreement(x, [pair(str(i), y[i]) for i in range(40)], "each", 300).correlations[0]
    rows = [pair(str(i), y[i], caption=str(copy)) for i in range(40) for copy in range(10)]
    often = agreement(np.repeat(x, 10), rows, "each", 300).correlations[0]
    assert often.high - often.low > 0.8 * (once.high - once.low)


def test_nothing_to_rank_is_an_error():
    with pytest.raises(GenbaError, match="3 ratings with 1 distinct"):
        agreement(np.array([1, 2, 3.0]), [pair("a", 2), pair("b", 2), pair("c", 2)], "each")
    with pytest.raises(GenbaError, match="0 ratings"):
        agreement(np.zeros(0), [], "each")


def test_a_csv_in_wide_and_in_long_form(tmp_path: Path):
    wide = tmp_path / "wide.csv"
    wide.write_text(
        "image,caption,rating_1,rating_2\na.png,a bolt,1,2\nb.png,a nut,3,\nc.png,,1,1\nd.png,x,bad,1\n"
    )
    rated, left_out = read_ratings(wide)
    assert rated == [pair("a.png", 1.0, 2.0), pair("b.png", 3.0, caption="a nut")]
    assert left_out == {"no caption": 1, "a rating is not a number": 1}
    long = tmp_path / "long.csv"
    long.write_text("image,caption,Rating,rater\n", encoding="utf-8")
    long.write_text(
        "写真,キャプション,評価\na.png,a bolt,1\na.png,a  bolt,3\nb.png,a nut,2\n", encoding="utf-8"
    )
    assert read_ratings(long)[0] == [pair("a.png", 1.0, 3.0), pair("b.png", 2.0, caption="a nut")]


def test_jsonl_with_a_list_and_a_table_without_ratings(tmp_path: Path):
    lines = tmp_path / "rated.jsonl"
    lines.write_text(
        '{"image": "a.png", "caption": "a bolt", "ratings": [1, 2, 4]}\n{"image": "b.png", "caption": "x"}'
    )
    rated, left_out = read_ratings(lines)
    assert rated == [pair("a.png", 1.0, 2.0, 4.0)] and left_out == {"no rating": 1}
    other = tmp_path / "captions.csv"
    other.write_text("image,caption,shift\na.png,a bolt,day\n")
    with pytest.raises(GenbaError, match="no column with ratings") as error:
        read_ratings(other)
    assert "shift" in str(error.value) and "rating_1" in str(error.value)
    with pytest.raises(GenbaError, match="There is no"):
        read_ratings(tmp_path / "gone.csv")


def flickr8k(folder: Path) -> Path:
    """Flickr8k-Expert as published: two photos, three captions, ratings of three people."""
    (folder / "Flickr8k.token.txt").write_text(
        "a.jpg#0\tA dog runs .\na.jpg#1\tA brown dog .\nb.jpg#0\tTwo men sit .\n"
    )
    source = folder / "ExpertAnnotations.txt"
    source.write_text(
        "a.jpg\tb.jpg#0\t1\t1\t2\nb.jpg\tb.jpg#0\t4\t4\t4\nb.jpg\ta.jpg#1\t1\t2\t1\nb.jpg\tz.jpg#0\t1\t1\t1\n"
    )
    return source


def test_flickr8k_expert_leaves_out_a_photo_s_own_captions(tmp_path: Path):
    rated, left_out = read_ratings(flickr8k(tmp_path))
    assert rated == [
        RatedPair("a.jpg", "Two men sit .", (1.0, 1.0, 2.0)),
        RatedPair("b.jpg", "A brown dog .", (1.0, 2.0, 1.0)),
    ]
    assert sum(left_out.values()) == 2 and any("written for the photo" in why for why in left_out)
    (tmp_path / "ExpertAnnotations.txt").write_text("a.jpg\tb.jpg#0\t1\t1\t2\nbroken\n")
    with pytest.raises(GenbaError, match="line 2"):
        read_ratings(tmp_path / "ExpertAnnotations.txt")
    (tmp_path / "Flickr8k.token.txt").unlink()
    with pytest.raises(GenbaError, match=r"Flickr8k\.token\.txt"):
        read_ratings(tmp_path / "ExpertAnnotations.txt")


def test_clipscore_is_two_and_a_half_cosines_and_never_negative(tmp_path: Path, tiny_encoder: Path):
    from data.photos import open_photo

    encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    for name in ("a", "b"):
        photo(tmp_path / f"{name}.png", seed=ord(name))
    (tmp_path / "broken.png").write_bytes(b"no photo")
    rated = [
        pair(f"{image}.png", 1, caption=words)
        for image in ("a", "b", "broken")
        for words in ("a bolt", "the nut")
    ]
    scores = clip_scores(encoder, rated, tmp_path)
    pixels = [
        encoder.preprocess(open_photo(tmp_path / f"{name}.png", shortest_side=32)) for name in ("a", "b")
    ]
    import torch

    cosine = encoder.encode_images(torch.stack(pixels)) @ encoder.encode_texts(["a bolt", "the nut"]).T
    assert np.allclose(scores[:4], 2.5 * np.maximum(cosine, 0).ravel(), atol=1e-5)
    assert np.isnan(scores[4:]).all()


@pytest.mark.parametrize(
    ("method", "what"), [("encode_texts", "caption 'a bolt'"), ("encode_images", "photo 'a.png'")]
)
@pytest.mark.parametrize(("value", "word"), [(np.nan, "not a number"), (0.0, "zero")])
def test_an_encoder_that_gives_nan_or_zero_is_named(
    method, what, value, word, tmp_path, tiny_encoder, monkeypatch
):
    encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    photo(tmp_path / "a.png", seed=1)
    monkeypatch.setattr(encoder, method, lambda rows: np.full((len(rows), 16), value, np.float32))
    with pytest.raises(GenbaError, match=f"no usable vector for the {what}: it is {word}"):
        clip_scores(encoder, [pair("a.png", 1)], tmp_path)


@pytest.fixture
def real(tmp_path: Path, shared: Path) -> Path:
    """Real photos, each with a caption of its own (rated 3 or 4) and with one of another photo (1 or 2)."""
    with (shared / "data" / "flickr8k" / "captions.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "dev"][::5][:24]
    lines = []
    for number, row in enumerate(rows):
        other = rows[(number + 7) % len(rows)]
        lines.append({"image": row["image"], "caption": row["caption"], "ratings": [4, 3 + number % 2]})
        lines.append({"image": row["image"], "caption": other["caption"], "ratings": [1, 1 + number % 2]})
    lines.append({"image": "gone.jpg", "caption": "A dog .", "ratings": [1, 1]})
    source = tmp_path / "rated.jsonl"
    source.write_text("\n".join(json.dumps(line) for line in lines))
    return source


def test_the_command_on_real_photos(real: Path, shared: Path, small_encoder: Path):
    command = [sys.executable, "-m", "scoring.ratings", str(real), "--images", str(shared / "data/flickr8k/images"),
               "--encoder", f"local-dir:{small_encoder}", "--device", "cpu", "--bootstrap", "50"]  # fmt: skip
    done = subprocess.run(
        [*command, "--json"], cwd=CHECKOUT, capture_output=True, text=True, timeout=120, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["pairs"], found["photos"], found["left_out"]) == (48, 24, {"the photo cannot be read": 1})
    each, mean = found["agreements"]
    assert (each["observations"], mean["observations"]) == (96, 48)
    tau_c = {one["measure"]: one for one in each["correlations"]}["tau_c"]
    assert 0.4 < tau_c["low"] < tau_c["value"] < tau_c["high"] <= 1
    shown = rate(
        real, shared / "data/flickr8k/images", load_encoder(f"local-dir:{small_encoder}", "cpu"), resamples=0
    )
    assert shown.agreements[0].correlations[1].value == pytest.approx(tau_c["value"], abs=1e-3)
    assert "tau_c" in table(shown) and "left out: 1" in table(shown) and "95 %" not in table(shown)


def test_the_command_says_what_is_wrong(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "scoring.ratings", "gone.csv", "--images", str(tmp_path), "--encoder", "ViT-B-33/x"],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=120, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.startswith("Error: ") and "Traceback" not in done.stderr
