"""Templates: one YAML file is the only source of the form, of the labeling config and of the caption.

    template = load_template("parts")
    template.caption({"part": "bolt", "count": 2, "material": "steel", "defect": "none", "background": "tray"}, "en")
    # "2 steel bolts with no defect, on the tray"
    template.parse("A rusty pipe on the conveyor belt", "en")   # {"part": "pipe", "count": 1, "defect": "rust", …}

The keys of the file: data/template_schema.py. The pattern language: data/caption_pattern.py.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from data.caption_parser import Vocabulary, forms_of
from data.caption_writer import option_phrase, slots_said, write_caption
from data.errors import GenbaError, nearest
from data.slot_values import SlotError, SlotProblem, clean, shown
from data.template_file import parse_template, read_text
from data.template_schema import Language, Option, Slot, TemplateFields, VagueWord

__all__ = [
    "Option", "Slot", "SlotError", "SlotProblem", "Template", "VagueWord", "keep_version", "load_template", "packs",
    "parse_template", "versions_of",
]  # fmt: skip

PACKS = Path(__file__).resolve().parent / "packs"
VERSION_LINE = re.compile(r"^version:[ \t]*(\d+)", re.MULTILINE)
VERSIONED = re.compile(r"(?P<name>[a-z][a-z0-9-]*)@(?P<version>\d+)")


class Template(TemplateFields):
    """A checked template. Frozen. Values of slots: option id, list of option ids, number or text, by slot id."""

    def caption(self, slots: Mapping[str, Any], language: str) -> str:
        """The caption of the values; the same values always give the same words. Raises SlotError.

        Values that are missing drop what would have said them, so that a half-filled form has a caption too.
        """
        return write_caption(self, clean(self, slots, partial=True), self.language(language))

    def validate_slots(self, slots: Mapping[str, Any], partial: bool = False) -> dict[str, Any]:
        """The values in the order of the form: right types, no empty ones, no hidden ones. Raises SlotError.

        partial: required slots may be absent.
        """
        return clean(self, slots, partial)

    def visible(self, slots: Mapping[str, Any]) -> list[Slot]:
        """The slots that the form shows, given the values so far. Values that are not accepted count as none."""
        seen: dict[str, Any] = {}
        found = []
        for slot in self.slots:
            if shown(slot.show_when, seen):
                found.append(slot)
                if slots.get(slot.id) is not None:
                    seen[slot.id] = slots[slot.id]
        return found

    def parse(self, caption: str, language: str) -> dict[str, Any]:
        """What a caption states, as far as the words of the template tell: slot id -> value.

        Choice, multi and number slots. A language that the template has not ("und") is searched in all of its own.
        """
        return {slot_id: values[0] for slot_id, values in self.parse_all(caption, language).items()}

    def parse_all(self, caption: str, language: str) -> dict[str, list[Any]]:
        """As `parse`, with all the different values that the caption states for a slot; the first one counts."""
        found: dict[str, list[Any]] = {}
        for one in self._languages(language):
            found = {**self._vocabularies[one].find_all(caption), **found}
        asked = self.asked({slot_id: stated[0] for slot_id, stated in found.items()})
        return {slot.id: found[slot.id] for slot in self.slots if slot.id in found and slot.id in asked}

    def asked(self, values: Mapping[str, Any]) -> set[str]:
        """Ids of the slots that the form shows, given these values, and of those whose deciding slot is still open."""
        undecided = {s.id for s in self.slots if s.show_when is not None and s.show_when.slot not in values}
        return undecided | {slot.id for slot in self.visible(values)}

    def missing(self, caption: str, language: str) -> list[str]:
        """Ids of the required slots that the caption should state and does not, in the order of the form."""
        found = self.parse(caption, language)
        said = set().union(*(slots_said(self, one) for one in self._languages(language)))
        searched = ("choice", "multi", "number")
        return [
            slot.id
            for slot in self.visible(found)
            if slot.required and slot.id in said and slot.type in searched and slot.id not in found
        ]

    def vague_words(self, caption: str, language: str) -> list[VagueWord]:
        """Words of the caption that say nothing, in the order of the file. Words that state an option never count."""
        found: list[VagueWord] = []
        for one in self._languages(language):
            words = self._vocabularies[one].stating_nothing(caption)
            found.extend(vague for vague in self.vague.get(one, ()) if words & set(forms_of(vague.word, one)))
        return found

    def prompts(self, slot_id: str, language: str) -> dict[str, str]:
        """Option id -> the words with which an encoder is asked about this option alone."""
        slot, one = self.slot(slot_id), self.language(language)
        if slot is None:
            raise GenbaError(
                f"The template {self.id!r} has no slot {slot_id!r}.", choices=[s.id for s in self.slots]
            )
        return {
            o.id: o.prompt.get(one) or option_phrase(self, slot, o, {slot.id: o.id}, one)
            for o in slot.options
        }

    def said(self, language: str) -> list[str]:
        """Ids of the slots that the caption says; the others are recorded only."""
        found = slots_said(self, self.language(language))
        return [slot.id for slot in self.slots if slot.id in found]

    def language(self, language: str) -> Language:
        """Raises GenbaError when the template has not this language."""
        for one in self.languages:
            if one == language:
                return one
        raise GenbaError(f"The template {self.id!r} has no language {language!r}.", choices=self.languages)

    def _languages(self, language: str) -> tuple[Language, ...]:
        return tuple(one for one in self.languages if one == language) or self.languages

    @cached_property
    def _vocabularies(self) -> dict[Language, Vocabulary]:
        return {language: Vocabulary.of(self, language) for language in self.languages}


def packs() -> list[Template]:
    """The templates that come with Genba, by id."""
    return [read_template(path) for path in sorted(PACKS.glob("*.yaml"))]


def read_template(path: Path) -> Template:
    """The checked template of a file. Raises GenbaError that lists the mistakes with their lines."""
    return _checked(read_text(path), path.name)


@lru_cache(maxsize=64)
def _checked(text: str, name: str) -> Template:
    """Reading and checking takes a tenth of a second, and a page asks for its template with every click."""
    return parse_template(text, name, Template)


def load_template(name: str | Path, folder: Path | None = None) -> Template:
    """A shipped pack ("parts"), a version of it ("parts@1"), or a YAML file ("my/parts.yaml"). Raises GenbaError.

    folder: SITE/templates, which holds NAME@VERSION.yaml of every version that a correction used. A name alone takes
    the highest version of pack and folder; at equal versions the folder's file: corrections were made with that.
    """
    text = str(name)
    if text.endswith((".yaml", ".yml")) or "/" in text or "\\" in text:
        return _load_file(Path(text), folder)
    files = _files(folder)
    versioned = VERSIONED.fullmatch(text)
    wanted = versioned["name"] if versioned else text
    versions = files.get(wanted, {})
    if not versions:
        known = sorted(files)
        near = nearest(text, known)
        hint = f" Did you mean {near!r}?" if near else ""
        raise GenbaError(f"No template {text!r}.{hint}", choices=known, next="genba templates")
    number = int(versioned["version"]) if versioned else max(versions)
    if number not in versions:
        known = [f"{wanted}@{version}" for version in sorted(versions)]
        raise GenbaError(f"No template {text!r}.", choices=known, next="genba templates")
    return read_template(versions[number])


def _load_file(path: Path, folder: Path | None) -> Template:
    """A path as it stands, else relative to the site, so that a copied site finds its own file."""
    places = [path, *([folder.parent / path] if folder is not None else [])]
    for place in places:
        if place.is_file():
            return read_template(place)
    raise GenbaError(
        f"No template file {path}.",
        choices=[p.stem for p in sorted(PACKS.glob("*.yaml"))],
        next="genba templates",
    )


def _files(folder: Path | None) -> dict[str, dict[int, Path]]:
    """Template id -> version -> file: the packs, and over them what the site has kept."""
    found: dict[str, dict[int, Path]] = {}
    for path in PACKS.glob(
        "*.yaml"
    ):  # read whole only when it is wanted: checking takes a tenth of a second each
        version = VERSION_LINE.search(read_text(path))
        if version:
            found.setdefault(path.stem, {})[int(version[1])] = path
    for path in sorted(folder.glob("*@*.yaml")) if folder is not None else []:
        match = VERSIONED.fullmatch(path.stem)
        if match:
            found.setdefault(match["name"], {})[int(match["version"])] = path
    return found


def versions_of(template_id: str, folder: Path | None) -> dict[int, Path]:
    """Version -> file of the versions that there are of one template: the pack's, and what the site has kept."""
    return dict(_files(folder).get(template_id, {}))


def keep_version(template: Template, folder: Path) -> Path:
    """Write FOLDER/ID@VERSION.yaml, the text of the template's file, and return its path. What is kept stays.

    Every correction names the version it was made with, so a version never changes. Raises GenbaError when another
    text is kept under it.
    """
    path = folder / f"{template.id}@{template.version}.yaml"
    if path.exists():
        if path.read_text(encoding="utf-8") == template.source:
            return path
        raise GenbaError(
            f"The template {template.id!r} has changed, but still says version {template.version}, which corrections "
            f"were made with ({path}).",
            next=f"raise the version in the template file (version: {template.version + 1})",
        )
    folder.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    half.write_text(template.source, encoding="utf-8", newline="")
    half.replace(path)
    return path
