"""``bench data synth``: draw a folder of documents that is a task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import tomlkit

from bench.errors import InvalidInput, did_you_mean
from bench.litter import is_free, new_folder
from bench.schema import SHORT_ANSWER, Json
from bench.synth.files import sample_line, write_pages, write_samples
from bench.synth.kinds import KINDS, LANGUAGES, LAYOUTS, find_kind, make
from bench.synth.scanning import STRENGTHS, ScanStrength

SCANS: dict[str, tuple[ScanStrength, ...]] = {
    "mixed": ("clean", "clean", "light", "light", "heavy"),
    **{strength: (strength,) for strength in STRENGTHS},
}
"""Value of ``--scan`` → the strengths that a page is drawn from."""


def synthesise(
    kinds: Sequence[str],
    languages: Sequence[str],
    count: int,
    seed: int,
    out: Path,
    *,
    scan: str = "mixed",
    layouts: Sequence[str] = (),
) -> Path:
    """Write ``count`` documents, their questions and a ``task.toml`` into ``out``; return ``out``.

    Documents take turns through the pairs of kind and language that exist. Document n depends on
    the seed, its kind, its language and n alone, so a larger count begins with the same documents.

    Args:
        kinds: of ``KINDS``.
        languages: of ``ru``, ``en``, ``zh``.
        count: how many documents, at least 1.
        seed: any integer.
        out: a folder that does not exist yet or is empty.
        scan: ``clean``, ``light``, ``heavy``, ``photo`` or ``mixed``.
        layouts: the layouts to draw from; empty draws from all of a kind's.

    Raises:
        InvalidInput: an unknown name, no such combination, or ``out`` already holds files.
        EnvironmentProblem: Faker or reportlab is not installed.
    """
    pairs = combinations(kinds, languages)
    _check(pairs, count, scan, layouts)
    if not is_free(out):
        raise InvalidInput(f"{out} already holds files", hint="name a new folder with --out")
    with new_folder(out) as folder:
        lines = _write_documents(folder, pairs, count, seed, scan, layouts)
        write_samples(folder / "samples.jsonl", lines)
        task_file = _task_file(out.name, pairs, count, seed, scan, layouts)
        (folder / "task.toml").write_text(task_file, encoding="utf-8", newline="\n")
    return out


def _write_documents(
    folder: Path,
    pairs: Sequence[tuple[str, str]],
    count: int,
    seed: int,
    scan: str,
    layouts: Sequence[str],
) -> list[dict[str, Json]]:
    """Draw the documents into ``folder``, and return the lines of ``samples.jsonl`` about them."""
    digits = max(4, len(str(count)))
    lines = []
    for number in range(count):
        kind, language = pairs[number % len(pairs)]
        rng = Random(f"{seed}/{kind}/{language}/{number}")
        document = make(kind, language, rng, layout=rng.choice(layouts) if layouts else None)
        stem = f"{kind}-{language}-{number + 1:0{digits}d}"
        files = write_pages(document, folder, stem, rng.choice(SCANS[scan]), rng)
        for question in document.questions:
            facts = {"doc_type": kind, "field": question.field, "language": language,
                     "layout": document.layout}  # fmt: skip
            identifier = f"{stem}/{question.field}"
            lines.append(sample_line(identifier, files, question.text, question.answers, facts))
    return lines


def combinations(kinds: Sequence[str], languages: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of kind and language that exist, in the order given.

    Raises:
        InvalidInput: a name is unknown, or a kind exists in none of the languages.
    """
    for language in languages:
        if language not in LANGUAGES:
            hint = did_you_mean(language, LANGUAGES)
            raise InvalidInput(f"no language is named {language!r}", hint=hint)
    pairs = []
    for kind in dict.fromkeys(kinds):
        known = find_kind(kind).languages
        spoken = [language for language in dict.fromkeys(languages) if language in known]
        if not spoken:
            raise InvalidInput(
                f"documents of kind {kind!r} are not drawn in {', '.join(languages)}",
                hint=f"name one of its languages: {', '.join(known)}",
            )
        pairs += [(kind, language) for language in spoken]
    if not pairs:
        raise InvalidInput("no kind of document was named", hint=did_you_mean("", KINDS))
    return pairs


def _check(pairs: Sequence[tuple[str, str]], count: int, scan: str, layouts: Sequence[str]) -> None:
    for kind, language in pairs:
        known = LAYOUTS.get((kind, language), ())
        for layout in layouts:
            if layout not in known:
                raise InvalidInput(
                    f"{kind} in {language!r} has no layout {layout!r}",
                    hint=f"name one of {', '.join(known)}" if known else "it has one layout only",
                )
    if count < 1:
        raise InvalidInput(f"expected a count of at least 1, got {count}")
    if scan not in SCANS:
        raise InvalidInput(f"no scan strength is named {scan!r}", hint=did_you_mean(scan, SCANS))


def _task_file(
    name: str,
    pairs: Sequence[tuple[str, str]],
    count: int,
    seed: int,
    scan: str,
    layouts: Sequence[str],
) -> str:
    languages = list(dict.fromkeys(language for _, language in pairs))
    kinds = list(dict.fromkeys(kind for kind, _ in pairs))
    chosen = f"--kind {','.join(kinds)} --lang {','.join(languages)}"
    command = f"bench data synth {chosen} -n {count} --seed {seed} --scan {scan}"
    if layouts:
        command += f" --layout {','.join(layouts)}"
    letters = (letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
    instruction = SHORT_ANSWER[languages[0] if len(languages) == 1 else "en"]
    content = {
        "name": "".join(letters) or "synth",
        "version": "1",
        "title": f"Synthetic documents: {', '.join(kinds)} ({', '.join(languages)})",
        "license": "CC0-1.0",
        "source": command,
        "answer_type": "text",
        "metrics": ["anls", "exact_match", "contains", "cer", "fuzzy_ratio"],
        "prompt": {"template": f"{{question}}\n{instruction}"},
        "generation": {"max_new_tokens": 64},
    }
    return tomlkit.dumps(content)
