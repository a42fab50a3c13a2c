"""What is wrong with a template file, in words of either language; in English it is a plain text.

told("the id {id} stands twice", id=repr("bolt")).in_words("ja")     # "id 'bolt' が二度あります"
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


def _filled(values: Mapping[str, Any], language: str) -> dict[str, Any]:
    def one(value: Any) -> Any:
        if isinstance(value, Told):
            return value.in_words(language)
        return value.get(language, "") if isinstance(value, Mapping) else value

    return {key: one(value) for key, value in values.items()}
