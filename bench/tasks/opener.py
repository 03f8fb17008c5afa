"""The process that opens pages: it reads requests and writes sizes, words and pixels until its input ends.

It is started by ``bench.tasks.guard`` and may die of a page. A request is one line of JSON. A reply is one
line of JSON, and behind it the RGB bytes of an image if there is one.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from bench.errors import InvalidInput
from bench.schema import Document, Page, Perturbation
from bench.tasks import images, pdf, textlayer
from bench.tasks.limits import page_limits
from bench.text import error_line

if TYPE_CHECKING:
    from PIL.Image import Image

STRIP_BYTES = 2**24
"""Pixels are sent in strips of about this size, so that a large page is not copied as a whole."""


class _Notes(logging.Handler):
    """Collects what is logged about a page, for the process that asked for it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message."""
        self._messages.append(record.getMessage())

    def taken(self) -> list[str]:
        """Return the messages since the last call."""
        messages, self._messages = self._messages, []
        return messages


_NOTES = _Notes()


def _page(fields: dict[str, Any]) -> Page:
    given = fields["perturbation"]
    perturbation = None if given is None else Perturbation(**given)
    return Page(**{**fields, "path": Path(fields["path"]), "perturbation": perturbation})


def _perturbed(fields: dict[str, Any]) -> Image:
    from bench.tasks.perturbing import perturbed

    page = _page(fields)
    assert page.perturbation is not None
    return perturbed(_turned(page), page.perturbation)


def _turned(page: Page) -> Image:
    if page.dpi is not None:
        image = pdf.render(page.path, page.index, page.dpi)
    else:
        image = images.decode(page.path, page.index)
    return images.turned(image if image.mode == "RGB" else image.convert("RGB"), page.turn)


def _document_text(pages: list[dict[str, Any]]) -> str | None:
    return textlayer.document_text(Document("", tuple(map(_page, pages))))


CALLS: dict[str, Callable[..., Any]] = {
    "page_sizes": lambda path, dpi: pdf.page_sizes(Path(path), dpi),
    "frame_sizes": lambda path: images.frame_sizes(Path(path)),
    "render": lambda path, index, dpi: pdf.render(Path(path), index, dpi),
    "decode": lambda path, index, longest: images.decode(Path(path), index, longest),
    "perturbed": _perturbed,
    "text_layer": lambda page: textlayer.text_layer(_page(page)),
    "document_text": _document_text,
}
"""What can be asked for. Arguments and results are JSON, and one result may be an image."""


def main() -> None:
    """Answer requests until the input ends."""
    # Ctrl-C reaches the whole group; the parent decides what becomes of a page.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "wb")
    # What a decoder prints must not come between the replies.
    os.dup2(2, 1)
    logging.getLogger().addHandler(_NOTES)
    _bound_memory(page_limits().memory_bytes)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _set_alarms(request["seconds"], request["clock_factor"])
        result = _result(request)
        _set_alarms(0, 0)
        image = None if isinstance(result, dict) else result
        reply = result if isinstance(result, dict) else _size(result)
        reply["notes"] = _NOTES.taken()
        replies.write(json.dumps(reply).encode() + b"\n")
        if image is not None:
            _send_pixels(image, reply["rows"], replies)
        replies.flush()


def _set_alarms(seconds: float, clock_factor: float) -> None:
    """End this process after ``seconds`` of processor time, or a multiple of them by the clock; 0 stops that.

    Both alarms come while a decoder computes, and even if the parent has been killed. Processor time is
    what a page takes on a busy machine, too; the clock is for files that do not come.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, clock_factor * seconds)


def _bound_memory(limit: int) -> None:
    """Let the process have ``limit`` bytes more than it has, as far as the system can do that."""
    from PIL import Image

    # Pillow refuses images of more than twice this number; the caller refuses those above a lower limit.
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, page_limits().pixels // 2 + 1)
    statm = Path("/proc/self/statm")
    if not statm.is_file():
        return
    used = int(statm.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = used + limit
    bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _result(request: dict[str, Any]) -> dict[str, Any] | Image:
    """Return what was asked for, or what became of it: an RGB image, or the reply as it is written."""
    from PIL import Image

    try:
        os.chdir(request["folder"])
        result = CALLS[request["call"]](*request["arguments"])
        if isinstance(result, Image.Image):
            return result.convert("RGB") if result.mode != "RGB" else result
        return {"result": result}
    except InvalidInput as error:
        return {"error": error.message, "hint": error.hint}
    except MemoryError:
        return {"memory": True}
    # A decoder may raise anything for a broken file, and the next page must still be opened.
    except Exception as error:
        return {"broken": error_line(error)}


def _size(rgb: Image) -> dict[str, Any]:
    """Return the reply that announces an image: its size, and the rows of a strip."""
    rows = max(1, STRIP_BYTES // (3 * max(1, rgb.width)))
    return {"size": rgb.size, "rows": rows}


def _send_pixels(rgb: Image, rows: int, replies: BinaryIO) -> None:
    """Write the pixels in strips from top to bottom."""
    for top in range(0, rgb.height, rows):
        box = (0, top, rgb.width, min(rgb.height, top + rows))
        strip = rgb if rows >= rgb.height else rgb.crop(box)
        replies.write(strip.tobytes())


if __name__ == "__main__":
    main()
