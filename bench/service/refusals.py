"""Why a request is not accepted: an HTTP status and one sentence that repeats nothing of the request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bench.text import one_line

INVALID_REQUEST, AUTHENTICATION, OVERLOADED, UNAVAILABLE = (
    "invalid_request_error",
    "authentication_error",
    "overloaded_error",
    "server_error",
)
"""Types of errors, in the words of the OpenAI API."""

_PATH = re.compile(r"(?:/[^\s/:'\"]+){2,}/?")
"""What looks like the path of a file."""


class Refusal(Exception):
    """A request that is not accepted."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        """Keep what the client is told.

        Args:
            status: of HTTP.
            code: a word that programs can compare.
            message: for a person; it must not repeat the request.
            field: the field of the request that is at fault.
            retry_after: seconds after which the request may be sent again.
        """
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.field, self.retry_after = field, retry_after

    def body(self) -> dict[str, Any]:
        """The reply, in the shape of the OpenAI API."""
        return {
            "error": {
                "message": self.message,
                "type": _type(self.status),
                "code": self.code,
                "param": self.field,
            }
        }

    def headers(self) -> dict[str, str]:
        """The headers of the reply."""
        headers = {}
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return headers


def _type(status: int) -> str:
    if status == 401:
        return AUTHENTICATION
    if status == 429:
        return OVERLOADED
    return UNAVAILABLE if status >= 500 else INVALID_REQUEST


def without_paths(message: str, names: Mapping[str, str] | None = None) -> str:
    """``message`` in one line, without any path of this machine.

    Args:
        message: from the program or from the model's process.
        names: what is written in the place of known paths.
    """
    for path, name in (names or {}).items():
        message = message.replace(path, name)
    return one_line(_PATH.sub("(a file)", message), 300)
