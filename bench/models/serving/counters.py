"""What a server counts: its ``/metrics`` in the text format of Prometheus."""

from __future__ import annotations

import http.client
import re
from collections.abc import Mapping

_SAMPLE = re.compile(r"([A-Za-z_:][\w:]*)(?:\{.*\})?\s+([0-9.eE+-]+)(?:\s+[0-9-]+)?")
_MOST_BYTES = 4 * 2**20


class Counters:
    """The prefix cache's counters of one server, as they grow."""

    def __init__(self, port: int, names: tuple[str, str] | None) -> None:
        """Begin to count; with ``names`` of None the server has no such counters."""
        self._port, self._names = port, names
        self._last = self._read()

    def since_last(self) -> dict[str, int]:
        """Prompt tokens since this was asked last, and those of them that were cached; empty if not told."""
        now = self._read()
        if self._names is None or now.keys() != set(self._names) or self._last.keys() != now.keys():
            self._last = now
            return {}
        asked, cached = (int(now[name] - self._last[name]) for name in self._names)
        self._last = now
        return {"prefix_tokens": asked, "prefix_tokens_cached": cached}

    def _read(self) -> Mapping[str, float]:
        if self._names is None:
            return {}
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read(_MOST_BYTES).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            return {}
        finally:
            connection.close()
        return read_counters(text, self._names)


def read_counters(text: str, names: tuple[str, ...]) -> dict[str, float]:
    """The counters called ``names``, each added up over its labels."""
    totals: dict[str, float] = {}
    for line in text.splitlines():
        sample = _SAMPLE.fullmatch(line.strip())
        if sample is not None and sample[1] in names:
            try:
                value = float(sample[2])
            except ValueError:
                continue
            totals[sample[1]] = totals.get(sample[1], 0.0) + value
    return totals
