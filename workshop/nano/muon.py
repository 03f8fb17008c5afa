"""Muon whose orthogonalisation computes in a data type that the processor has units for.

``torch.optim.Muon`` always orthogonalises in bf16. A processor that only emulates bf16 then spends nearly all
of a training step there: its matrix products take up to a hundred times as long as in fp32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic Newton-Schulz iteration, from Jordan et al., 2024 (https://kellerjordan.github.io/posts/muon)."""
ITERATIONS = 5
SMALLEST_NORM = 1e-7
RMS_OF_ADAMW = 0.2
"""Muon's updates get the root mean square of AdamW's (Liu et al., 2025, arXiv 2502.16982)."""


class Muon(torch.optim.Muon):
    """``torch.optim.Muon`` with ``adjust_lr_fn="match_rms_adamw"``, and with a data type of one's choice."""

    def __init__(
        self,
        matrices: Iterable[torch.nn.Parameter],
        *,
        lr: float,
        weight_decay: float,
        dtype: torch.dtype,
    ) -> None:
        """Take the matrices to learn, and the data type in which their updates are orthogonalised."""
        super().__init__(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        self._dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Learn from the gradients that the parameters hold."""
        assert closure is None, "a training step computes its loss once"
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._learn(matrix, matrix.grad, group)

    def _learn(self, matrix: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        average = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        update = gradient.lerp(average, group["momentum"])
        rate = group["lr"] * RMS_OF_ADAMW * math.sqrt(max(matrix.shape))
        matrix.mul_(1 - group["lr"] * group["weight_decay"])
        matrix.add_(orthogonalised(update, self._dtype), alpha=-rate)


def orthogonalised(update: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the matrix with all its singular values moved near to 1, in ``dtype``."""
    linear, cubic, quintic = COEFFICIENTS
    tall = update.shape[0] > update.shape[1]
    wide = (update.T if tall else update).to(dtype)
    # The iteration converges where no singular value is above 1.
    wide = wide / wide.norm().clamp(min=SMALLEST_NORM)
    for _ in range(ITERATIONS):
        gram = wide @ wide.T
        polynomial = torch.addmm(gram, gram, gram, beta=cubic, alpha=quintic)
        wide = torch.addmm(wide, polynomial, wide, beta=linear)
    return wide.T if tall else wide
