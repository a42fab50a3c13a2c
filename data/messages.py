"""What a person reads, in Japanese and English: `_ = translator("ja")`, `_("Correct")`.

English stands in the code and is the key; the Japanese stands in `ROOM/ja.po`, one catalogue a room. A key without a
translation is an error in a test (tests/test_messages.py), never a silent English word on a Japanese page.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path

from data.errors import GenbaError

LANGUAGES = {"ja": "日本語", "en": "English"}
ROOMS = ("data", "scoring", "annotate", "training", "dashboards")
Translate = Callable[[str], str]


@cache
def catalogue(language: str) -> dict[str, str]:
    """All rooms' entries of one language: English text -> translation. English needs none."""
    if language not in LANGUAGES:
        raise GenbaError(f"No language {language!r}.", choices=LANGUAGES)
    if language == "en":
        return {}
    from babel.messages.pofile import read_po

    entries: dict[str, str] = {}
    for room in ROOMS:
        path = Path(__file__).resolve().parent.parent / room / f"{language}.po"
        if path.exists():
            with path.open("rb") as file:
                entries.update(
                    {str(m.id): str(m.string) for m in read_po(file, locale=language) if m.id and m.string}
                )
    return entries


def translator(language: str) -> Translate:
    """A function from English text to the language's text. Placeholders stay: `_("{n} pairs").format(n=3)`."""
    entries = catalogue(language)
    return lambda text: entries.get(text, text)


def number(value: float, language: str, digits: int = 0) -> str:
    """1234.5 -> "1,235" (both languages group by thousands)."""
    from babel.numbers import format_decimal

    return format_decimal(
        round(value, digits), format="#,##0" + ("." + "0" * digits if digits else ""), locale=language
    )


def yen(value: float, language: str) -> str:
    """An amount in yen, without decimals."""
    from babel.numbers import format_currency

    return format_currency(round(value), "JPY", locale=language)


def moment(value: datetime, language: str) -> str:
    """A time in the machine's own time zone, medium length, by the language's habit. `value` is UTC without a zone."""
    from datetime import UTC

    from babel.dates import format_datetime

    return format_datetime(value.replace(tzinfo=UTC).astimezone(), format="medium", locale=language)


def duration(seconds: float, language: str) -> str:
    """A length of time in words: 95 -> "1 min 35 s" / "1分35秒"."""
    total = round(seconds)
    hours, minutes, rest = total // 3600, total % 3600 // 60, total % 60
    units = ("時間", "分", "秒") if language == "ja" else (" h", " min", " s")
    parts = [(hours, units[0]), (minutes, units[1]), (rest, units[2])]
    shown = [f"{value}{unit}" for value, unit in parts if value] or [f"0{units[2]}"]
    return ("" if language == "ja" else " ").join(shown[:2])
