#!/usr/bin/env python3
"""A program that stands for ``vllm`` in tests: the same flags, pages and processes, and the answers of
``tests.openai_server``.

Like vLLM it has a second process, answers ``/health`` only after a while, and ends when the second process
dies. A file that ``FAKE_VLLM_RECORD`` names gets one JSON object for each start.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.openai_server import Handler, Server


class VllmHandler(Handler):
    """The further pages of a vLLM server."""

    def do_POST(self) -> None:
        time.sleep(float(os.environ.get("FAKE_VLLM_SECONDS", "0")))
        super().do_POST()

    def do_GET(self) -> None:
        if self.path == "/health":
            self.raw(200, b"", "text/plain")
        elif self.path == "/metrics":
            asked = len(self.server.requests)
            labels = 'engine="0",model_name="served"'
            lines = [
                "# TYPE vllm:prefix_cache_queries_total counter",
                f"vllm:prefix_cache_queries_total{{{labels}}} {asked * 100}.0",
                f"vllm:prefix_cache_hits_total{{{labels}}} {asked * 60}.0",
            ]
            self.raw(200, "\n".join(lines).encode(), "text/plain")
        else:
            super().do_GET()


def say(line: str) -> None:
    """Write a line of the log."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Serve until a signal comes or the second process dies."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["serve"])
    parser.add_argument("checkpoint")
    parser.add_argument("--served-model-name")
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--mm-processor-kwargs", type=json.loads, default={})
    # Of the others the names are checked, as vLLM does.
    for flag in ("--dtype", "--revision", "--quantization", "--max-model-len", "--logprobs-mode"):
        parser.add_argument(flag)
    for flag in (
        "--enable-prefix-caching",
        "--no-enable-prefix-caching",
        "--enable-prompt-tokens-details",
        "--disable-uvicorn-access-log",
        "--enforce-eager",
    ):
        parser.add_argument(flag, action="store_true")
    options = parser.parse_args()
    if options.max_model_len == "1":
        say("ValueError: the context is too short\x1b[31m")
        return 1
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    record: dict[str, Any] = {"argv": sys.argv[1:], "processes": [os.getpid(), worker.pid]}
    with Path(os.environ["FAKE_VLLM_RECORD"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = Server(options.port, VllmHandler)
    server.models = [options.served_model_name]
    server.max_pixels = options.mm_processor_kwargs.get("max_pixels")
    say("the server is ready")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while worker.poll() is None:
        time.sleep(0.01)
    say("EngineDeadError: the engine process died")
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
