"""genba.toml: everything a person may set, validated; an unknown key is an error that names the nearest known one.

Written once by `genba init` (with comments), read by every verb through `Site`.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import tomlkit
from pydantic import BaseModel, Field, ValidationError, model_validator

from data.errors import GenbaError, nearest
from data.settings_privacy import PrivacySection
from data.settings_retrain import RetrainSection, WorkerSection
from data.settings_section import Section

Language = Literal["ja", "en"]


class SiteSection(Section):
    name: str = Field(min_length=1, description="shown at the top of every page")
    languages: list[Language] = Field(
        default=["ja", "en"], min_length=1, description="the first is the default"
    )
    template: str = Field(description="a shipped pack or a YAML file: see `genba templates`")
    encoder: str = Field(description="the base encoder: see `genba encoders`")
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32",
        description="of the encoder; bf16 is faster on a GPU, scores differ slightly; a change embeds all anew",
    )
    demo: bool = Field(default=False, description="true only for the site that `genba demo` makes")


class PhotosSection(Section):
    roots: list[str] = Field(
        min_length=1, description="folders that may be read; nothing outside is ever served"
    )
    max_megapixels: float = Field(default=200.0, gt=0, description="a larger photo goes to the rejects")
    group_by: str = Field(
        default="", description="extra column whose equal values never cross the split, e.g. a work order"
    )


class WebSection(Section):
    host: str = Field(default="127.0.0.1", description="another than loopback needs sign_in = 'oidc'")
    port: int = Field(default=8501, ge=1, le=65535)
    sign_in: Literal["none", "oidc"] = Field(
        default="none", description="'oidc' reads SITE/.streamlit/secrets.toml [auth]"
    )


class LabelStudioSection(Section):
    mode: Literal["embedded", "server"] = "embedded"
    port: int = Field(default=8502, ge=1, le=65535, description="of the embedded server, on loopback")
    url: str = Field(
        default="",
        description="your own server; its token in the environment variable GENBA_LABEL_STUDIO_TOKEN",
    )
    push_top: int = Field(default=100, ge=1, description="how much of the queue a sync keeps in Label Studio")

    @model_validator(mode="after")
    def _server_has_url(self) -> LabelStudioSection:
        if self.mode == "server" and not self.url:
            raise ValueError("label_studio.mode is 'server' but label_studio.url is empty")
        return self


class ReviewSection(Section):
    """Which corrections a second person answers too (annotate/review_draw.py), and who decides where two differ."""

    share: float = Field(
        default=0.1, ge=0, le=1, description="of the corrections, answered by a second person too, blind"
    )
    new_staff_share: float = Field(default=0.5, ge=0, le=1, description="of a new person's first corrections")
    new_staff_corrections: int = Field(default=30, ge=0, description="so many corrections make one new staff")
    low_agreement_share: float = Field(
        default=0.3, ge=0, le=1, description="of corrections that answer a slot on which people agree poorly"
    )
    low_agreement: float = Field(
        default=0.6, ge=-1, le=1, description="Krippendorff's alpha of a slot below this is poor"
    )
    slices: list[str] = Field(
        default=[], description="high-value slices as 'column=value', e.g. ['line=A', 'customer=X']"
    )
    slice_share: float = Field(default=0.3, ge=0, le=1, description="of the corrections in those slices")
    leads: list[str] = Field(
        default=[],
        description="names that may approve and decide; empty: anybody (a name proves nothing without sign-in)",
    )
    show_names: bool = Field(
        default=False,
        description="figures of people by name on the page Staff even where fewer than five work",
    )
    leaderboard: bool = Field(
        default=False, description="counts and agreement by person, never speed, on the review page"
    )

    @model_validator(mode="after")
    def _slices_name_a_value(self) -> ReviewSection:
        for one in self.slices:
            column, sign, value = one.partition("=")
            if not (sign and column.strip() and value.strip()):
                raise ValueError(f"a slice is written 'column=value', not {one!r}")
        return self


class DraftsSection(Section):
    """What is drafted, when drafts may be approved as a lot, and how the lot is checked (annotate/draft_plan.py)."""

    drafters: list[str] = Field(
        default=["zero-shot", "near-photos"],
        min_length=1,
        description="see `genba draft`; model is the third",
    )
    top: int = Field(default=500, ge=1, description="pairs of the queue that are drafted at a time")
    line: float = Field(
        default=0.9, ge=0, le=1, description="drafts this likely to be right (measured) may form a lot"
    )
    wrong_share: float = Field(
        default=0.05, gt=0, lt=1, description="a lot with a larger share of wrong drafts must not pass"
    )
    consumer_risk: float = Field(
        default=0.05, gt=0, lt=1, description="the chance at most that it passes all the same"
    )
    accept_number: int = Field(
        default=1, ge=0, description="wrong drafts in the sample with which a lot still passes"
    )
    planted_share: float = Field(
        default=0.1, ge=0, le=0.5, description="of the sample, added to it as drafts known to be wrong"
    )
    model: str = Field(
        default="", description="an image-to-text checkpoint: a folder or a hub name in the cache"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="of that model")
    prompt: str = Field(default="", description="what that model is asked; empty: by the kind of model")


class CostSection(Section):
    wage_jpy_per_hour: float = Field(default=2500.0, ge=0, description="a default until you confirm it")
    compute_jpy_per_hour: float = Field(default=100.0, ge=0, description="a default until you confirm it")
    bad_caption_jpy: float = Field(
        default=0.0, ge=0, description="what a bad caption costs that stays; 0 = nobody has said"
    )


class Settings(Section):
    site: SiteSection
    photos: PhotosSection
    web: WebSection = WebSection()
    label_studio: LabelStudioSection = LabelStudioSection()
    review: ReviewSection = ReviewSection()
    drafts: DraftsSection = DraftsSection()
    privacy: PrivacySection = PrivacySection()
    cost: CostSection = CostSection()
    retrain: RetrainSection = RetrainSection()
    worker: WorkerSection = WorkerSection()

    @model_validator(mode="after")
    def _loopback_or_sign_in(self) -> Settings:
        if self.web.sign_in == "none" and not is_loopback(self.web.host):
            raise ValueError(
                f"web.host is {self.web.host!r}, which others can reach, but web.sign_in is 'none': "
                "set web.host = '127.0.0.1' or configure web.sign_in = 'oidc'"
            )
        if self.web.port == self.label_studio.port and self.label_studio.mode == "embedded":
            raise ValueError(f"web.port and label_studio.port are both {self.web.port}")
        return self


def is_loopback(host: str) -> bool:
    """True for localhost, 127.0.0.0/8 and ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_settings(path: Path) -> Settings:
    """Read and validate genba.toml. Raises GenbaError that names the file, the key, the value and the choices."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GenbaError(
            f"{path.parent} is not a Genba site: it has no {path.name}.", next="genba init SITE --photos DIR"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GenbaError(f"{path} cannot be read: {error}.", next=f"mend the line in {path}") from None
    return settings_from(raw, str(path))


def settings_from(raw: dict[str, Any], where: str) -> Settings:
    """Validate a parsed file. `where` stands in the message."""
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        known = _known_keys(first["loc"][:-1])
        if first["type"] == "extra_forbidden":
            guess = nearest(str(first["loc"][-1]), known)
            hint = f" Did you mean '{guess}'?" if guess else ""
            raise GenbaError(
                f"{where}: unknown key '{key}'.{hint}", choices=known, next=f"edit {where}"
            ) from None
        if first["type"] == "missing":
            raise GenbaError(f"{where}: the key '{key}' is missing.", next=f"add it to {where}") from None
        message = first["msg"].removeprefix("Value error, ")
        at = f"{key} = {first['input']!r}: " if key else ""  # none: the file as a whole
        raise GenbaError(f"{where}: {at}{message}.", next=f"edit {where}") from None


def _known_keys(section: tuple[Any, ...]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in section:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return sorted(model.model_fields)


def write_settings(path: Path, settings: Settings) -> None:
    """Write genba.toml with each key's description as a comment."""
    document = tomlkit.document()
    document.add(
        tomlkit.comment("Settings of this Genba site. An unknown key is an error, so a typo cannot hide.")
    )
    for name in Settings.model_fields:
        section: Section = getattr(settings, name)
        table = tomlkit.table()
        for key, value in section.model_dump().items():
            item = tomlkit.item(value)
            description = type(section).model_fields[key].description
            table.add(key, item.comment(description) if description else item)
        document.add(tomlkit.nl())
        document.add(name, table)
    _replace(path, tomlkit.dumps(document))


def set_value(path: Path, section: str, key: str, value: Any) -> None:
    """Change one value, keep every comment. Validates the whole before it writes."""
    set_values(path, section, {key: value})


def set_values(path: Path, section: str, values: Mapping[str, Any]) -> None:
    """Change several values of a section at once, or, when one of them cannot be, none."""
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    table = document.setdefault(section, tomlkit.table())
    for key, value in values.items():
        table[key] = value
    settings_from(document.unwrap(), str(path))
    _replace(path, tomlkit.dumps(document))


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(".toml.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
