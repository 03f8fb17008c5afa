"""Which licences let anybody pass a data set on."""

from __future__ import annotations

import re

_SHARED = re.compile(
    r"CC0-1\.0|CC-BY(-SA)?-\d\.\d|Apache-2\.0|MIT|BSD-[23]-Clause|ODC-By-1\.0|ODbL-1\.0|PDDL-1\.0|CDLA-\w+-\d\.\d"
    r"|Unlicense",
    re.IGNORECASE,
)
"""Identifiers of SPDX. Licences that allow it for some purposes only, such as CC-BY-NC, are not here: what an
export is used for is not known."""


def may_be_shared(license_: str) -> bool:
    """Whether ``license_``, as a task states it, is a licence to pass the data on, and nothing else.

    A licence with a remark ("images: …") or a second one says that it does not hold for all of the data.
    """
    return _SHARED.fullmatch(license_.strip()) is not None
