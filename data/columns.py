"""Which column of a table is the photo and which the caption: by name (English, Japanese), or as the person says."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from data.errors import GenbaError, nearest

# Spelled as `plain_name` makes them; the first that a table has is the one.
IMAGE_NAMES = ("image", "image_path", "image_file", "file_name", "filename", "file_path", "filepath", "file", "photo",
               "picture", "img", "path", "画像", "画像ファイル", "画像ファイル名", "画像名", "画像パス", "写真",
               "写真ファイル", "写真ファイル名", "写真名", "ファイル名", "ファイル", "ファイルパス",
               "パス")  # fmt: skip
CAPTION_NAMES = ("caption", "captions", "text", "description", "キャプション", "説明", "説明文", "画像説明", "写真説明",
                 "comment", "コメント")  # fmt: skip
LANGUAGE_NAMES = ("language", "lang", "言語")
LANGUAGES = {
    "ja": ("ja", "jp", "jpn", "ja_jp", "japanese", "日本語", "和文"),
    "en": ("en", "eng", "en_us", "en_gb", "english", "英語", "英文"),
}


@dataclass(frozen=True)
class Columns:
    """Names as they stand in the table. `captions`: column -> its language, or None when the text decides."""

    image: str
    captions: dict[str, str | None]
    language: str | None  # a column that says each row's language

    @property
    def used(self) -> set[str]:
        return {self.image, *self.captions, *([self.language] if self.language else [])}


def plain_name(name: str) -> str:
    """ "Image Path" and "IMAGE-PATH" -> "image_path"; full-width letters become normal ones."""
    return re.sub(r"[\s\-./]+", "_", unicodedata.normalize("NFKC", name).strip().casefold())


def language_code(text: str) -> str | None:
    """ "JP", "Japanese", "日本語" -> "ja"; None for what is neither Japanese nor English."""
    plain = plain_name(text)
    return next((code for code, spellings in LANGUAGES.items() if plain in spellings), None)


def choose_columns(
    columns: Sequence[str], image_column: str | None, caption_column: str | None, where: str
) -> Columns:
    """Raises GenbaError that names the columns there are. `where` stands in the message."""
    image = _given(columns, image_column, "--image-column", where) if image_column else None
    if image is None:
        image = _first(columns, IMAGE_NAMES)
    if image is None:
        raise GenbaError(
            f"{where} has no column for the photo's file name.", choices=columns,
            next="name it: --image-column NAME (the first row of a table must hold the columns' names)",
        )  # fmt: skip
    captions = _captions(columns, image, caption_column, where)
    for name in (image, *captions):
        if list(columns).count(name) > 1:
            raise GenbaError(f"{where} has two columns {name!r}.", choices=columns, next="rename one of them")
    language = _first([c for c in columns if c != image and c not in captions], LANGUAGE_NAMES)
    return Columns(image, captions, language)


def _captions(
    columns: Sequence[str], image: str, caption_column: str | None, where: str
) -> dict[str, str | None]:
    if caption_column:
        if caption_column in columns:
            return {caption_column: _language_suffix(caption_column)[1]}
        names = [name.strip() for name in caption_column.split(",")]
        found = [_given(columns, name, "--caption-column", where) for name in names]
        return {name: _language_suffix(name)[1] for name in found}
    for wanted in CAPTION_NAMES:
        named = {
            column: _language_suffix(column)[1]
            for column in columns
            if column != image and (plain_name(column) == wanted or _language_suffix(column)[0] == wanted)
        }
        if named:
            return named
    raise GenbaError(
        f"{where} has no column for the caption.", choices=columns, next="name it: --caption-column NAME"
    )


def is_taken(name: str) -> bool:
    """Whether a column of this name can be read as the photo, a caption or the language of a row."""
    plain = plain_name(name)
    is_caption = plain in CAPTION_NAMES or _language_suffix(name)[0] in CAPTION_NAMES
    return is_caption or plain in IMAGE_NAMES or plain in LANGUAGE_NAMES


def _language_suffix(column: str) -> tuple[str, str | None]:
    """ "caption_ja" -> ("caption", "ja"); "説明(英語)" -> ("説明", "en"); "caption" -> ("caption", None)."""
    plain = plain_name(column)
    match = re.fullmatch(r"(.+?)(?:_+|_*\()([^_()]+|ja_jp|en_us|en_gb)\)?", plain)
    code = language_code(match[2]) if match else None
    return (match[1], code) if match and code else (plain, None)


def _given(columns: Sequence[str], name: str, option: str, where: str) -> str:
    exact = [column for column in columns if column == name]
    alike = [column for column in columns if plain_name(column) == plain_name(name)]
    if exact or len(alike) == 1:
        return (exact or alike)[0]
    guess = nearest(name, columns)
    hint = f" Did you mean {guess!r}?" if guess else ""
    raise GenbaError(
        f"{where} has no column {name!r} ({option}).{hint}", choices=columns, next=f"{option} NAME"
    )


def _first(columns: Sequence[str], wanted: Sequence[str]) -> str | None:
    plain = {plain_name(column): column for column in reversed(columns)}
    return next((plain[name] for name in wanted if name in plain), None)
