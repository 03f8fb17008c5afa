"""Recognisers of Cyrillic for RapidOCR, whose wheel has none: one in the box, and RapidOCR's own.

The one in the box is in ``bench/models/bundled/cyrillic-lines``; docs/recogniser.md says how well it reads.
RapidOCR's own is in its list of downloads, with its address and SHA-256. ``bench pull --models ocr`` fetches
it once, and from then on it is used. Reading never downloads anything.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import urlopen

from bench.errors import EnvironmentProblem, require_package
from bench.models.backends import ExtraDownload
from bench.text import one_line

TIMEOUT = 60.0
"""Seconds without a byte after which a download fails."""

BUNDLED = Path(__file__).parent.parent / "bundled" / "cyrillic-lines" / "recognizer.onnx"
"""Reads Russian, Ukrainian, Belarusian and English lines."""


class ListedModel(NamedTuple):
    """A model in RapidOCR's list of downloads."""

    url: str
    sha256: str

    @property
    def name(self) -> str:
        """Its file name."""
        return self.url.rpartition("/")[2]


def recognizers_folder() -> Path:
    """The folder of fetched recognisers: ``docvlm-bench/recognizers`` in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "docvlm-bench" / "recognizers"


def listed_recognizer() -> ListedModel:
    """What RapidOCR's list of downloads says of its recogniser of Cyrillic script (PP-OCRv5).

    Raises:
        EnvironmentProblem: RapidOCR is not installed, or this version of it lists no such model.
    """
    require_package("the model 'ocr'", "rapidocr", "ocr")
    from rapidocr import EngineType, LangRec, ModelType, OCRVersion
    from rapidocr.inference_engine.base import FileInfo, InferSession
    from rapidocr.utils.typings import TaskType

    wanted = FileInfo(
        EngineType.ONNXRUNTIME, OCRVersion.PPOCRV5, TaskType.REC, LangRec.CYRILLIC, ModelType.MOBILE
    )
    try:
        entry = InferSession.get_model_url(wanted)
        return ListedModel(str(entry["model_dir"]), str(entry["SHA256"]).lower())
    except (KeyError, ValueError) as error:
        raise EnvironmentProblem(
            "this version of RapidOCR lists no recogniser of Cyrillic script",
            hint="pip install 'rapidocr>=3.10'",
        ) from error


def fetched_recognizer() -> Path | None:
    """RapidOCR's own recogniser of Cyrillic where it was fetched and is whole, else None."""
    listed = listed_recognizer()
    path = recognizers_folder() / listed.name
    if not path.is_file() or _sha256(path) != listed.sha256:
        return None
    return path


def cyrillic_recognizer() -> Path:
    """RapidOCR's own recogniser of Cyrillic if it was fetched, else the one in the box."""
    return fetched_recognizer() or BUNDLED


def extra_download() -> ExtraDownload:
    """What ``bench pull --models ocr`` fetches: RapidOCR's own recogniser of Cyrillic."""
    listed = listed_recognizer()
    return ExtraDownload(
        source=listed.url,
        license="Apache-2.0",
        note="RapidOCR's recogniser of Cyrillic script",
        is_here=fetched_recognizer() is not None,
        fetch=partial(fetch, listed),
    )


def fetch(listed: ListedModel) -> Path:
    """Download a model into the cache unless it is there, and return the folder it lies in.

    Raises:
        EnvironmentProblem: it cannot be downloaded or kept, or is not the file that RapidOCR lists.
    """
    folder = recognizers_folder()
    path = folder / listed.name
    if path.is_file() and _sha256(path) == listed.sha256:
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as unfinished:
            new = Path(unfinished) / listed.name
            with urlopen(listed.url, timeout=TIMEOUT) as response, new.open("wb") as file:
                shutil.copyfileobj(response, file)
            digest = _sha256(new)
            if digest != listed.sha256:
                raise EnvironmentProblem(
                    f"{listed.url} is not the file that RapidOCR lists: its SHA-256 is {digest}, and "
                    f"{listed.sha256} was expected; nothing was kept",
                    hint=f"try again later, or put the right file into {folder}",
                )
            new.replace(path)
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise EnvironmentProblem(
            f"the recogniser cannot be downloaded from {listed.url}: {one_line(str(error))}",
            hint=f"copy the file from a machine with a network into {folder}; until then, the recogniser in "
            "the box reads Cyrillic",
        ) from error
    return folder


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
