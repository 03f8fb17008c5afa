"""Tells which pages are the same page, whatever their files are called and however they were saved."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from bench.errors import InvalidInput
from bench.schema import Page
from bench.tasks.pages import open_page


def page_contents(pages: Iterable[Page]) -> dict[Page, str]:
    """Return page → digest of what it shows: sha256 over its size and its RGB pixels.

    A page that was saved again without loss (another name, another format, other metadata) keeps its
    digest. A page that cannot be decoded is known by the bytes of its file alone.
    """
    distinct = list(dict.fromkeys(pages))
    # Decoding and hashing release the interpreter, so threads do help.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return dict(zip(distinct, pool.map(_content, distinct), strict=True))


def _content(page: Page) -> str:
    try:
        image = open_page(page)
    except InvalidInput:
        return page.key
    digest = hashlib.sha256(f"{image.width}x{image.height}:".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def clusters(items: Sequence[Iterable[str]]) -> list[list[int]]:
    """Return the numbers of ``items`` that belong together: they share a key, directly or through others.

    The clusters come in the order of their smallest keys, which depends on neither names nor order.
    """
    parent: dict[str, str] = {}

    def top(key: str) -> str:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    keys_of_items = [sorted(set(keys)) for keys in items]
    for keys in keys_of_items:
        first, *others = sorted({top(key) for key in keys})
        for other in others:
            parent[other] = first
    members: dict[str, list[int]] = {}
    for number, keys in enumerate(keys_of_items):
        members.setdefault(top(keys[0]), []).append(number)
    return [members[key] for key in sorted(members)]
