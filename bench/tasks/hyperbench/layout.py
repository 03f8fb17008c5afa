"""Finds the files that the rows of a ``user_config.csv`` name.

They lie where ``VLMHyperBench_config.json`` says, in the folders of VLMHyperBench's repository, or beside
``user_config.csv``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.errors import InvalidInput
from bench.parsing import MAX_CONFIG_BYTES, read_json, read_text
from bench.tasks.finding import find_task
from bench.tasks.hyperbench import is_dataset
from bench.tasks.hyperbench.config import VQA, ConfigRow
from bench.text import one_line

_FOLDER_NAMES = {
    "datasets": "Datasets",
    "prompt_collections": "PromptCollections",
    "system_prompts": "SystemPrompts",
    "model_answers": "ModelsAnswers",
}
"""What a folder holds → its name in VLMHyperBench's repository."""
_BASES = (".", "vlmhyperbench", "vlmhyperbench/data_dirs", "data_dirs", "data")
_CONFIG_PLACES = (
    ".",
    "cfg",
    "system_dirs/cfg",
    "vlmhyperbench/cfg",
    "vlmhyperbench/system_dirs/cfg",
)


@dataclass(frozen=True, slots=True)
class ConfigLayout:
    """Where the files of a VLMHyperBench installation may lie."""

    root: Path
    """The folder of ``user_config.csv``."""
    folders: Mapping[str, tuple[Path, ...]]
    """What the folders hold (``datasets``, ``prompt_collections``, …) → folders, the likeliest first."""

    def dataset(self, row: ConfigRow) -> Path:
        """Return the folder of the row's data set, as ``bench.tasks.load_task`` takes it.

        Raises:
            InvalidInput: the data set is in none of the folders.
        """
        for path in self._dataset_places(row):
            if is_dataset(path):
                return path if row.task == VQA else path / row.task
        try:
            return find_task(row.dataset)
        except InvalidInput as error:
            places = ", ".join(str(base) for base in self.folders["datasets"][:2])
            raise InvalidInput(
                f"line {row.line}: the data set {one_line(row.dataset, 60)!r} is not in {places}",
                hint=error.hint,
            ) from None

    def _dataset_places(self, row: ConfigRow) -> Iterator[Path]:
        for base in self.folders["datasets"]:
            for inner in (row.task, "rpo", "."):
                yield base / inner / row.dataset
        yield self.root / row.dataset
        yield Path(row.dataset)

    def prompts(self, row: ConfigRow) -> Path | None:
        """Return the row's prompt collection; None if the row names none.

        Raises:
            InvalidInput: the collection is in none of the folders.
        """
        if not row.prompt_collection:
            return None
        return self._file(row, "prompt_collections", row.prompt_collection)

    def system(self, row: ConfigRow) -> str | None:
        """Return the row's system prompt: its own text, or the text of the file that it names."""
        if not row.system_prompt:
            return None
        if not row.system_prompt.endswith((".txt", ".md")):
            return row.system_prompt
        path = self._file(row, "system_prompts", row.system_prompt)
        return read_text(path).strip()

    def answers(self, row: ConfigRow) -> Path | None:
        """Return the newest answers file of the row's model and data set; None if there is none."""
        pattern = re.compile(
            rf"{re.escape(row.dataset)}_.*_{re.escape(row.model)}_{re.escape(row.task)}"
            r"(_classification|_sorting)?_answers_(?P<time>\d{8}_\d{6})\.csv"
        )
        by_time: list[tuple[str, Path]] = []
        for base in self.folders["model_answers"]:
            for path in base.rglob("*.csv"):
                match = pattern.fullmatch(path.name)
                if match is not None:
                    by_time.append((match["time"], path))
        return max(by_time)[1] if by_time else None

    def _file(self, row: ConfigRow, kind: str, name: str) -> Path:
        name = name.replace("\\", "/")
        places = [base / inner for base in self.folders[kind] for inner in (row.task, ".")]
        for place in (*places, self.root, Path()):
            if (place / name).is_file():
                return place / name
        raise InvalidInput(
            f"line {row.line}: the file {one_line(name, 80)!r} is not in {self.folders[kind][0]}"
        )


def find_layout(config: Path) -> ConfigLayout:
    """Find the folders that belong to a ``user_config.csv``."""
    root = config.resolve().parent
    configured = _configured_folders(root)
    folders: dict[str, tuple[Path, ...]] = {}
    for kind, name in _FOLDER_NAMES.items():
        places = [root / base / name for base in _BASES]
        if kind in configured:
            places.insert(0, root / configured[kind])
        folders[kind] = tuple(dict.fromkeys(places))
    return ConfigLayout(root, folders)


def _configured_folders(root: Path) -> dict[str, str]:
    """Read ``data_dirs`` of ``VLMHyperBench_config.json``: paths from the root of the repository."""
    for place in _CONFIG_PLACES:
        path = root / place / "VLMHyperBench_config.json"
        if not path.is_file():
            continue
        content = read_json(path, MAX_CONFIG_BYTES)
        folders = content.get("data_dirs") if isinstance(content, dict) else None
        if isinstance(folders, dict):
            return {key: value for key, value in folders.items() if isinstance(value, str)}
    return {}
