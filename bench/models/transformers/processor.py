"""What belongs to a checkpoint beside its weights: its own chat template, tokenizer and image processor.

transformers' processors take pages, videos and sound, and ask for the packages of all of them. Here they get
pages alone: images go through PIL, and what would take videos or sound is left empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import EnvironmentProblem, InvalidInput
from bench.models.bounded import bounded
from bench.models.chat_templates import TEMPLATE_HINT, find_template
from bench.models.checkpoints import read_json
from bench.models.qwen_vl.failures import reason
from bench.models.transformers.bounds import PixelSetting, pixel_setting
from bench.schema import Json, ModelSpec
from bench.text import one_line

if TYPE_CHECKING:
    from PIL.Image import Image

_CLASS_FILES = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")
"""Where a checkpoint names the class of its processor, in the order in which transformers looks."""
_COPY = "copy the small files (*.json, *.jinja) from where the checkpoint comes from"
_TRIAL = "What is the total?"


class Asked(NamedTuple):
    """One question with its pages, ready to become a row of a batch."""

    pages: Sequence[Image]
    prompt: str
    system: str | None


class PageProcessor:
    """The processor of a checkpoint, for pages and text alone."""

    def __init__(self, spec: ModelSpec, folder: Path, files: Path, config: Any) -> None:
        """Read it from ``files``, which a person calls ``folder``, and try it on one small page.

        Raises:
            InvalidInput: a file is missing or damaged, or the processor cannot follow the pixel bounds.
            EnvironmentProblem: it needs a package that is missing.
        """
        self.folder = folder
        template = find_template(folder)
        if template is None:
            raise InvalidInput(
                f"{folder} has no chat template, so nothing says how the model is asked a question",
                hint="copy chat_template.jinja from the checkpoint that was made for instructions",
            )
        self._template, self._source = template.text, template.source
        self._arguments = dict(spec.options.get("chat_template_kwargs") or {})
        self._processor = _read(folder, files, config)
        self.tokenizer: Any = self._processor.tokenizer
        self.setting: PixelSetting = pixel_setting(self._processor.image_processor)
        self.setting.check(spec.name, spec.min_pixels, spec.max_pixels)
        self._low, self._high = spec.min_pixels, spec.max_pixels
        self._image_token = _image_token(config, self._processor)
        added = self.tokenizer.added_tokens_decoder.values()
        self._control_tokens = [token.content for token in added if token.content.strip()]
        self._try()

    def details(self) -> dict[str, Json]:
        """What ``ModelInfo.details`` should say of the input side."""
        return {
            "min_pixels": self._low or self.setting.min_pixels,
            "max_pixels": self._high or self.setting.max_pixels,
            "pixel_bounds": self.setting.in_words(self._low, self._high),
            "processor": type(self._processor).__name__,
            "image_processor": self.setting.processor,
            "image_backend": "pil",
            "chat_template": self._source,
            "chat_template_kwargs": self._arguments,
            "control_tokens": "a question that spells one is read as its letters, or it fails",
        }

    def can_shrink_to(self, max_pixels: int) -> bool:
        """Whether pages can be made as small as ``max_pixels``."""
        return self.setting.unit is not None and max_pixels >= self.setting.step

    def rows(self, asked: Sequence[Asked], max_pixels: int | None = None) -> Any:
        """The tensors of one batch, each question a row, padded on the left.

        ``max_pixels`` bounds each page further; None leaves the bound of the model.

        Raises:
            InvalidInput: the template or the processor cannot take a question or its pages.
        """
        bounds = [bound for bound in (self._high, max_pixels) if bound is not None]
        high = min(bounds, default=None)
        images = self.setting.arguments(self._low, high)
        conversations = [_conversation(one) for one in asked]
        text = {"padding": True, "padding_side": "left"}
        with bounded(self._what(), hint=TEMPLATE_HINT):
            self._render(conversations)
        try:
            return self._processor.apply_chat_template(
                conversations,
                chat_template=self._template,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                add_generation_prompt=True,
                # Not always, because some processors can then prepare no question at all.
                sanitize_control_tokens=any(map(self._spells_control_token, asked)),
                processor_kwargs={**text, **({"images_kwargs": images} if images else {})},
                **self._arguments,
            )
        except MemoryError:
            raise
        except ImportError as error:
            raise missing(self.folder, error) from None
        except Exception as error:
            raise InvalidInput(
                f"{self.folder}: the processor cannot prepare this question with its pages: "
                f"{one_line(reason(error), 200)}"
            ) from error

    def visual_tokens(self, ids: Sequence[int], pages: int) -> int | None:
        """How many of the tokens ``ids`` stand for pieces of the pages; None if they do not show it."""
        count = sum(token == self._image_token for token in ids)
        # One token a page is a mark: the model takes the page in by another way.
        return count if count > pages else None

    def text(self, ids: Sequence[int]) -> str:
        """The answer that ``ids`` spell, control tokens left out."""
        decoded: str = self.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return decoded

    def _spells_control_token(self, asked: Asked) -> bool:
        text = asked.prompt + (asked.system or "")
        return any(token in text for token in self._control_tokens)

    def _what(self) -> str:
        return f"the chat template in {self.folder / self._source}"

    def _render(self, conversations: Sequence[Any]) -> None:
        """Let the template write the prompts, so that one without end is stopped here."""
        from jinja2 import TemplateError

        try:
            for conversation in conversations:
                self._processor.apply_chat_template(
                    conversation,
                    chat_template=self._template,
                    add_generation_prompt=True,
                    **self._arguments,
                )
        except TemplateError as error:
            raise InvalidInput(
                f"{self._what()} fails: {reason(error)}", hint=TEMPLATE_HINT
            ) from None
        except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError):
            raise InvalidInput(
                f"{self._what()} fails: it takes a conversation for something else",
                hint=TEMPLATE_HINT,
            ) from None

    def _try(self) -> None:
        """Prepare one small page: what does not fit together is known before the weights are loaded."""
        from PIL import Image

        page = Image.new("RGB", (96, 64), "white")
        try:
            ids = self.rows([Asked([page], _TRIAL, None)])["input_ids"][0].tolist()
        except InvalidInput as error:
            raise InvalidInput(
                f"{self._what()} and the processor do not fit together: {error.message}",
                hint=error.hint or TEMPLATE_HINT,
            ) from None
        if self._image_token is not None and self._image_token not in ids:
            raise InvalidInput(
                f"{self._what()} does not place the page in the prompt", hint=TEMPLATE_HINT
            )


def missing(folder: Path, error: ImportError) -> EnvironmentProblem:
    """What to install where transformers lacks a package for the processor in ``folder``."""
    said = one_line(str(error), 200)
    package = next((name for name in _EXTRAS if name in said.lower()), None)
    if package is None:
        return EnvironmentProblem(f"the processor of {folder} needs another package: {said}")
    return EnvironmentProblem(
        f"the processor of {folder} needs the package {package}, which is not installed",
        hint=f"pip install 'docvlm-bench[{_EXTRAS[package]}]', or let a server run the model: "
        "MODEL@http://localhost:8000/v1",
    )


_EXTRAS = {"torchvision": "torchvision", "num2words": "families"}
"""Package that a processor may need → the extra that installs it."""


def _conversation(asked: Asked) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = [{"type": "image", "image": page} for page in asked.pages]
    content.append({"type": "text", "text": asked.prompt})
    messages = [{"role": "user", "content": content}]
    if asked.system is not None:
        system = [{"type": "text", "text": asked.system}]
        messages.insert(0, {"role": "system", "content": system})
    return messages


def _read(folder: Path, files: Path, config: Any) -> Any:
    """The processor in ``files``, without the parts that take videos and sound."""
    name = _class_name(folder, config)
    _check_files(folder)
    for file in (*_CLASS_FILES, "tokenizer.json"):
        if (folder / file).is_file():
            read_json(folder / file)
    try:
        made = _class_of(name)
        parts = [_part(part, files) for part in made.get_attributes()]
        settings, _ = made.get_processor_dict(files, local_files_only=True)
        return _of_pages(made).from_args_and_dict(parts, settings)
    except ImportError as error:
        raise missing(folder, error) from None
    except (KeyboardInterrupt, SystemExit, InvalidInput):
        raise
    # A panic of the tokenizers library is no Exception.
    except BaseException as error:
        said = reason(error).replace(str(files), str(folder))
        # The first line names the fault; transformers goes on with lists of everything that it knows.
        raise InvalidInput(
            f"{folder} has no usable processor ({one_line(name, 60)}): {one_line(said, 200)}",
            hint=_COPY,
        ) from None


_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


def _check_files(folder: Path) -> None:
    """Refuse a checkpoint without the files of an image processor or a tokenizer."""
    own, common = folder / "preprocessor_config.json", folder / "processor_config.json"
    # Newer checkpoints keep the settings of all parts of a processor in one file.
    has_images = own.is_file() or (common.is_file() and "image_processor" in read_json(common))
    if not has_images:
        raise InvalidInput(f"{folder} has no preprocessor_config.json", hint=_COPY)
    if not any((folder / file).is_file() for file in _TOKENIZERS):
        raise InvalidInput(f"{folder} has no tokenizer.json", hint=_COPY)


def _class_name(folder: Path, config: Any) -> str:
    """The class of the processor that the checkpoint names, else the one of its type.

    Raises:
        InvalidInput: there is none.
    """
    from transformers.models.auto import processing_auto

    # Untyped in transformers.
    tables: Any = processing_auto
    for file in _CLASS_FILES:
        path = folder / file
        name = read_json(path).get("processor_class") if path.is_file() else None
        if isinstance(name, str) and name.isidentifier():
            return name
    known = tables.PROCESSOR_MAPPING_NAMES.get(config.model_type)
    if isinstance(known, str):
        return known
    raise InvalidInput(
        f"{folder} does not say which processor prepares its pages (processor_class)", hint=_COPY
    )


def _class_of(name: str) -> Any:
    """The class of transformers that is called ``name``; never one of the checkpoint's own code.

    Raises:
        InvalidInput: transformers has none.
        ImportError: it needs a package that is missing.
    """
    import transformers

    made = getattr(transformers, name, None)
    # What needs a missing package is a placeholder, which says so when it is used.
    usable = isinstance(made, type) and (
        issubclass(made, transformers.ProcessorMixin) or "_backends" in vars(made)
    )
    if not usable:
        raise InvalidInput(
            f"transformers {transformers.__version__} has no processor {one_line(name, 60)}",
            hint=_COPY,
        )
    return made


_UNUSED_PARTS = frozenset({"video_processor", "feature_extractor"})
"""Parts of a processor that pages do not need."""


def _part(name: str, files: Path) -> Any:
    """One part of a processor, by transformers' own class for it.

    Raises:
        InvalidInput: pages do not need it, and nothing is known to put in its place.
    """
    import transformers

    if name == "tokenizer":
        auto: Any = transformers.AutoTokenizer
        return auto.from_pretrained(files, local_files_only=True, trust_remote_code=False)
    if name == "image_processor":
        auto = transformers.AutoImageProcessor
        # The same processor everywhere, whether torchvision is installed or not.
        return auto.from_pretrained(
            files, backend="pil", local_files_only=True, trust_remote_code=False
        )
    if name in _UNUSED_PARTS:
        return _Unused()
    raise InvalidInput(f"the processor also needs a part {name!r}, which pages do not have")


class _Unused:
    """Stands where a processor of videos or sound would: no page ever reaches it."""

    def __getattr__(self, name: str) -> Any:
        """Nothing is set."""
        if name.startswith("__"):
            raise AttributeError(name)
        return None


def _of_pages(processor: Any) -> Any:
    """``processor`` as a class that accepts ``_Unused`` parts."""

    def check(self: Any, name: str, part: Any) -> Any:
        if isinstance(part, _Unused):
            return _Unused
        return processor.check_argument_for_proper_class(self, name, part)

    # transformers writes a new processor into its log, which would ask the unused parts for their settings.
    overridden: Mapping[str, Any] = {
        "check_argument_for_proper_class": check,
        "__repr__": object.__repr__,
    }
    return type(processor.__name__, (processor,), dict(overridden))


def _image_token(config: Any, processor: Any) -> int | None:
    """The token that stands for a piece of a page; None if neither names it."""
    for source, name in (
        (config, "image_token_id"),
        (config, "image_token_index"),
        (processor, "image_token_id"),
    ):
        token = getattr(source, name, None)
        if type(token) is int:
            return token
    return None
