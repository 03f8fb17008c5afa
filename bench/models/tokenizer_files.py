"""Checks the small files of a checkpoint before transformers reads them.

A tokenizer is a program: its patterns and replacements run as native code that no timer can interrupt. A
pattern of a few characters can compute for minutes, and thirty replacements can make gigabytes of a word.
So it is first tried in a process of its own, which may be ended.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import InvalidInput
from bench.formatting import byte_size
from bench.models.checkpoints import WEIGHTS_INDEX
from bench.parsing import open_regular, read_bytes, read_json_object, read_text

MAX_ADDED_TOKENS = 50_000
"""Tokens beside the vocabulary: transformers handles each by itself, 30,000 in a second."""
SECONDS = 10
"""Of processor time, to read the tokenizer and a text with it; large vocabularies take one."""
MEMORY_BYTES = 2 * 2**30
"""That it may take meanwhile; large vocabularies take 0.3 GiB."""
HINT = "copy tokenizer.json and tokenizer_config.json from the base checkpoint"

MAX_FILE_BYTES = 64 * 2**20
_TEXTS = ("merges.txt", "vocab.txt", "*.jinja", "additional_chat_templates/*.jinja")
_ADDED_TOKENS = (
    *("added_tokens", "added_tokens_decoder"),
    *("additional_special_tokens", "extra_special_tokens"),
)
"""Keys of ``tokenizer.json`` and ``tokenizer_config.json`` that list added tokens."""
_TEXT = (
    "What is the total amount? Сколько итого? 合计金额是多少？ user@example.org 1,284.50 "
    + "a" * 300
    + " " * 300
    + "1" * 300
    + "x y " * 100
    + "-" * 100
    + "\n" * 100
)
"""Words, and runs of equal characters, on which hostile patterns take longest."""


def check_small_files(folder: Path) -> None:
    """Refuse files of the checkpoint in ``folder`` that would cost transformers too much.

    Raises:
        InvalidInput: a file is no regular file, too large, or no JSON within the bounds of
            ``bench.parsing``; it adds too many tokens; or the tokenizer passed a bound of time or memory.
    """
    for pattern in _TEXTS:
        for path in folder.glob(pattern):
            read_text(path, MAX_FILE_BYTES)
    for path in folder.glob("*.json"):
        if path.name == WEIGHTS_INDEX:
            continue
        content = read_json_object(path, MAX_FILE_BYTES)
        _check_added_tokens(path, content)
        is_tokenizer = path.name.startswith("tokenizer") and "model" in content
        if is_tokenizer:
            _try(path, hashlib.sha256(read_bytes(path, MAX_FILE_BYTES)).hexdigest())
    for path in folder.glob("*.model"):
        open_regular(path).close()


def _check_added_tokens(path: Path, content: Mapping[str, Any]) -> None:
    is_list_of_them = path.name == "added_tokens.json"
    lists = [content] if is_list_of_them else [content.get(key) for key in _ADDED_TOKENS]
    for value in lists:
        if isinstance(value, list | dict) and len(value) > MAX_ADDED_TOKENS:
            raise InvalidInput(
                f"{path} adds {len(value):,} tokens to the vocabulary; at most {MAX_ADDED_TOKENS:,} are read",
                hint=HINT,
            )


@functools.lru_cache(maxsize=64)
def _try(path: Path, _digest: str) -> None:
    """Read ``path`` and a text with it in another process; equal files are tried once."""
    search = os.pathsep.join(filter(None, sys.path))
    process = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            __name__,
            str(path.absolute()),
            f"{SECONDS}",
            f"{MEMORY_BYTES}",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Threads of a large machine would reserve more address space than the tokenizer needs.
        env={**os.environ, "PYTHONPATH": search, "RAYON_NUM_THREADS": "1"},
        check=False,
    )
    if process.returncode != 0:
        raise InvalidInput(
            f"{path} cannot be used: reading a line of text with it takes more than {SECONDS} s of processor "
            f"time or {byte_size(MEMORY_BYTES)} of memory, or a pattern in it does not end",
            hint=HINT,
        )


def main(path: str, seconds: int, memory_bytes: int) -> None:
    """Read the tokenizer in ``path`` and a text with it, within the bounds."""
    from tokenizers import Tokenizer

    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    statm = Path("/proc/self/statm")
    if statm.is_file():
        used = int(statm.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = used + memory_bytes
        bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # What is merely wrong with the file, transformers says in its own words. A panic is no Exception.
    with contextlib.suppress(Exception):
        tokenizer = Tokenizer.from_file(path)
        tokenizer.decode(tokenizer.encode(_TEXT, add_special_tokens=False).ids)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
