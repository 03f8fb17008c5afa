"""Which pages are the same page, whatever their files are called and however they were saved."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from bench.errors import InvalidInput
from bench.schema import Page
from bench.tasks.pages import open_page


def page_contents(pages: Iterable[Page]) -> dict[Page, str]:
    """Page → what it shows: sha256 over its size and its RGB pixels.

    A page that was saved again without loss (another name, another format, other metadata) keeps its
    content. One that cannot be decoded is known by its file's bytes alone.
    """
    wanted = list(dict.fromkeys(pages))
    # Decoding and hashing let go of the interpreter.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return dict(zip(wanted, pool.map(_content, wanted), strict=True))


def _content(page: Page) -> str:
    try:
        image = open_page(page)
    except InvalidInput:
        return page.key
    digest = hashlib.sha256(f"{image.width}x{image.height}:".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def clusters(items: Sequence[Iterable[str]]) -> list[list[int]]:
    """Numbers of ``items`` that belong together: those that share a key, directly or through others.

    In the order of each cluster's smallest key, so that it depends on neither names nor order.
    """
    parent: dict[str, str] = {}

    def top(key: str) -> str:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    held = [sorted(set(keys)) for keys in items]
    for keys in held:
        first, *others = sorted({top(key) for key in keys})
        for other in others:
            parent[other] = first
    found: dict[str, list[int]] = {}
    for number, keys in enumerate(held):
        found.setdefault(top(keys[0]), []).append(number)
    return [found[key] for key in sorted(found)]
