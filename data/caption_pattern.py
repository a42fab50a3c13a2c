"""The pattern language of captions: a text with holes, no code in it.

{part}                  the phrase of slot `part`
{}                      inside a phrase: the slot's own words (the option's label, or the number with its unit)
[, with {defect}]       a group: dropped when a slot that stands directly in it has no value or is hidden
{{ }} [[ ]]             the brackets themselves

pattern = parse_pattern("[{count} ]{part}[ on the {background}].")
render(pattern, {"part": "bolts", "count": "two"}.get) == "two bolts."
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from data.told import Told, told

OWN = ""  # the name of the hole `{}`
LITERAL = {"{{": "{", "}}": "}", "{[}": "[", "{]}": "]"}
SLOT_ID = re.compile(r"[a-z][a-z0-9_]*")
TOKEN = re.compile(r"\{\{|\}\}|\{[\[\]]\}|\{[^{}\[\]]*\}|\[|\]|[^{}\[\]]+|.", re.DOTALL)


class PatternError(ValueError):
    """The pattern cannot be read; the text says what stands where (1 = its first character)."""

    def __init__(self, text: Told) -> None:
        self.told = text
        super().__init__(text)


@dataclass(frozen=True)
class Hole:
    """`{slot}`, or `{}` with slot ""."""

    slot: str


@dataclass(frozen=True)
class Group:
    """Pieces that stand or fall together."""

    pieces: tuple[Piece, ...]

    def holes(self) -> Iterator[str]:
        """Names of the holes directly in the group, not those of inner groups."""
        return (piece.slot for piece in self.pieces if isinstance(piece, Hole))


Piece = str | Hole | Group


def parse_pattern(text: str) -> Group:
    """The pattern as a tree whose root is never dropped. Raises PatternError."""
    stack: list[list[Piece]] = [[]]
    opened: list[int] = []
    for token in TOKEN.finditer(text):
        word, place = token.group(), token.start() + 1
        if word == "[":
            stack.append([])
            opened.append(place)
        elif word == "]":
            if not opened:
                raise PatternError(
                    told("']' at character {n} closes no '[' (write '{{]}}' for the bracket itself)", n=place)
                )
            opened.pop()
            group = Group(tuple(stack.pop()))
            if not list(all_holes(group)):
                raise PatternError(
                    told("the group that ends at character {n} has no {{slot}} in it", n=place)
                )
            stack[-1].append(group)
        elif word in ("{", "}"):
            raise PatternError(
                told(
                    "'{sign}' at character {n} has no partner (write '{sign}{sign}' for the bracket)",
                    sign=word,
                    n=place,
                )
            )
        elif word.startswith("{") and word not in LITERAL:
            stack[-1].append(_hole(word, place))
        else:
            stack[-1].append(LITERAL.get(word, word))
    if opened:
        raise PatternError(
            told("'[' at character {n} is never closed (write '{{[}}' for the bracket itself)", n=opened[-1])
        )
    return Group(tuple(stack[0]))


def _hole(word: str, place: int) -> Hole:
    name = word[1:-1].strip()
    if name and not SLOT_ID.fullmatch(name):
        raise PatternError(
            told(
                "'{word}' at character {n} is no slot: only {{slot_id}} or {{}} may stand there",
                word=word,
                n=place,
            )
        )
    return Hole(name)


def all_holes(group: Group) -> Iterator[str]:
    """Names of all holes, in order, inner groups too."""
    for piece in group.pieces:
        if isinstance(piece, Hole):
            yield piece.slot
        elif isinstance(piece, Group):
            yield from all_holes(piece)


def render(group: Group, phrase: Callable[[str], str | None]) -> str:
    """The text; `phrase` gives a slot's words, None or "" when it has none. No hole filled at all gives ""."""
    holes = list(all_holes(group))
    if holes and not any(phrase(name) for name in holes):
        return ""
    return "".join(_render_piece(piece, phrase) for piece in group.pieces)


def _render_piece(piece: Piece, phrase: Callable[[str], str | None]) -> str:
    if isinstance(piece, str):
        return piece
    if isinstance(piece, Hole):
        return phrase(piece.slot) or ""
    if not all(phrase(name) for name in piece.holes()):
        return ""
    return render(piece, phrase)
