"""What belongs to a checkpoint beside its weights: tokenizer, chat template, image processor.

The prompt is the checkpoint's own chat template; the question is tokenized apart from it, so that a
question which spells a control token such as ``<|im_end|>`` is read as text, and so that everything
before it is the same for all questions about a document.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import InvalidInput
from bench.models.architectures import PixelBounds, read_bounds, read_folder, read_preprocessor
from bench.models.bounded import bounded
from bench.models.chat_templates import TEMPLATE_HINT, ChatTemplate, find_template
from bench.models.qwen_vl.configuration import read_configuration
from bench.models.qwen_vl.failures import reason
from bench.models.qwen_vl.pixels import PagePixels, PageQueue, PageReader
from bench.models.qwen_vl.prefix import Prefix
from bench.models.qwen_vl.readable import readable
from bench.models.tokenizer_files import HINT, check_small_files
from bench.schema import Json, ModelSpec

# Any text that no template contains: it marks the place of the question.
_QUESTION = "\ue000question\ue000"
# A question as people ask it: with it, tokens must not depend on where the prompt is cut.
_SAMPLE = "What is the total amount?"
_LONGEST_PROMPT = 1_000_000
"""Characters of a template's text around a question; those of the family have some hundreds."""


class Processor:
    """The tokenizer, template and image processor that belong to a checkpoint."""

    def __init__(self, spec: ModelSpec, folder: Path) -> None:
        """Read them from ``folder``, and try the template on one page.

        Raises:
            InvalidInput: a file is missing or does not fit the others, or the pixel bounds of ``spec``
                exclude each other.
        """
        self.folder = folder
        """What a person calls the checkpoint's files, in messages."""
        with readable(folder) as files:
            self.config = read_configuration(folder, files)
            self.tokenizer, self.image_token_id = _tokenizer(self.config, folder, files)
            self.template, self.template_source = _chat_template(folder)
            self.images, self.bounds = _image_processor(spec, folder, files)
        # The reference reads pages through the processor itself, so that it stays one.
        self.reader = PageReader(
            self.images,
            table=not spec.options.get("reference", False),
            jpeg_quality=spec.options.get("jpeg_quality"),
        )
        self._bounded: dict[int, PageReader] = {}
        self.queue = PageQueue()
        """Through which pages are read, by whichever reader."""
        self._around: dict[tuple[int, str | None], tuple[list[int], list[int]]] = {}
        self._template_ids(1, None)

    def details(self) -> dict[str, Json]:
        """What ``ModelInfo.details`` should say of the input side."""
        return {
            "min_pixels": self.bounds.min_pixels,
            "max_pixels": self.bounds.max_pixels,
            "jpeg_quality": self.reader.jpeg_quality,
            "patch_size": self.images.patch_size,
            "image_processor": type(self.images).__name__,
            "image_backend": "pil",
            "chat_template": self.template_source,
        }

    def prefix(self, pages: Sequence[PagePixels], system: str | None) -> Prefix:
        """What comes before any question about ``pages``."""
        import torch

        before, _ = self._template_ids(len(pages), system)
        ids: list[int] = []
        sizes = (page.tokens for page in pages)
        for token in before:
            ids += [token] * (next(sizes) if token == self.image_token_id else 1)
        return Prefix(torch.tensor(ids), tuple(pages))

    def prefix_length(self, visual_tokens: Sequence[int], system: str | None) -> int:
        """Tokens of ``prefix`` for pages of so many visual tokens each."""
        before, _ = self._template_ids(len(visual_tokens), system)
        return len(before) + sum(visual_tokens) - len(visual_tokens)

    def reader_at(self, max_pixels: int | None) -> PageReader:
        """The reader of pages that shrinks them to ``max_pixels`` each; None leaves the own bound."""
        if max_pixels is None or max_pixels >= self.bounds.max_pixels:
            return self.reader
        if max_pixels not in self._bounded:
            reader = copy.copy(self.reader)
            reader.images = copy.copy(self.images)
            low = min(self.bounds.min_pixels, max_pixels)
            reader.images.size = {"shortest_edge": low, "longest_edge": max_pixels}
            self._bounded[max_pixels] = reader
        return self._bounded[max_pixels]

    def suffix(self, prompt: str, pages: int, system: str | None) -> list[int]:
        """The tokens of ``prompt`` and of what the template has after it."""
        _, after = self._template_ids(pages, system)
        return [*self.tokens(prompt), *after]

    def text(self, ids: Sequence[int]) -> str:
        """The answer that ``ids`` spell, control tokens left out."""
        decoded: str = self.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return decoded

    def token_name(self, token: int) -> str:
        """What the token with the number ``token`` spells; a control token by its name."""
        name: str = self.tokenizer.decode([token], clean_up_tokenization_spaces=False)
        return name

    def tokens(self, text: str) -> list[int]:
        """The tokens of ``text``; a control token that it spells is read as its letters."""
        ids: list[int] = self.tokenizer.encode(
            text, add_special_tokens=False, split_special_tokens=True
        )
        return ids

    def _template_ids(self, pages: int, system: str | None) -> tuple[list[int], list[int]]:
        """Tokens before the question (one image token a page) and after it."""
        key = (pages, system)
        if key not in self._around:
            content = [{"type": "image"}] * pages + [{"type": "text", "text": _QUESTION}]
            messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
            if system is not None:
                messages.insert(0, {"role": "system", "content": system})
            place = f"the chat template in {self.folder / self.template_source}"
            text = self._rendered(messages, place)
            before, mark, after = text.partition(_QUESTION)
            ids = [
                self.tokenizer.encode(part, add_special_tokens=False) for part in (before, after)
            ]
            whole = self.tokenizer.encode(before + _SAMPLE + after, add_special_tokens=False)
            if whole != [*ids[0], *self.tokens(_SAMPLE), *ids[1]]:
                raise InvalidInput(
                    f"{place} puts text next to the question, so that both share a token",
                    hint=TEMPLATE_HINT,
                )
            if not mark or ids[0].count(self.image_token_id) != pages:
                raise InvalidInput(
                    f"{place} does not place every page image before the question",
                    hint=TEMPLATE_HINT,
                )
            self._around[key] = (ids[0], ids[1])
        return self._around[key]

    def _rendered(self, messages: Sequence[Mapping[str, Any]], what: str) -> str:
        """What the template makes of a conversation; ``what`` names the template in messages."""
        from jinja2 import TemplateError

        with bounded(what, hint=TEMPLATE_HINT):
            try:
                text: str = self.tokenizer.apply_chat_template(
                    messages,
                    chat_template=self.template,
                    tokenize=False,
                    add_generation_prompt=True,
                )
            except TemplateError as error:
                raise InvalidInput(f"{what} fails: {reason(error)}", hint=TEMPLATE_HINT) from None
            except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError):
                raise InvalidInput(
                    f"{what} fails: it takes a conversation for something else", hint=TEMPLATE_HINT
                ) from None
        if len(text) > _LONGEST_PROMPT:
            raise InvalidInput(
                f"{what} makes {len(text)} characters of one question; at most {_LONGEST_PROMPT} are read",
                hint=TEMPLATE_HINT,
            )
        return text


