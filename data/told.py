"""Texts that data/ makes where nobody knows yet who reads them: in English a plain text, in words of either language.

told("the id {id} stands twice", id=repr("bolt")).in_words("ja")     # "id 'bolt' が二度あります"
stored(told("line {n}", n=3))         # {"text": "line {n}", "values": {"n": 3}}: what the store keeps
in_words("a plain text", "ja")        # by the catalogue where it stands there, else as it is
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data.messages import translator


class Told(str):
    """The English text, which remembers what it was made from. `text` is the key of the catalogue (data/ja.po)."""

    text: str
    values: dict[str, Any]

    def in_words(self, language: str) -> str:
        """In "ja" or "en". Values that are told texts themselves are put into words too."""
        return translator(language)(self.text).format(**_filled(self.values, language))


def told(text: str, /, **values: Any) -> Told:
    """`text` in English with {names}; a brace itself is written twice. A value by language: {"ja": …, "en": …}."""
    made = Told(text.format(**_filled(values, "en")))
    made.text, made.values = text, values
    return made


def in_words(text: str, language: str) -> str:
    """A told text in this language; a plain one by the catalogue, and as it is where that does not know it."""
    return text.in_words(language) if isinstance(text, Told) else translator(language)(text)


def stored(text: str) -> dict[str, Any] | None:
    """What JSON keeps of a told text, its values too; None for a plain one."""
    if not isinstance(text, Told):
        return None
    values = {key: stored(value) or str(value) if isinstance(value, str) else value
              for key, value in text.values.items()}  # fmt: skip
    return {"text": text.text, "values": values}


def restored(kept: Mapping[str, Any]) -> Told:
    """The told text of which `stored` kept this."""
    values = {key: restored(value) if isinstance(value, Mapping) and "text" in value else value
              for key, value in kept["values"].items()}  # fmt: skip
    return told(kept["text"], **values)


def _filled(values: Mapping[str, Any], language: str) -> dict[str, Any]:
    def one(value: Any) -> Any:
        if isinstance(value, Told):
            return value.in_words(language)
        return value.get(language, "") if isinstance(value, Mapping) else value

    return {key: one(value) for key, value in values.items()}
