"""The JSON Schemas of a task: its own, and those that single samples name. Each is read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.errors import InvalidInput
from bench.json_schemas.nodes import Node
from bench.json_schemas.reading import read_schema, read_schema_file
from bench.parsing import kind_of
from bench.tasks.pagefiles import is_inside
from bench.text import one_line


class TaskSchemas:
    """Schemas by name or by content, for the samples of one task folder."""

    def __init__(self, folder: Path, own: str | dict[str, Any] | None = None) -> None:
        """Read the task's own schema.

        Args:
            folder: of the task; names of files count from it.
            own: what the task file says under ``schema``.

        Raises:
            InvalidInput: the schema cannot be read, or it is not accepted.
        """
        self._folder = folder
        self._files: dict[str, Node] = {}
        self.own = None if own is None else self.read(own)

    def read(self, schema: Any) -> Node:
        """Return the schema that a file of the folder holds, or that is written out.

        Raises:
            InvalidInput: it cannot be read, or it is not accepted.
        """
        if isinstance(schema, dict):
            return read_schema(schema, "the schema")
        if not isinstance(schema, str) or not schema.strip():
            raise InvalidInput(
                f"schema should name a file, or be a JSON Schema, not {kind_of(schema)}"
            )
        if schema not in self._files:
            path = self._folder / schema
            if not is_inside(self._folder.resolve(), path):
                raise InvalidInput(
                    f"schema = {one_line(schema, 80)!r} leaves the task folder",
                    hint="put the schema into the task folder",
                )
            self._files[schema] = read_schema_file(path)
        return self._files[schema]
