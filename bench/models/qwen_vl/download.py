"""Checkpoint and adapter files from the hub, once; afterwards from its cache on this machine."""

from __future__ import annotations

from pathlib import Path

from bench.errors import require_package
from bench.models.checkpoints import (
    cached_snapshot,
    offline_by_environment,
    weights_missing,
)
from bench.paths import BUNDLED
from bench.schema import ModelSpec
from bench.text import one_line

# Never pickles: *.bin, *.pt and *.pth are not even downloaded.
_DOWNLOADED = ["*.safetensors", "*.json", "*.jinja", "merges.txt", "vocab.txt", "tokenizer.model"]
_HUB_PATIENCE = 10.0
"""Seconds that the hub may take for its first answer."""


def offline(spec: ModelSpec) -> bool:
    """Whether the hub may not be asked, by the environment or by ``spec``."""
    return offline_by_environment() or bool(spec.options.get("offline"))


def fetch(name: str, revision: str | None, *, offline: bool) -> Path:
    """The local folder of a checkpoint or adapter, downloaded from the hub where it is not here yet.

    Raises:
        EnvironmentProblem: the files are not on this machine and cannot be had.
    """
    if Path(name).is_dir():
        return Path(name)
    if name.startswith(BUNDLED) and (folder := cached_snapshot(name)) is not None:
        return folder
    require_package("a hub id as model", "huggingface_hub", "hf")
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    snapshot = cached_snapshot(name, revision)
    if offline:
        if snapshot is None:
            raise weights_missing(name, "asking the hub is forbidden (offline)")
        return snapshot
    unreachable = _transport_errors(HfHubHTTPError)
    try:
        # Asked first because it takes a time limit; the download waits for a silent hub for ever.
        HfApi().repo_info(name, revision=revision, timeout=_HUB_PATIENCE)
        # By its name, not by its commit: only then the cache notes which commit the name stands for, and
        # cached_snapshot finds it.
        return Path(snapshot_download(name, revision=revision, allow_patterns=_DOWNLOADED))
    except GatedRepoError:
        reason = "the repository is gated; accept its terms and set HF_TOKEN"
    except RevisionNotFoundError:
        reason = f"it has no revision {one_line(str(revision), 60)!r}"
    except (RepositoryNotFoundError, HFValidationError):
        reason = "the hub has no such repository, or HF_TOKEN gives no access to it"
    except HfHubHTTPError as error:
        reason = f"the hub answered: {one_line(str(error), 120)}"
    except unreachable as error:
        reason = f"the hub cannot be reached ({one_line(str(error), 80)})"
    except OSError as error:
        reason = one_line(str(error), 120)
    # What was downloaded earlier serves as well; whether it is whole is checked like any folder.
    if snapshot is not None:
        return snapshot
    raise weights_missing(name, reason)


def fetch_configuration(name: str, revision: str | None) -> None:
    """Download the ``config.json`` of a hub id, which says what type of model it is.

    Nothing happens where it cannot be had: what is wrong is said when the checkpoint itself is fetched.
    """
    try:
        from huggingface_hub import HfApi, hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError:
        return
    unreachable = _transport_errors(HfHubHTTPError)
    try:
        HfApi().repo_info(name, revision=revision, timeout=_HUB_PATIENCE)
        hf_hub_download(name, "config.json", revision=revision)
    except (HfHubHTTPError, HFValidationError, OSError):
        return
    except unreachable:
        return


def _transport_errors(hub_error: type[Exception]) -> tuple[type[Exception], ...]:
    """The error class of the HTTP library under huggingface_hub, which changed it more than once."""
    return tuple(base for base in hub_error.__mro__ if base.__name__ == "HTTPError")
