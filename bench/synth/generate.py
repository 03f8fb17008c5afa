"""``bench data synth``: a folder of documents that is a task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

from bench.errors import InvalidInput, did_you_mean
from bench.synth.degrade import STRENGTHS, Strength
from bench.synth.files import sample_line, write_pages, write_samples
from bench.synth.kinds import KINDS, LANGUAGES, LAYOUTS, make

SCANS: dict[str, tuple[Strength, ...]] = {
    "mixed": ("clean", "clean", "light", "light", "heavy"),
    **{strength: (strength,) for strength in STRENGTHS},
}
"""Value of ``scan`` → strengths to draw from."""

INSTRUCTIONS = {
    "ru": "Ответьте одним словом или короткой фразой.",
    "en": "Answer the question using a single word or phrase.",
    "zh": "请用一个词或短语回答。",
}
"""Asks for a short answer, in the language of the question."""


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

    Documents go round the combinations of kind and language that exist. Document n depends on the seed,
    its kind, its language and n alone, so a larger count begins with the same documents.

    Args:
        kinds: of ``KINDS``.
        languages: of ``ru``, ``en``, ``zh``.
        count: documents, at least 1.
        seed: any integer.
        out: a folder that does not exist yet or is empty.
        scan: ``clean``, ``light``, ``heavy``, ``photo`` or ``mixed``.
        layouts: layout families to draw from; empty draws from all of a kind's.

    Raises:
        InvalidInput: an unknown name, no such combination, or ``out`` already holds files.
        EnvironmentProblem: Faker or reportlab is not installed.
    """
    pairs = combinations(kinds, languages)
    _check_layouts(pairs, layouts)
    if count < 1:
        raise InvalidInput(f"expected a count of at least 1, got {count}")
    if scan not in SCANS:
        raise InvalidInput(f"no scan strength is named {scan!r}", hint=did_you_mean(scan, SCANS))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidInput(f"{out} already holds files", hint="name a new folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    lines = []
    for n in range(count):
        kind, language = pairs[n % len(pairs)]
        rng = Random(f"{seed}/{kind}/{language}/{n}")
        record = make(kind, language, rng, layout=rng.choice(layouts) if layouts else None)
        stem = f"{kind}-{language}-{n + 1:0{max(4, len(str(count)))}d}"
        files = write_pages(record, out, stem, rng.choice(SCANS[scan]), rng)
        lines += [
            sample_line(
                f"{stem}/{question.field}", files, question.text, question.answers,
                {"doc_type": kind, "field": question.field, "language": language, "layout": record.layout},
            )
            for question in record.questions
        ]  # fmt: skip
    write_samples(out / "samples.jsonl", lines)
    (out / "task.toml").write_text(
        _task_file(out.name, pairs, count, seed, scan, layouts), encoding="utf-8", newline="\n"
    )
    return out


def combinations(kinds: Sequence[str], languages: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of kind and language that exist, in the order given.

    Raises:
        InvalidInput: a name is unknown, or a kind exists in none of the languages.
    """
    for language in languages:
        if language not in LANGUAGES:
            raise InvalidInput(
                f"no language is named {language!r}", hint=did_you_mean(language, LANGUAGES)
            )
    pairs = []
    for kind in dict.fromkeys(kinds):
        if kind not in KINDS:
            raise InvalidInput(
                f"no kind of document is named {kind!r}", hint=did_you_mean(kind, KINDS)
            )
        found = [
            (kind, language)
            for language in dict.fromkeys(languages)
            if language in KINDS[kind].languages
        ]
        if not found:
            known = ", ".join(KINDS[kind].languages)
            raise InvalidInput(
                f"{kind} is made in none of {', '.join(languages)}",
                hint=f"languages of {kind}: {known}",
            )
        pairs += found
    if not pairs:
        raise InvalidInput("no kind of document was named", hint=did_you_mean("", KINDS))
    return pairs


def _check_layouts(pairs: Sequence[tuple[str, str]], layouts: Sequence[str]) -> None:
    for kind, language in pairs:
        known = LAYOUTS.get((kind, language), ())
        for layout in layouts:
            if layout not in known:
                raise InvalidInput(
                    f"{kind} in {language!r} has no layout {layout!r}",
                    hint=f"it has {', '.join(known)}" if known else "it has one layout only",
                )


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
    instruction = INSTRUCTIONS[languages[0] if len(languages) == 1 else "en"]
    chosen = f"--kind {','.join(kinds)} --lang {','.join(languages)}"
    command = f"bench data synth {chosen} -n {count} --seed {seed} --scan {scan}"
    if layouts:
        command += f" --layout {','.join(layouts)}"
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in name) or "synth"
    return (
        f'name = "{safe}"\nversion = "1"\n'
        f'title = "Synthetic documents: {", ".join(kinds)} ({", ".join(languages)})"\n'
        f'license = "CC0-1.0"\nsource = "{command}"\nanswer_type = "text"\n'
        'metrics = ["anls", "exact_match", "contains", "cer", "fuzzy_ratio"]\n\n'
        f'[prompt]\ntemplate = "{{question}}\\n{instruction}"\n\n[generation]\nmax_new_tokens = 64\n'
    )
