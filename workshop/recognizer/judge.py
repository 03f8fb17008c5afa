"""Measure a recogniser on lines that it never saw: ``python -m workshop.recognizer.judge MODEL``.

The lines have other texts than those of training and, but for the row ``known typefaces``, are set in
families that training never shows. RapidOCR itself reads them.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import rapidocr
from rapidfuzz.distance import Levenshtein

from workshop.recognizer.lines import Line, Lines

SEED = 9_001
"""Of the lines; training has smaller ones."""


class Judged(NamedTuple):
    """How a set of lines was read."""

    lines: int
    characters: int
    edits: int
    """Characters put in, left out or replaced."""
    perfect: int
    """Lines without an error."""
    confusions: Counter[tuple[str, str]]

    @property
    def error_rate(self) -> float:
        """Edits per character."""
        return self.edits / max(1, self.characters)


def reader(model: Path | None) -> Any:
    """RapidOCR with the recogniser ``model``, or with the one of its wheel, for lines that are cut out."""
    params: dict[str, Any] = {"Global.log_level": "critical", "Global.text_score": 0.0}
    params["EngineConfig.onnxruntime.intra_op_num_threads"] = 1
    if model is not None:
        params["Rec.model_path"] = str(model)
    return rapidocr.RapidOCR(params=params)


def judge(engine: Any, lines: list[Line]) -> Judged:
    """Read ``lines`` and count the errors."""
    edits = perfect = 0
    confusions: Counter[tuple[str, str]] = Counter()
    for line in lines:
        result = engine(line.pixels, use_det=False, use_cls=False)
        text = result.txts[0] if result.txts else ""
        operations = Levenshtein.editops(line.text, text).as_list()
        edits += len(operations)
        perfect += not operations
        for operation, source, target in operations:
            wanted = "" if operation == "insert" else line.text[int(source)]
            got = "" if operation == "delete" else text[int(target)]
            confusions[wanted, got] += 1
    characters = sum(len(line.text) for line in lines)
    return Judged(len(lines), characters, edits, perfect, confusions)


def main() -> None:
    """Print a table of error rates, and what is confused most."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--lines", type=int, default=1000)
    options = parser.parse_args()
    engine = reader(options.model)
    confusions: Counter[tuple[str, str]] = Counter()
    for name, held_out, scanned in (
        ("clean, unseen typefaces", True, 0.0),
        ("scan-like, unseen typefaces", True, 1.0),
        ("scan-like, known typefaces", False, 1.0),
    ):
        drawn = Lines(SEED, held_out=held_out, scanned=scanned)
        judged = judge(engine, [drawn.draw() for _ in range(options.lines)])
        confusions += judged.confusions
        print(
            f"{name}: {judged.error_rate:.4f} of {judged.characters} characters wrong, "
            f"{judged.perfect / judged.lines:.3f} of {judged.lines} lines without an error"
        )
    print("  ".join(f"{a!r}→{b!r} {n}" for (a, b), n in confusions.most_common(60)))


if __name__ == "__main__":
    main()
