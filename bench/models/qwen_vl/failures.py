"""What libraries raise, in the words of this program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import EnvironmentProblem, InvalidInput, OutOfMemory
from bench.measure import gpu_failure, is_out_of_memory
from bench.text import one_line, stumbled

if TYPE_CHECKING:
    import torch


def out_of_memory(error: BaseException, doing: str) -> OutOfMemory:
    """One line for a memory error, with the allocator's figures where it gives some."""
    return OutOfMemory(
        f"out of memory while {doing}: {one_line(str(error), 160)}",
        hint="use a smaller --batch-size or --max-pixels, or a quantized model (-int4, -nf4)",
    )


def reason(error: BaseException) -> str:
    """Why a library failed, in one line that means something without its source.

    Messages of errors that a library did not write for people, such as ``KeyError: 'eval'``, are replaced by
    the place where the library stumbled.
    """
    said = one_line(_ERROR_CLASS.sub("", str(error)))
    if said and not isinstance(error, NOT_FOR_PEOPLE):
        return said
    return f"{stumbled(error)} cannot work with what the files say"


# A missing key, a value of another type: what they say names Python's objects, not the checkpoint's files.
NOT_FOR_PEOPLE = (
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    TypeError,
    ArithmeticError,
    RecursionError,
)
# Libraries quote one another's errors: "Validation error for field 'x': TypeError: expected int".
_ERROR_CLASS = re.compile(r"\b[A-Za-z_.]+Error: ")


def load_failure(folder: Path, error: Exception, device: torch.device) -> Exception:
    """``error`` of ``from_pretrained`` in the words of this program."""
    if is_out_of_memory(error):
        return out_of_memory(error, f"loading {folder.name} onto {device}")
    if (lost := gpu_failure(error)) is not None:
        return lost
    if isinstance(error, ImportError):
        return EnvironmentProblem(
            f"{folder} cannot be loaded: {reason(error)}",
            hint="bench doctor says which of the installed versions do not work together",
        )
    if isinstance(error, NOT_FOR_PEOPLE):
        # What is wrong with weights has words of its own.
        return InvalidInput(
            f"{folder / 'config.json'} cannot be used: no model can be built from it; {reason(error)}",
            hint="copy config.json from where the checkpoint comes from",
        )
    return InvalidInput(
        f"{folder} cannot be loaded: {reason(error)}",
        hint="check that config.json belongs to these weights, or download the checkpoint again",
    )
