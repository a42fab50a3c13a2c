"""[privacy] of genba.toml (data/settings.py): what must not stand in captions, and whose phone numbers are known."""

from __future__ import annotations

from pydantic import Field, model_validator

from data.settings_section import Section

FORBIDDEN_TERMS = (  # words that judge people or say where they come from; a caption is about the thing
    "careless", "lazy", "stupid", "idiot", "incompetent", "foreigner", "his fault", "her fault",
    "不注意", "怠慢", "手抜き", "無能", "間抜け", "だらしない", "外国人",
)  # fmt: skip


class PrivacySection(Section):
    """What the page "Fairness and privacy" looks for in captions (dashboards/personal_data.py)."""

    forbidden_terms: list[str] = Field(
        default=list(FORBIDDEN_TERMS),
        description="must not stand in captions: Latin script as whole words, Japanese wherever it stands",
    )
    phone_regions: list[str] = Field(
        default=["JP"],
        description="countries whose phone numbers are known without +, e.g. ['JP', 'US']",
    )

    @model_validator(mode="after")
    def _are_usable(self) -> PrivacySection:
        if any(not term.strip() for term in self.forbidden_terms):
            raise ValueError("a term of forbidden_terms is empty: it would stand in every caption")
        if wrong := [
            one for one in self.phone_regions if not (len(one) == 2 and one.isascii() and one.isupper())
        ]:
            raise ValueError(f"phone_regions holds {wrong[0]!r}, which is no code of two capitals such as JP")
        return self