def _tokenizer(config: Any, folder: Path, files: Path) -> tuple[Any, int]:
    """The checkpoint's tokenizer, and its id of the token that stands for a piece of a page."""
    from transformers import AutoTokenizer

    check_small_files(folder)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            files, local_files_only=True, trust_remote_code=False
        )
        image_token = tokenizer.convert_tokens_to_ids("<|image_pad|>")
        # Some faults of the files show when a text is read.
        tokenizer.decode(tokenizer.encode(_SAMPLE, add_special_tokens=False))
    except (KeyboardInterrupt, SystemExit):
        raise
    # A panic of the tokenizers library is no Exception.
    except BaseException as error:
        said = reason(error).replace(str(files), str(folder))
        raise InvalidInput(
            f"{folder} has no usable tokenizer (tokenizer.json, tokenizer_config.json): {said}",
            hint=HINT,
        ) from None
    # Without its files the tokenizer's class makes an empty one and says nothing.
    if image_token != config.image_token_id or type(image_token) is not int:
        raise InvalidInput(
            f"{folder}: the tokenizer does not know the image token of config.json",
            hint=HINT,
        )
    return tokenizer, image_token


def _chat_template(folder: Path) -> ChatTemplate:
    """The checkpoint's template; see ``bench.models.chat_templates``."""
    template = find_template(folder)
    if template is None:
        raise InvalidInput(
            f"{folder} has no chat template",
            hint="copy chat_template.json or chat_template.jinja from the base checkpoint",
        )
    return template


def _image_processor(spec: ModelSpec, folder: Path, files: Path) -> tuple[Any, PixelBounds]:
    """The PIL image processor with the bounds of ``spec``, else those of the checkpoint."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    path = folder / "preprocessor_config.json"
    if not path.is_file():
        raise InvalidInput(
            f"{folder} has no preprocessor_config.json", hint="copy it from the base checkpoint"
        )
    settings = read_preprocessor(path)
    own = read_bounds(settings, path)
    bounds = PixelBounds(
        own.min_pixels if spec.min_pixels is None else spec.min_pixels,
        own.max_pixels if spec.max_pixels is None else spec.max_pixels,
    )
    if bounds.min_pixels > bounds.max_pixels:
        raise InvalidInput(
            f"model {spec.name!r} in {folder}: min_pixels ({bounds.min_pixels}) is above max_pixels "
            f"({bounds.max_pixels}); the checkpoint's own bounds are {own.min_pixels} and {own.max_pixels}",
            hint="give both --min-pixels and --max-pixels",
        )
    try:
        # Both spellings are given, because either of them in the file would win over the other here.
        images = Qwen2VLImageProcessorPil.from_pretrained(
            files,
            local_files_only=True,
            size={"shortest_edge": bounds.min_pixels, "longest_edge": bounds.max_pixels},
            min_pixels=bounds.min_pixels,
            max_pixels=bounds.max_pixels,
        )
    except Exception as error:
        raise InvalidInput(
            f"{path} cannot be used: {reason(error).replace(str(files), str(folder))}",
            hint="copy it from the base checkpoint",
        ) from None
    vision = read_folder(folder).architecture.vision
    for key, expected in (
        ("patch_size", vision.patch),
        ("merge_size", vision.merge),
        ("temporal_patch_size", vision.frames),
    ):
        if getattr(images, key) != expected:
            raise InvalidInput(
                f"{path}: {key} should be {expected}, as in config.json, but it is {getattr(images, key)}",
                hint="copy it from the base checkpoint",
            )
    return images, bounds
