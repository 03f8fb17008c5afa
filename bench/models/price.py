"""What asking a model costs, as ``bench.toml`` says it: by the token, by the page, or by the hour."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from bench.schema import Json

_Amount = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False, strict=True)]


class Price(BaseModel):
    """The key ``price`` of a ``[models.NAME]`` table, in exactly one of three ways."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: _Amount | None = None
    """For a million tokens that the model reads; goes with ``output``."""
    output: _Amount | None = None
    """For a million tokens that the model writes."""
    page: _Amount | None = None
    """For one page."""
    hour: _Amount | None = None
    """For one hour of the machine that the model runs on."""
    currency: str = "USD"
    """ISO 4217."""

    @field_validator("currency")
    @classmethod
    def _is_a_code(cls, code: str) -> str:
        if not re.fullmatch("[A-Z]{3}", code):
            raise ValueError(f"expected a code of three capital letters such as EUR, not {code!r}")
        return code

    @model_validator(mode="after")
    def _is_one_way(self) -> Price:
        ways = {
            "input and output": (self.input, self.output),
            "page": (self.page,),
            "hour": (self.hour,),
        }
        named = [way for way in ways.values() if any(amount is not None for amount in way)]
        if len(named) != 1 or None in named[0]:
            raise ValueError(
                f"expected either {', or '.join(ways)}, as in {{input = 0.15, output = 0.60}} (for a million "
                "tokens) or {hour = 1.20}"
            )
        return self

    def record(self) -> dict[str, Json]:
        """What ``run.json`` holds: the amounts that were given, and the currency."""
        return self.model_dump(exclude_none=True)
