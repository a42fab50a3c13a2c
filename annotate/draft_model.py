"""Slots from the free text of an image-to-text model: BLIP, Florence-2, Qwen-VL or any other `image-text-to-text`
checkpoint that transformers itself knows.

    drafted = model(view)       # view.options: model (folder or hub name), device, prompt, batch

    genba draft SITE make --drafter model --model Salesforce/blip-image-captioning-base --device cuda

Weights are safetensors only, from a folder or from the hub's cache on this machine; code from a repository is never
run, and a device that is absent is an error. What the model says is read like a caption that somebody wrote freely: by
the words of the template, then by meaning (scoring/slot_embedding.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotate.draft_view import Drafted, Proposal, View
from data.errors import GenbaError
from data.jobs import silent
from data.photos import PhotoError, open_photo
from data.records import language_of, normalise_caption
from scoring.encoders import pick_device
from scoring.slot_embedding import embedding_of, parse_with_origin

if TYPE_CHECKING:
    import PIL.Image

CODE = 1
BATCH = 8
MAX_SIDE = 1024  # pixels; the processors of these models scale down further
NEW_TOKENS = 96
TASKS = {"florence2": "<MORE_DETAILED_CAPTION>"}  # models that take a task in place of a question


@dataclass(frozen=True)
class Said:
    """What the model said of one photo. probability: the geometric mean over its tokens."""

    text: str
    probability: float


def model(view: View) -> Drafted:
    """One free text a photo, parsed into slots. Raises GenbaError: no model is named, it cannot be loaded."""
    name = str(view.options.get("model") or view.site.settings.drafts.model)
    if not name:
        raise GenbaError(
            "No image-to-text model is named: [drafts] model in genba.toml, or --model FOLDER.",
            next=f"genba draft {view.site.root} make --drafter model --model FOLDER",
        )
    device = str(view.options.get("device") or view.site.settings.drafts.device)
    speaker = Speaker.load(name, device)
    prompt = str(view.options.get("prompt") or view.site.settings.drafts.prompt) or speaker.question(view)
    progress, batch = view.options.get("progress", silent), int(view.options.get("batch", BATCH))
    photos = _photos(view)
    proposals = []
    for start in range(0, len(view.cases), batch):
        part = _opened(photos[start : start + batch])
        said = iter(speaker.say([photo for photo in part if photo is not None], prompt))
        proposals += [Proposal() if photo is None else _proposal(view, next(said)) for photo in part]
        progress(min(start + batch, len(view.cases)), len(view.cases), "drafts")
    told = hashlib.sha256(prompt.encode()).hexdigest()[:4]
    return Drafted(f"{CODE}-{Path(name).name}-{speaker.fingerprint[:8]}-{told}", proposals)


def _photos(view: View) -> list[Path]:
    with view.site.connect() as db:
        rows = db.rows(
            "SELECT image_id, root, uri FROM images WHERE image_id IN (SELECT unnest(?::VARCHAR[]))",
            [[case.image_id for case in view.cases]],
        )
    place = {row["image_id"]: view.site.photo_path(row["root"], row["uri"]) for row in rows}
    return [place[case.image_id] for case in view.cases]


def _opened(paths: Sequence[Path]) -> list[PIL.Image.Image | None]:
    """None for a photo that cannot be read any more: it gets no draft."""
    found: list[PIL.Image.Image | None] = []
    for path in paths:
        try:
            found.append(open_photo(path, max_side=MAX_SIDE))
        except PhotoError:
            found.append(None)
    return found


def _proposal(view: View, said: Said) -> Proposal:
    language = language_of(said.text)
    found = parse_with_origin(view.template, said.text, language, embedding_of(view.encoder, language))
    return Proposal(
        {slot: one.value for slot, one in found.items()},
        {slot: one.confidence * said.probability for slot, one in found.items()},
    )


@dataclass
class Speaker:
    """A loaded image-to-text model with its processor."""

    model: Any
    processor: Any
    device: str
    fingerprint: str

    @classmethod
    def load(cls, name: str, device: str) -> Speaker:
        """From a folder, else from the hub's cache. Raises GenbaError, with the command that brings it."""
        chosen = pick_device(device)
        folder = _folder(name)
        with _loading(name):
            import torch
            from transformers import AutoModelForImageTextToText, AutoProcessor

            loaded: Any = AutoModelForImageTextToText.from_pretrained(
                str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False,
                dtype=torch.bfloat16 if chosen == "cuda" else torch.float32, output_loading_info=True,
            )  # fmt: skip
            found, info = loaded
            processor = AutoProcessor.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
        if absent := sorted(info["missing_keys"]):
            raise GenbaError(
                f"{name} has no weights for {len(absent)} parts of the model, {absent[0]} first: transformers would "
                "fill them with random numbers.",
                next="download the whole repository anew",
            )
        if not found.config.is_encoder_decoder and getattr(processor, "tokenizer", None) is not None:
            processor.tokenizer.padding_side = "left"  # the answer follows the question
        return cls(found.to(chosen).eval(), processor, chosen, _fingerprint(folder))

    def question(self, view: View) -> str:
        """What it is asked where no prompt is set: its task, or the items of the template; "" for a captioner."""
        kind = str(self.model.config.model_type)
        if kind in TASKS:
            return TASKS[kind]
        if not self._chats:
            return ""
        language = view.language if "en" not in view.template.languages else "en"
        items = [
            slot.label[view.template.language(language)]
            + (
                f" ({', '.join(option.label[view.template.language(language)] for option in slot.options)})"
                if slot.options
                else ""
            )
            for slot in view.template.slots
            if slot.id in view.template.said(language)
        ]
        return f"Describe this photo in one sentence. Say: {'; '.join(items)}. Say nothing that it does not show."

    @property
    def _chats(self) -> bool:
        return bool(getattr(self.processor, "chat_template", None))

    def say(self, photos: Sequence[PIL.Image.Image], prompt: str) -> list[Said]:
        """One text a photo, by the likeliest token each time, so that the same photo gives the same draft."""
        if not photos:
            return []
        import torch

        inputs = self._inputs(photos, prompt).to(self.device)
        for name, value in inputs.items():
            if torch.is_tensor(value) and value.is_floating_point():
                inputs[name] = value.to(self.model.dtype)
        with torch.inference_mode():
            given = self.model.generate(
                **inputs, max_new_tokens=NEW_TOKENS, do_sample=False, num_beams=1,
                return_dict_in_generate=True, output_scores=True,
            )  # fmt: skip
        tokens = given.sequences[:, -len(given.scores) :]  # (B, T) without the question
        logs = torch.stack([one.float().log_softmax(-1) for one in given.scores], dim=1)  # (B, T, V)
        own = logs.gather(2, tokens[:, :, None])[:, :, 0]
        texts = self.processor.batch_decode(tokens, skip_special_tokens=True)
        return [
            Said(normalise_caption(text), _mean_probability(row, self._written(words)))
            for text, row, words in zip(texts, own, tokens, strict=True)
        ]

    def _inputs(self, photos: Sequence[PIL.Image.Image], prompt: str) -> Any:
        texts: list[str] | None = [prompt] * len(photos) if prompt else None
        if prompt and self._chats:
            turn = [
                {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]},
            ]
            texts = [self.processor.apply_chat_template(turn, add_generation_prompt=True)] * len(photos)
        images: Any = [[photo] for photo in photos] if self._chats else list(photos)
        if texts is None:
            return self.processor(images=images, return_tensors="pt")
        return self.processor(images=images, text=texts, padding=True, return_tensors="pt")

    def _written(self, tokens: Any) -> Any:
        """(T,) bool: up to the end of the text; what follows is padding."""
        special = set(self.processor.tokenizer.all_special_ids)
        ends = [place for place, token in enumerate(tokens.tolist()) if token in special and place]
        return slice(0, ends[0] if ends else len(tokens))


def _mean_probability(logs: Any, written: slice) -> float:
    """exp of the mean log probability of the tokens written."""
    part = logs[written]
    return float(part.mean().exp()) if len(part) else 0.0


def _folder(name: str) -> Path:
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    fetch = f'hf download {name} --exclude "*.bin"'
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except HFValidationError:
        raise GenbaError(f"There is no folder {name}, and no hub repository is called so.") from None
    except (LocalEntryNotFoundError, OSError):
        raise GenbaError(
            f"The model {name!r} is not on this machine. With a network here: {fetch}. Without one: "
            f"{fetch} --local-dir FOLDER on a machine that has it, carry FOLDER over, --model FOLDER.",
            next=fetch,
        ) from None


def _fingerprint(folder: Path) -> str:
    """sha256 over config and weights."""
    digest = hashlib.sha256()
    for path in [folder / "config.json", *sorted(folder.glob("*.safetensors"))]:
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


@contextmanager
def _loading(name: str) -> Iterator[None]:
    """Every failure of the libraries as a GenbaError that names the model."""
    from scoring.encoders import told_failures

    what = f"The image-to-text model {name!r} cannot be loaded"
    with told_failures(what, next_command='hf download REPOSITORY --exclude "*.bin"'):
        yield
