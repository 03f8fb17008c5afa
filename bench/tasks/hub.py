"""Asks the hub about published data sets (size, licence, revision) and downloads them.

``huggingface_hub`` does the transfers, so ``HF_HOME``, ``HF_TOKEN``, ``HF_ENDPOINT`` and ``HF_HUB_OFFLINE``
mean here what they mean everywhere. A transfer that breaks is tried again within the run; after a run that
failed, the next run fetches the files that are not complete.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import EnvironmentProblem, missing_package, require_package
from bench.tasks.cache import HubFiles
from bench.tasks.datasettable import DatasetTable
from bench.text import one_line

_PATIENCE = 10.0
"""Seconds that the hub may take for its first answer."""
_OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
_LOCATION = re.compile(r"hf://datasets/[^/]+/[^/@]+@[^/]+/(?P<path>.+)")


class HubDataset(NamedTuple):
    """One split of a data set on the hub, before anything of it is downloaded."""

    hub_id: str
    """The id that the hub knows, of those that the task names."""
    revision: str
    """The commit, 40 hexadecimal digits."""
    license: str | None
    """As the data set's card states it; None if it does not."""
    gated: bool
    """Whether terms must be accepted on the hub first."""
    files: tuple[str, ...]
    """Paths in the repository that the split needs, the card included."""
    bytes: int | None
    """Size of the files; None if the hub does not say."""


def is_offline() -> bool:
    """Say whether the environment forbids asking the hub."""
    return any(
        os.environ.get(name, "").strip().upper() in {"1", "ON", "YES", "TRUE"}
        for name in _OFFLINE_VARIABLES
    )


def look_up(table: DatasetTable) -> HubDataset:
    """Ask the hub about the split that ``table`` names.

    Raises:
        EnvironmentProblem: the hub cannot be asked, or does not have the data set; the error says what to do.
    """
    _needs_packages(table.id)
    from huggingface_hub import HfApi

    with _hub_errors(table.id):
        hub_ids = [table.id, *table.former_ids]
        answers = (_repository_info(HfApi(), hub_id, table.revision) for hub_id in hub_ids)
        info = next((answer for answer in answers if answer is not None), None)
        if info is None:
            revision = f" with revision {table.revision}" if table.revision else ""
            raise EnvironmentProblem(
                f"the hub has no data set {one_line(table.id, 80)}{revision}, "
                "or HF_TOKEN gives no access to it",
                hint=f"HF_TOKEN=… bench pull, or a copy of your own: --tasks NAME=PATH "
                f"({_endpoint()}/datasets/{table.id})",
            )
        sizes = {file.rfilename: file.size for file in info.siblings or ()}
        files = _files_of_split(info, table)
    card = info.card_data.to_dict() if info.card_data is not None else {}
    known_sizes = [sizes.get(name) for name in files]
    readme = ["README.md"] if "README.md" in sizes else []
    return HubDataset(
        hub_id=info.id,
        revision=info.sha,
        license=_license(card.get("license")),
        gated=bool(info.gated),
        files=tuple(dict.fromkeys([*files, *readme])),
        bytes=sum(size for size in known_sizes if size) if all(known_sizes) else None,
    )


def download(dataset: HubDataset, table: DatasetTable) -> HubFiles:
    """Download the files of ``dataset``; files that are here already are not fetched again.

    Raises:
        EnvironmentProblem: as ``look_up``; what was fetched so far is kept.
    """
    from huggingface_hub import snapshot_download

    with _hub_errors(table.id):
        folder = snapshot_download(
            dataset.hub_id,
            repo_type="dataset",
            revision=dataset.revision,
            allow_patterns=[_literal(name) for name in dataset.files],
        )
    return HubFiles(Path(folder), dataset.hub_id, dataset.revision)


