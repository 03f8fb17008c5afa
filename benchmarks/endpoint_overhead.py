"""What the harness costs beside a server: questions a second at 64 in flight.

``python benchmarks/endpoint_overhead.py`` starts a server that answers at once, in a process of its own,
and asks it through the endpoint backend. Every page is opened, resized to whole visual tokens, encoded and
sent, as in a run. Wall time depends on what else the machine does, so the processor's seconds stand beside
it: those of the harness with the process that opens pages, and those of the server. With two cores, the
rate can be no higher than two seconds over the sum of both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from PIL import Image, ImageDraw

from bench.models.openai import Endpoint
from bench.schema import Document, Generation, ModelSpec, PageGroup, Request
from bench.tasks.pages import read_pages

IN_FLIGHT = 64

_ANSWER = json.dumps(
    {
        "choices": [
            {
                "message": {"role": "assistant", "content": "12.50"},
                "finish_reason": "stop",
                "logprobs": {"content": [{"token": t, "logprob": -0.1} for t in ("12", ".50", "")]},
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 3},
    }
).encode()


class AtOnce(asyncio.Protocol):
    """A connection of the server: it reads a request to its end and answers the same every time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where the answers go."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._head = b""
        self._left: int | None = None

    def data_received(self, data: bytes) -> None:
        """Count the bytes of the request, whose content is of no interest."""
        if self._left is None:
            self._head += data
            head, end, body = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._left, data = _length(head), body
            self._path = head.split(b" ", 2)[1]
        self._left -= len(data)
        if self._left > 0:
            return
        answer = b'{"data": [{"id": "m"}]}' if self._path.endswith(b"/models") else _ANSWER
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._transport.write(head % len(answer) + answer)
        self._head, self._left = b"", None


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


async def serve() -> None:
    """Answer on a free port, which is printed, until this process is killed."""
    server = await asyncio.get_running_loop().create_server(AtOnce, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def pages(folder: Path, number: int, width: int, height: int) -> list[Path]:
    """Pages with some text, all different."""
    paths = []
    for index in range(number):
        image = Image.new("RGB", (width, height), "white")
        draw = ImageDraw.Draw(image)
        for line in range(10, height - 10, 14):
            draw.text(
                (10, line), f"{index} {line} total 12.50 invoice 4711 " * (width // 180), "black"
            )
        paths.append(folder / f"{width}-{index}.png")
        image.save(paths[-1], compress_level=1)
    return paths


def groups_of(paths: Sequence[Path], questions: int) -> list[PageGroup]:
    """Documents of one page with so many questions each."""
    return [
        PageGroup(
            Document(path.name, read_pages(path)),
            tuple(Request(f"{path.name}/{n}", "", f"What is field {n}?") for n in range(questions)),
            Generation(32),
        )
        for path in paths
    ]


def measure(
    model: Endpoint, groups: Sequence[PageGroup], server: psutil.Process
) -> dict[str, float]:
    """Rates and processor times of one call."""
    total = sum(len(group.requests) for group in groups)
    harness, served, started = _processor_seconds(), _seconds_of(server), time.perf_counter()
    batch = model.generate(groups)
    wall = time.perf_counter() - started
    harness, served = _processor_seconds() - harness, _seconds_of(server) - served
    assert all(output.text == "12.50" for output in batch.outputs)
    return {
        "questions": total,
        "questions_per_second": round(total / wall, 1),
        "most_in_flight": batch.notes["in_flight"],
        "harness_processor_ms_per_question": round(harness / total * 1000, 2),
        "server_processor_ms_per_question": round(served / total * 1000, 2),
        "questions_per_second_of_two_quiet_cores": round(2 * total / (harness + served), 1),
    }


def _processor_seconds() -> float:
    this = psutil.Process()
    openers = [child for child in this.children() if "opener" in " ".join(child.cmdline())]
    return _seconds_of(this) + sum(map(_seconds_of, openers))


def _seconds_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main(arguments: Sequence[str]) -> int:
    """Measure small and large pages, with one question each and with eight."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", nargs="?", choices=["measure", "serve"], default="measure")
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--image-format", choices=["png", "jpeg"], default="png")
    chosen = parser.parse_args(arguments)
    if chosen.action == "serve":
        asyncio.run(serve())
    words = [sys.executable, __file__, "serve"]
    results = {}
    with (
        subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server,
        tempfile.TemporaryDirectory() as temporary,
    ):
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
        options = {
            "base_url": url,
            "concurrency": IN_FLIGHT,
            "visual_token_side": 28,
            "image_format": chosen.image_format,
        }
        model = Endpoint(ModelSpec("m", "openai", "m", options=options))
        model.load()
        for width, height, each in ((308, 196, 8), (308, 196, 1), (1008, 1008, 8), (1008, 1008, 1)):
            number = chosen.questions // each if width == 308 else chosen.questions // each // 4
            groups = groups_of(pages(Path(temporary), number, width, height), each)
            # The first questions open the connections and raise the number in flight.
            model.generate(groups[: max(2, len(groups) // 4)])
            name = f"{width}x{height} pixels, {each} a page"
            results[name] = measure(model, groups, psutil.Process(server.pid))
            print(f"{name}: {results[name]}", file=sys.stderr, flush=True)
        model.close()
        server.kill()
    print(json.dumps(results, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
