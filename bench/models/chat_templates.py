"""Finds a checkpoint's chat template, and refuses one that computes without end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import InvalidInput
from bench.models.bounded import bounded
from bench.models.checkpoints import read_json
from bench.parsing import read_text
from bench.text import one_line

TEMPLATE_HINT = "use the chat template of the base checkpoint"
_DEFAULT = "default"


class ChatTemplate(NamedTuple):
    """A Jinja template that turns a conversation into a prompt."""

    text: str
    source: str
    """The name of the file that it comes from."""


def find_template(folder: Path) -> ChatTemplate | None:
    """The template of the checkpoint in ``folder``, or None; a processor's goes before a tokenizer's.

    Raises:
        InvalidInput: the file cannot be read, or holds several templates of which none is the default.
    """
    jinja = folder / "chat_template.jinja"
    if jinja.is_file():
        return ChatTemplate(read_text(jinja), jinja.name)
    for name in ("chat_template.json", "tokenizer_config.json"):
        path = folder / name
        stored = read_json(path).get("chat_template") if path.is_file() else None
        if stored is not None:
            return ChatTemplate(_chosen(path, stored), name)
    return None


def check_template(folder: Path) -> None:
    """Refuse a template in ``folder`` that does not end on a short conversation, before anything is loaded.

    Whether it can show pages is found out with the checkpoint's tokenizer, when the checkpoint is loaded.

    Raises:
        InvalidInput: it did not end within its bounds, or it cannot be read.
    """
    template = find_template(folder)
    if template is None:
        return
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = json.dumps
    content = [{"type": "image"}, {"type": "text", "text": "What is the total?"}]
    messages = [{"role": "user", "content": content}]
    what = f"the chat template in {folder / template.source}"
    with bounded(what, hint=TEMPLATE_HINT):
        try:
            environment.from_string(template.text).render(
                messages=messages, add_generation_prompt=True
            )
        except (TemplateError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError):
            # transformers gives templates more than is given here; it has the last word.
            return


def _chosen(path: Path, stored: Any) -> str:
    """The default among the templates that ``path`` holds as a text, a list or a table."""
    if isinstance(stored, str):
        return stored
    named: Mapping[Any, Any] = {}
    if isinstance(stored, dict):
        named = stored
    elif isinstance(stored, list) and all(isinstance(entry, dict) for entry in stored):
        named = {str(entry.get("name")): entry.get("template") for entry in stored}
    templates = {name: text for name, text in named.items() if isinstance(text, str)}
    if not templates or len(templates) < len(named):
        raise InvalidInput(
            f"{path}: chat_template should be a text, or a list of templates with a name and a template each",
            hint=TEMPLATE_HINT,
        )
    if len(templates) > 1 and _DEFAULT not in templates:
        names = ", ".join(one_line(name, 40) for name in templates)
        raise InvalidInput(
            f"{path} holds the chat templates {one_line(names, 120)}, but none is called {_DEFAULT}",
            hint=f"call the one that should be used {_DEFAULT!r}",
        )
    return templates.get(_DEFAULT) or next(iter(templates.values()))
