"""What the person who wants a report may choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.errors import InvalidInput
from bench.report.findings import GpuFit
from bench.scoring.prices import Tariff

MAX_MEGABYTES = 25.0
"""Default size that an HTML report stays under, MB: what most mail systems let through."""
MAX_TEXT = 20_000
"""Characters of one text in an HTML report; the run directory holds the rest."""


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """Choices of the person who wants the report."""

    images: str | int = "all"
    """Page images inside the HTML: ``none``, ``failures``, ``all``, or how many."""
    max_mb: float = MAX_MEGABYTES
    """The HTML file stays under this size, in MB; what is left out is stated on the page."""
    title: str | None = None
    """Heading; None: the run's name."""
    gpu_fits: Mapping[tuple[str, str], tuple[GpuFit, ...]] = field(default_factory=dict)
    """(Id of the run, model) → which GPUs it is predicted to fit into. Reports know no models themselves."""
    prices: Mapping[str, Tariff] = field(default_factory=dict)
    """Name of a model, or ``all`` → what asking it costs. The costs that runs recorded stand behind these."""

    repeated: tuple[str, ...] = ()
    """Options that ``bench report`` needs to write the same report again."""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn.

        Raises:
            InvalidInput: an unknown choice of images, or no room for a page at all.
        """
        if isinstance(self.images, str) and self.images not in {"none", "failures", "all"}:
            raise InvalidInput(
                f"--images takes none, failures, all or a number, not {self.images[:40]!r}",
                hint="--images failures",
            )
        if isinstance(self.images, int) and self.images < 0:
            raise InvalidInput(f"--images takes a number from 0 on, not {self.images}")
        if not self.max_mb >= 1:
            raise InvalidInput(
                f"--max-mb must be at least 1, not {self.max_mb}", hint="--max-mb 25"
            )
