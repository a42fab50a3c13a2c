"""The encoders that Genba knows by name: what they read, what they weigh, what they may be used for.

Any other open_clip model works too (`MODEL/PRETRAINED`, `hf-hub:REPOSITORY`, `local-dir:PATH`, `transformers:PATH`);
this list is what `genba encoders` shows and what error messages offer. Names and tags: open_clip 3.3 list_pretrained();
parameters: counted on the instantiated architectures; licences: the model cards.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEMO_ENCODER = "demo"
DEMO_FOLDER = Path(__file__).resolve().parent.parent / "data" / "demo" / "encoder"
DEFAULT_ENCODER = "ViT-B-16-SigLIP2-256/webli"
EVERY_LANGUAGE = "*"


@dataclass(frozen=True)
class KnownEncoder:
    """One line of `genba encoders`. `languages` are codes, or "*" for about a hundred languages."""

    id: str
    languages: tuple[str, ...]
    image_size: int  # pixels, square
    parameters_millions: float
    weights_mb: int  # fp32
    licence: str
    any_site: bool  # False: not for a company's own photos (research licence, or the demo's)
    repository: str  # on the hub; "" = ships with Genba
    note: str
    also_needs: tuple[str, ...] = ()  # further hub downloads, as arguments of `hf download`

    def fetch_commands(self) -> list[str]:
        """Commands for a machine with a network. Genba itself never downloads weights in passing."""
        if not self.repository:
            return []
        own = f'hf download {self.repository} --exclude "*.bin"'
        return [own, *(f"hf download {needed}" for needed in self.also_needs)]

    def carry_commands(self) -> list[str]:
        """Commands that bring the weights to a machine without a network, by a folder on any carrier."""
        if not self.repository:
            return []
        folder = self.repository.split("/")[-1]
        if self.also_needs:  # two repositories find each other only in a hub cache: carry the cache
            return [*(f"HF_HOME=carrier {command}" for command in self.fetch_commands()),
                    "HF_HOME=/path/of/carrier genba score SITE"]  # fmt: skip
        return [
            f'hf download {self.repository} --exclude "*.bin" --local-dir {folder}',
            f"genba init SITE --photos DIR --encoder local-dir:/path/of/{folder}",
        ]


ENCODERS: dict[str, KnownEncoder] = {
    known.id: known
    for known in (
        KnownEncoder(
            DEFAULT_ENCODER, (EVERY_LANGUAGE,), 256, 375.2, 1501, "Apache-2.0", True, "timm/ViT-B-16-SigLIP2-256",
            "default for a real site: reads Japanese and English, free licence; two ViT-B towers, 256,000 tokens",
        ),
        KnownEncoder(
            "ViT-B-32-SigLIP2-256/webli", (EVERY_LANGUAGE,), 256, 376.9, 1507, "Apache-2.0", True,
            "timm/ViT-B-32-SigLIP2-256", "a quarter of the image work of the default; for machines without a GPU",
        ),
        KnownEncoder(
            "xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k", (EVERY_LANGUAGE,), 224, 366.1, 1464, "MIT", True,
            "laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k",
            "ViT-B/32 with an XLM-RoBERTa text tower; published as a pickle, so it needs a safetensors copy "
            "(open_clip_model.safetensors) made elsewhere",
            ("xlm-roberta-base config.json tokenizer.json tokenizer_config.json",),
        ),
        KnownEncoder(
            "ViT-B-32/laion2b_s34b_b79k", ("en",), 224, 151.3, 605, "MIT", True,
            "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "English only; the cheapest of the standard towers",
        ),
        KnownEncoder(
            "ViT-B-16/datacomp_xl_s13b_b90k", ("en",), 224, 149.6, 598, "MIT", True,
            "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K", "English only; three times the image work of B/32",
        ),
        KnownEncoder(
            "ViT-L-14/datacomp_xl_s13b_b90k", ("en",), 224, 427.6, 1710, "MIT", True,
            "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K", "English only; wants a GPU",
        ),
        KnownEncoder(
            "MobileCLIP2-S0/dfndr2b", ("en",), 256, 74.8, 299, "Apple AMLR (research only)", False,
            "timm/MobileCLIP2-S0-OpenCLIP", "English only; tower for phones; the licence forbids commercial use",
        ),
        KnownEncoder(
            "MobileCLIP2-S2/dfndr2b", ("en",), 256, 99.2, 397, "Apple AMLR (research only)", False,
            "timm/MobileCLIP2-S2-OpenCLIP", "English only; tower for phones; the licence forbids commercial use",
        ),
        KnownEncoder(
            DEMO_ENCODER, ("ja", "en"), 96, 3.4, 8, "Apache-2.0", False, "",
            "ships with Genba; knows rendered scenes only and is refused for every site but the demo",
        ),
    )
}  # fmt: skip

# What published checkpoints for `transformers:` read, where neither config nor vocabulary says it: by repository, or by
# the name of the folder it was downloaded to, in lower case. A genba.json beside the weights comes before this.
READS: dict[str, tuple[str, ...]] = {
    name: languages
    for repository, languages in {
        "baai/altclip-m9": ("en", "zh", "ja", "ko", "fr", "es", "ru", "ar", "it"),
    }.items()
    for name in (repository, repository.split("/")[-1])
}


def readers_of(language: str) -> list[KnownEncoder]:
    """Known encoders that read a language and whose licence allows any site, the default first.

    readers_of("ja")[0].id == DEFAULT_ENCODER
    """
    return [
        known
        for known in ENCODERS.values()
        if known.any_site and (EVERY_LANGUAGE in known.languages or language in known.languages)
    ]


def real_encoders() -> list[str]:
    """The ids that a site with real photos can name."""
    return [known.id for known in ENCODERS.values() if known.id != DEMO_ENCODER]