def download_file(hub_id: str, name: str) -> Path | None:
    """Download one file of a data set as it is today; None if the data set does not have it.

    Raises:
        EnvironmentProblem: as ``look_up``.
    """
    require_package("asking the hub", "huggingface_hub", "hf")
    if is_offline():
        raise EnvironmentProblem(
            f"the hub must say whether {hub_id} has the file {name}, but HF_HUB_OFFLINE forbids to ask it"
        )
    from huggingface_hub import HfApi, hf_hub_download

    with _hub_errors(hub_id):
        # Asked first, because it is not tried again and again where the hub cannot be reached.
        info = _repository_info(HfApi(), hub_id, None)
        if info is None:
            raise EnvironmentProblem(
                f"the hub has no data set {one_line(hub_id, 80)}, or HF_TOKEN gives no access to it"
            )
        if name not in [file.rfilename for file in info.siblings or ()]:
            return None
        return Path(hf_hub_download(hub_id, name, repo_type="dataset", revision=info.sha))


def _literal(name: str) -> str:
    """Return a pattern that matches this file name and nothing else."""
    return re.sub(r"([*?\[])", r"[\1]", name)


def _repository_info(api: Any, hub_id: str, revision: str | None) -> Any:
    """Return what the hub says about ``hub_id``; None if it has no such repository or revision."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return api.dataset_info(hub_id, revision=revision, timeout=_PATIENCE, files_metadata=True)
    except GatedRepoError:
        raise
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError):
        return None


def _files_of_split(info: Any, table: DatasetTable) -> list[str]:
    """Return the paths of the split's files, which ``datasets`` finds by the card and the files' names."""
    import datasets
    from datasets.exceptions import DatasetNotFoundError

    hub_id = str(info.id)
    try:
        builder = datasets.load_dataset_builder(hub_id, table.config, revision=info.sha)
    except DatasetNotFoundError:
        # The hub has just named the repository, so `datasets` was not allowed to open it.
        if not info.gated:
            raise
        raise _gated(hub_id) from None
    except ValueError as error:
        raise EnvironmentProblem(
            f"data set {hub_id} has no config {table.config!r}: {one_line(error, 120)}",
            hint="the layout of the data set has changed; pin an older revision in the task file",
        ) from None
    splits = {str(name): list(files) for name, files in (builder.config.data_files or {}).items()}
    if table.split not in splits:
        raise EnvironmentProblem(
            f"data set {hub_id} has no split {table.split!r} (its splits: {', '.join(splits)})",
            hint="the layout of the data set has changed; pin an older revision in the task file",
        )
    matches = [_LOCATION.fullmatch(name) for name in splits[table.split]]
    return [match["path"] for match in matches if match is not None]


def _license(value: object) -> str | None:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value) if value else None


def _needs_packages(hub_id: str) -> None:
    for package in ("huggingface_hub", "datasets"):
        if importlib.util.find_spec(package) is None:
            raise missing_package("downloading a data set", package, "hf")
    if is_offline():
        raise EnvironmentProblem(
            f"data set {hub_id} must come from the hub, but HF_HUB_OFFLINE forbids to ask it",
            hint="unset HF_HUB_OFFLINE and run the command again, or use a copy: --tasks NAME=PATH",
        )


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _gated(hub_id: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"data set {one_line(hub_id, 80)} is gated: its terms must be accepted on the hub first",
        hint=f"accept them at {_endpoint()}/datasets/{hub_id}, then HF_TOKEN=hf_… bench pull …",
    )


@contextlib.contextmanager
def _hub_errors(hub_id: str) -> Iterator[None]:
    """Turn what ``huggingface_hub`` and its HTTP library raise into one line with a way out."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    name = one_line(hub_id, 80)
    # The HTTP library under huggingface_hub changed more than once; its error class tells which it is.
    unreachable: tuple[type[BaseException], ...] = (
        *(base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError"),
        LocalEntryNotFoundError,
        ConnectionError,
        TimeoutError,
    )
    try:
        yield
    except GatedRepoError:
        raise _gated(hub_id) from None
    except RepositoryNotFoundError:
        raise EnvironmentProblem(
            f"the hub has no data set {name}, or HF_TOKEN gives no access to it",
            hint="HF_TOKEN=hf_… bench pull …",
        ) from None
    except unreachable as error:
        raise EnvironmentProblem(
            f"data set {name}: {_endpoint()} does not answer: {one_line(error, 100)}",
            hint="run the same command again, and it resumes; or set HF_ENDPOINT to a mirror that works",
        ) from None
    except OSError as error:
        raise EnvironmentProblem(
            f"data set {name} could not be downloaded: {one_line(error, 140)}",
            hint="run the same command again, and it resumes",
        ) from None
