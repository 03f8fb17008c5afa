"""From a request to the body of a chat completion: pages as data URLs in front of the question."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bench.measure.cores import usable_cores
from bench.models.footprint import published_shape
from bench.models.openai.settings import OWN_SCHEMA, EndpointSettings
from bench.models.pixels import FACTOR, MAX_PIXELS, MIN_PIXELS, Size, smart_resize
from bench.schema import ModelSpec, Page, PageGroup, Request
from bench.tasks.pages import open_page


class SentPage(NamedTuple):
    """A page as it travels."""

    url: str
    """A ``data:`` URL."""
    visual_tokens: int | None
    """What the page must become in the model; None if the side of a visual token is not known."""


class PageEncoder:
    """Makes pages small enough for the model's pixel bounds, and encodes them."""

    def __init__(self, spec: ModelSpec, settings: EndpointSettings) -> None:
        self._settings = settings
        self._side = settings.visual_token_side or _published_side(spec)
        self._low = MIN_PIXELS if spec.min_pixels is None else spec.min_pixels
        self._high = MAX_PIXELS if spec.max_pixels is None else spec.max_pixels
        # A thread waits for every request in flight. If all of them opened pages at once, each would start
        # a process for it and hold a page's pixels, and nothing would be ready sooner.
        self._at_once = threading.Semaphore(usable_cores())

    def encode(self, page: Page) -> SentPage:
        """``page`` within the bounds. Safe to use from many threads.

        Raises:
            InvalidInput: the page cannot be opened, or is too narrow to be resized.
        """
        with self._at_once:
            return self._encode(page)

    def _encode(self, page: Page) -> SentPage:
        image = open_page(page)
        size = smart_resize(
            image.height,
            image.width,
            # Sides that are whole visual tokens are left alone by the server's own resizing. Where
            # the side of a token is not known, only the bounds are kept, in steps of Qwen2-VL's.
            factor=self._side or FACTOR,
            min_pixels=self._low,
            max_pixels=self._high,
        )
        if self._side is not None or image.height * image.width > self._high:
            image = image.resize((size.width, size.height), resample=_BICUBIC)
        tokens = None if self._side is None else _tokens(size, self._side)
        return SentPage(self._data_url(image), tokens)

    def _data_url(self, image: Any) -> str:
        buffer = io.BytesIO()
        if self._settings.image_format == "jpeg":
            image.save(buffer, "JPEG", quality=self._settings.jpeg_quality)
        else:
            # The fastest compression: on a local network the bytes cost less than the time.
            image.save(buffer, "PNG", compress_level=1)
        kind = self._settings.image_format
        return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _published_side(spec: ModelSpec) -> int | None:
    """Side of a visual token of a served model that is called like a checkpoint of the catalog."""
    shape = published_shape(spec)
    return None if shape is None else shape.architecture.factor


_BICUBIC = 3
"""``PIL.Image.Resampling.BICUBIC``: what the image processors of the Qwen-VL family resize with."""


def _tokens(size: Size, side: int) -> int:
    return (size.height // side) * (size.width // side)


def _response_format(settings: EndpointSettings, request: Request) -> dict[str, Any] | None:
    """What the answer has to conform to: what the setting says, or the question's own schema."""
    form = settings.response_format
    if form != OWN_SCHEMA:
        return form
    if request.json_schema is None:
        return None
    return {**form, "json_schema": {"name": "answer", "schema": request.json_schema}}


def chat_request(
    spec: ModelSpec,
    settings: EndpointSettings,
    group: PageGroup,
    request: Request,
    pages: Sequence[SentPage],
    *,
    stream: bool,
    cache_salt: str | None,
) -> dict[str, Any]:
    """The body of ``POST /chat/completions`` for one question about ``pages``."""
    # Images before the text: servers cache what requests begin with, and all questions of a
    # document begin with its pages.
    content: list[Mapping[str, Any]] = [
        {"type": "image_url", "image_url": {"url": page.url}} for page in pages
    ]
    content.append({"type": "text", "text": request.prompt})
    messages: list[Mapping[str, Any]] = []
    if group.system is not None:
        messages.append({"role": "system", "content": group.system})
    messages.append({"role": "user", "content": content})
    body: dict[str, Any] = {
        "model": spec.checkpoint,
        "messages": messages,
        "temperature": 0,
        settings.token_limit: group.generation.max_new_tokens,
    }
    form = _response_format(settings, request)
    if form is not None:
        body["response_format"] = form
    if settings.logprobs:
        body["logprobs"] = True
    if settings.logprobs and settings.token_details:
        # The chosen token, and the one that came next to it.
        body["top_logprobs"] = 2
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if cache_salt is not None:
        body["cache_salt"] = cache_salt
    return body | settings.extra_body
