"""Choosing on one half of the documents and judging on the other, so that no choice judges itself.

Each half is judged by what was chosen on the other one, and the two judged halves are put together. So all
documents count, and none takes part in the choice that it judges (2-fold cross-fitting: Chernozhukov et al.,
Econometrics Journal 21(1), 2018).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

FEWEST_DOCUMENTS = 10
"""Below this many documents a half has too few to choose anything by."""


def halves(documents: Sequence[Hashable]) -> Flags:
    """Which rows are of the first half of the documents: every second one, in the order of their names.

    Documents are named by what their pages contain, so the order says nothing about them. It draws no random
    numbers, so equal answers give equal halves.
    """
    names = sorted(set(documents), key=str)
    first = set(names[::2])
    return np.array([name in first for name in documents], dtype=np.bool_)
