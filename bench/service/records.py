"""The log of the service: one JSON object a line, without anything that a document or a question says."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from bench.text import one_line


def log(event: str, **facts: Any) -> None:
    """Write one line on standard error."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = json.dumps({"time": moment, "event": event, **facts}, ensure_ascii=False)
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


class LogLines(logging.Handler):
    """Writes what libraries log in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; of an error, its class only, since its words may repeat a request."""
        facts: dict[str, Any] = {"level": record.levelname, "logger": record.name}
        if record.exc_info is not None and record.exc_info[0] is not None:
            log("library", **facts, error=record.exc_info[0].__name__)
            return
        log("library", **facts, message=one_line(record.getMessage(), 300))
