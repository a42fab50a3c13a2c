"""What a tokenizer does to captions, without any model: which of them are cut, and how much of each it does not know.

    tokenizer, context_length = load_tokenizer(source)             # scoring.encoders; no weights are read
    is_truncated(tokenizer, context_length, captions)              # a bool for each caption
    unknown_share(tokenizer, captions)                             # (N,) floats in [0, 1], NaN = cannot be known

`tokenizer` is open_clip's own (byte pairs), its wrapper around one of transformers, or scoring.transformers_encoder's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

START_AND_END = 2  # marks that open_clip's own tokenizer puts around a caption
CLIPS_MARKS = 3  # in its mode "clips" the class token comes on top
BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")  # how SentencePiece spells a byte of a character it does not know


def require_words(tokenizer: Any, where: str) -> None:
    """Raises GenbaError when the tokenizer knows nothing but marks.

    So transformers loads one whose vocabulary file is absent, without a word; every caption would be one unknown token.
    """
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is not None and len(inner) <= len(set(inner.all_special_tokens)):
        raise GenbaError(
            f"The tokenizer of {where} has no words: its vocabulary file (tokenizer.json, vocab.txt, …) is absent.",
            next="download the whole repository anew",
        )


def is_truncated(tokenizer: Any, context_length: int, texts: Sequence[str]) -> list[bool]:
    """For each caption, whether it has more tokens, with the marks around it, than the encoder reads."""
    return [length > context_length for length in token_counts(tokenizer, texts)]


def token_counts(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """How many tokens each caption would have if nothing were cut, with the marks around it."""
    if not hasattr(tokenizer, "tokenizer"):
        return [len(ids) + START_AND_END for ids in _token_ids(tokenizer, texts, marks=False)]
    if getattr(tokenizer, "tokenizer_mode", "") == "clips":
        return [len(ids) + CLIPS_MARKS for ids in _token_ids(tokenizer, texts, marks=False)]
    return [len(ids) for ids in _token_ids(tokenizer, texts, marks=True)]


def unknown_share(tokenizer: Any, texts: Sequence[str]) -> NDArray[np.float64]:
    """(N,) share of a caption's tokens, without the marks around it, that stand for what the vocabulary has not.

    That is the unknown token; with byte fallback (Gemma) the tokens of single bytes; with byte-level pairs (CLIP,
    RoBERTa) tokens that are only a part of a character. NaN: a caption without tokens, or a tokenizer that drops what
    it does not know, so that nothing is left to count.

    With CLIP's vocabulary, which has a few kana: "a red bolt" -> 0.0, "ボルト" -> 0.8, "錆" -> 1.0.
    """
    import numpy as np

    rows = _token_ids(tokenizer, texts, marks=False)
    unknown = _unknown_tokens(tokenizer, {one for row in rows for one in row})
    if unknown is None:
        return np.full(len(texts), np.nan)
    return np.array(
        [sum(one in unknown for one in row) / len(row) if row else np.nan for row in rows], dtype=np.float64
    )


def _token_ids(tokenizer: Any, texts: Sequence[str], marks: bool) -> list[list[int]]:
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is None:
        return [tokenizer.encode(text) for text in texts]
    if not texts:
        return []
    clean = getattr(tokenizer, "clean_fn", str)
    encoded = inner(
        [clean(text) for text in texts],
        add_special_tokens=marks,
        truncation=False,
        padding=False,
        verbose=False,
    )
    return [list(ids) for ids in encoded["input_ids"]]


def _unknown_tokens(tokenizer: Any, ids: Iterable[int]) -> set[int] | None:
    """Which of these tokens stand for something that the vocabulary has not; None when the tokenizer has none such."""
    inner = getattr(tokenizer, "tokenizer", None)
    distinct = sorted(ids)
    if inner is None:
        return {one for one in distinct if not _is_whole(tokenizer.decoder[one])}
    spelled = dict(zip(distinct, inner.convert_ids_to_tokens(distinct), strict=True))
    backend = getattr(inner, "backend_tokenizer", None)
    by_bytes = backend is not None and "ByteLevel" in f"{backend.pre_tokenizer!r} {backend.normalizer!r}"
    falls_back = backend is not None and bool(getattr(backend.model, "byte_fallback", False))
    if inner.unk_token_id is None and not by_bytes and not falls_back:
        return None
    return {
        one
        for one, token in spelled.items()
        if one == inner.unk_token_id
        or (falls_back and BYTE_TOKEN.fullmatch(token))
        or (by_bytes and not _is_whole(token))
    }


def _is_whole(token: str) -> bool:
    """Whether a byte-level token holds whole characters: byte-level vocabularies spell each byte as one letter."""
    from open_clip.tokenizer import bytes_to_unicode

    byte_of = {letter: byte for byte, letter in bytes_to_unicode().items()}
    letters = token.removesuffix("</w>")
    if any(letter not in byte_of for letter in letters):
        return True  # an added token, which is spelled as it is
    try:
        bytes(byte_of[letter] for letter in letters).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
