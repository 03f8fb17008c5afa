#!/usr/bin/env python3
"""Ask a Qwen2-VL one question about a page, and say what it took: ``python run_predict.py --help``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.errors import BenchError
from bench.measure import gpu_failure
from bench.models.catalog import resolve
from bench.runner.predict import default_model, describe, example_page, predict
from bench.runner.threads import set_threads
from bench.text import printable

QUESTION = "Опиши документ."


def main() -> int:
    """Run with the command line's arguments; the exit code."""
    options = _parse()
    set_threads()
    try:
        _ask(options)
    except BenchError as error:
        return _complain(error)
    except RuntimeError as error:
        if (failure := gpu_failure(error)) is None:
            raise
        return _complain(failure)
    except KeyboardInterrupt:
        return 130
    return 0


def _complain(error: BenchError) -> int:
    """Print what went wrong and what to type; the exit code."""
    print(f"error: {printable(error.message)}", file=sys.stderr)
    if error.hint is not None:
        print(f"try: {printable(error.hint)}", file=sys.stderr)
    return error.exit_code


def _ask(options: argparse.Namespace) -> None:
    """Ask the model, and print its answer with times and memory."""
    name = options.model or default_model(options.device)
    bench_toml = Path("bench.toml")
    spec = resolve(
        name,
        bench_toml=bench_toml if bench_toml.is_file() else None,
        device=options.device,
    )
    print(f"Model: {name}", flush=True)
    answer = predict(
        options.image or [example_page()],
        options.question,
        spec,
        max_new_tokens=options.max_new_tokens,
    )
    print(f"Question: {printable(answer.question)}")
    print(f"Answer: {printable(answer.text, newlines=True)}")
    print(describe(answer))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Ask a vision-language model one question about page images."
    )
    parser.add_argument(
        "--model",
        help="Ask this model: a catalog name, a hub id or a checkpoint folder. The model ocr needs no "
        "weights. The default is qwen2-vl-7b on a GPU that has room for it, and qwen2-vl-2b elsewhere.",
    )
    parser.add_argument(
        "--image",
        type=Path,
        action="append",
        help="Ask about this image, TIFF file or PDF file. The option may be given several times. The "
        "default is example_docs/1.png.",
    )
    parser.add_argument(
        "--question", default=QUESTION, help=f"Ask this question. The default is: {QUESTION}"
    )
    parser.add_argument(
        "--max-new-tokens",
        type=int,
        default=256,
        metavar="N",
        help="Let the answer have at most N tokens. The default is 256.",
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="Run on this device: auto, cpu, cuda or cuda:N. The default, auto, takes a GPU if there is one.",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
