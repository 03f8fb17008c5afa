"""What a quantised or tuned model changes against the model that it was made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bench import formatting
from bench.report.comparing import balance, comparison_table, legend
from bench.report.samples import raw_text, reference_texts
from bench.report.section import (
    DATA,
    DOCUMENTS,
    Block,
    Column,
    DataCell,
    Excerpt,
    Excerpts,
    Group,
    Quote,
    Row,
    Section,
    Table,
    Text,
    model_cell,
)
from bench.report.variants import paired, variants
from bench.report.views import ReportView
from bench.scoring.answers import Answer
from bench.scoring.comparison import Flip, PairedAnswers
from bench.scoring.levels import LEVELS, level

MAX_VARIANTS = 6
"""Variants that are shown."""

MAX_EXCERPTS = 5
"""Answers that are quoted of those gained, and of those lost."""

MAX_FIELDS = 20
"""Fields that are listed, those with the most changes."""

ONE_PAIR = (
    "This is a comparison of one pair. The table of all pairs adjusts p for all of them, so a difference "
    "that counts here may be within the noise there."
)


def section(view: ReportView) -> Section | None:
    """Gains and losses of every variant whose base is in the report; None if there is none."""
    blocks: list[Block] = []
    lines: list[Row] = []
    for number, pair in enumerate(variants(view)[:MAX_VARIANTS]):
        base, variant = view.rows[pair.base].key, view.rows[pair.variant].key
        answers = paired(view, pair.base, pair.variant)
        if answers is None:
            continue
        title = f"{variant} ({pair.kind}) against {base}"
        parts = detail(view, answers, (base, variant), ("base", "variant"), f"{number + 1}")
        blocks.append(Group(parts, title))
        lines += [_flip_row(flip, base, variant) for flip in answers.flips]
    if not blocks:
        return None
    blocks.append(_flip_table(lines))
    return Section("flips", "What a variant changes", tuple(blocks), "Variants", DOCUMENTS)


def detail(
    view: ReportView,
    answers: PairedAnswers,
    models: tuple[str, str],
    labels: tuple[str, str],
    id_: str,
) -> tuple[Block, ...]:
    """What is concluded, then all tasks together, each task, and what flipped in both directions.

    Args:
        view: the report.
        answers: both models on the questions that they share.
        models: keys of the two rows.
        labels: what the two are called in the table, which has no room for long names.
        id_: makes the tables' ids unique in the section.
    """
    return (
        Text((answers.conclusion(*models),)),
        comparison_table(answers, *labels, f"tasks-{id_}"),
        *_by_field(answers, id_),
        Text((balance(answers),)),
        *_excerpts(view, answers, *models),
        Text((f"{legend(answers, *labels)} {ONE_PAIR}",), "note"),
    )


def _by_field(answers: PairedAnswers, id_: str) -> list[Table]:
    """Gains and losses by field, the most changed first."""
    asked: Counter[str] = Counter()
    for pairing in answers.pairings:
        asked.update(answer.sample.metadata.get("field", "") for answer in pairing.first)
    if set(asked) <= {""} or not answers.flips:
        return []
    gained = Counter(_field(flip) for flip in answers.flips if flip.gained)
    lost = Counter(_field(flip) for flip in answers.flips if not flip.gained)
    columns = (
        Column("field", "Field", header=True),
        Column("n", "Questions", "count"),
        Column("gained", "gained", "count"),
        Column("lost", "lost", "count"),
        Column("balance", "gained − lost", "count"),
    )
    names = sorted(gained.keys() | lost.keys(), key=lambda name: (-gained[name] - lost[name], name))
    rows = tuple(
        Row(
            {
                "field": DataCell(name or "(no field)"),
                "n": DataCell(asked[name]),
                "gained": DataCell(gained[name]),
                "lost": DataCell(lost[name]),
                "balance": DataCell(
                    gained[name] - lost[name],
                    text=f"{gained[name] - lost[name]:+,}".replace("-", "−"),
                ),
            }
        )
        for name in names[:MAX_FIELDS]
    )
    return [Table(f"fields-{id_}", columns, rows, "Answers gained and lost by field.")]


def _field(flip: Flip) -> str:
    return flip.sample.metadata.get("field", "")


def _excerpts(view: ReportView, answers: PairedAnswers, first: str, second: str) -> list[Group]:
    groups = []
    for word, flips in (
        ("lost", [flip for flip in answers.flips if not flip.gained]),
        ("gained", [flip for flip in answers.flips if flip.gained]),
    ):
        if flips:
            items = tuple(_excerpt(view, flip, first, second) for flip in flips[:MAX_EXCERPTS])
            shown = f", of which {len(items)} are shown" if len(flips) > len(items) else ""
            title = f"{formatting.plural(len(flips), 'answer')} {word}{shown}"
            groups.append(Group((Excerpts(items),), title, "folded"))
    return groups


def _excerpt(view: ReportView, flip: Flip, first: str, second: str) -> Excerpt:
    headline = next(task.headline for task in view.tasks if task.key == flip.task)
    return Excerpt(
        flip.task,
        flip.sample.id,
        flip.sample.question,
        flip.sample.metadata.get("language", ""),
        tuple(reference_texts(flip.sample)),
        (_quote(flip.first, first, headline), _quote(flip.second, second, headline)),
    )


def _quote(answer: Answer, model: str, headline: str) -> Quote:
    name = level(answer, headline)
    glyph, words, _ = LEVELS[name]
    return Quote(model, glyph, name, words, answer.extracted)


# All flips, for programs


def _flip_table(lines: Sequence[Row]) -> Table:
    columns = (
        Column("base", "Base"),
        Column("variant", "Variant"),
        Column("change", "Change"),
        Column("task", "Task"),
        Column("sample", "Sample"),
        Column("field", "Field"),
        Column("question", "Question"),
        Column("expected", "Expected"),
        Column("before", "Answer of the base"),
        Column("before_score", "Score of the base", "score"),
        Column("after", "Answer of the variant"),
        Column("after_score", "Score of the variant", "score"),
    )
    return Table("answers", columns, tuple(lines), "Every answer that flipped.", outputs=DATA)


def _flip_row(flip: Flip, base: str, variant: str) -> Row:
    expected = flip.sample.references[0] if flip.sample.references else ""
    return Row(
        {
            "base": model_cell(base),
            "variant": model_cell(variant),
            "change": DataCell("gained" if flip.gained else "lost"),
            "task": DataCell(flip.task),
            "sample": DataCell(flip.sample.id),
            "field": DataCell(_field(flip)),
            "question": DataCell(flip.sample.question),
            "expected": DataCell(raw_text(expected)),
            "before": DataCell(flip.first.extracted),
            "before_score": DataCell(flip.first_score),
            "after": DataCell(flip.second.extracted),
            "after_score": DataCell(flip.second_score),
        }
    )
