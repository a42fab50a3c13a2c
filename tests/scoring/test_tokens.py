"""Unknown and cut tokens, for each kind of tokenizer, counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scoring.encoders import load_encoder, load_tokenizer, resolve_encoder
from scoring.tokens import is_truncated, token_counts, unknown_share
from tests.scoring.checkpoints import write_checkpoint


@pytest.fixture(scope="module")
def open_clip_tokenizer():
    from scoring.torchvision_ops import ensure_torchvision

    ensure_torchvision()
    import open_clip

    return open_clip.get_tokenizer("ViT-B-32")


def test_clip_s_byte_pairs_know_english_and_only_bytes_of_japanese(open_clip_tokenizer):
    """ボルト is five tokens: two for ボ, ル whole, two for ト. 錆 is three, none of them whole."""
    shares = unknown_share(open_clip_tokenizer, ["a red bolt", "ボルト", "錆", "", "café", "bolt ボルト"])
    assert np.allclose(shares, [0, 4 / 5, 1, np.nan, 0, 4 / 6], equal_nan=True)


def test_clip_s_context_holds_75_tokens_and_two_marks(open_clip_tokenizer):
    assert token_counts(open_clip_tokenizer, ["a red bolt"]) == [5]
    texts = ["bolt " * 75, "bolt " * 76]
    assert is_truncated(open_clip_tokenizer, 77, texts) == [False, True]
    eot = open_clip_tokenizer.eot_token_id
    assert open_clip_tokenizer(texts)[:, -1].tolist() == [eot, eot]


def test_the_unknown_token_of_a_vocabulary_of_words(tiny_encoder):
    encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    shares = encoder.unknown_share(["a brass bolt", "a green bolt", "ねじ", ""])
    assert np.allclose(shares, [0, 1 / 3, 1, np.nan], equal_nan=True)
    assert encoder.unknown_share([]).shape == (0,)


CASES = {
    "clip": ("bolt", 0.0, "傷", 1.0),  # three bytes, of which none is a letter
    "siglip": ("a brass bolt", 0.0, "a green bolt", 1 / 3),
    "siglip2": ("bolt", 0.0, "bolt傷", 3 / 4),  # "bolt" and three bytes
    "naflex": ("bolt", 0.0, "bolt傷", 3 / 4),
    "altclip": ("a brass bolt", 0.0, "a green bolt", 1 / 3),
    "chinese_clip": ("真鍮", 0.0, "真鍮錆", 1 / 3),
}


@pytest.mark.parametrize("family", CASES)
def test_each_family_of_transformers(family, tmp_path: Path):
    source = resolve_encoder(f"transformers:{write_checkpoint(family, tmp_path / family)}")
    tokenizer, _ = load_tokenizer(source)
    known, share, unknown, other = CASES[family]
    assert unknown_share(tokenizer, [known, unknown]).tolist() == pytest.approx([share, other])


def test_a_vocabulary_without_an_unknown_token_says_nothing(tmp_path: Path):
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    from scoring.transformers_encoder import CaptionTokenizer

    inner = Tokenizer(models.BPE({letter: place for place, letter in enumerate("a bolt")}, []))
    tokenizer = CaptionTokenizer(PreTrainedTokenizerFast(tokenizer_object=inner), 8, False, str)
    assert token_counts(tokenizer, ["a bolt", "a xx bolt"]) == [6, 7], "letters that it has not are dropped"
    assert np.isnan(unknown_share(tokenizer, ["a bolt", "a green bolt"])).all()


def test_the_tokenizer_alone_says_what_the_encoder_says(tiny_encoder):
    tokenizer, context = load_tokenizer(resolve_encoder(f"local-dir:{tiny_encoder}"))
    encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    texts = ["bolt " * count for count in (1, 12, 13)]
    assert context == encoder.context_length == 12
    assert is_truncated(tokenizer, context, texts) == encoder.is_truncated(texts) == [False, False, True]
    assert encoder.truncated(texts) == 1
