"""A hub on this machine: the few answers of the real one's interface that downloading a data set needs."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the server serves, and what it was asked."""

    repositories: dict[str, Path] = field(default_factory=dict)
    """Hub id → folder with the repository's files."""
    gated: set[str] = field(default_factory=set)
    token: str = "hf_right"
    break_after: int | None = None
    """Bytes after which transfers of files like ``break_files`` break off; None: none does."""
    break_files: str = "*.parquet"
    break_times: int = 10**9
    requests: list[str] = field(default_factory=list)
    url: str = ""


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    class Handler(_Handler):
        served = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length).decode()
        hub_id, _ = self._repository(urlsplit(self.path).path.removeprefix("/api/datasets/"))
        if hub_id is None:
            return
        try:
            paths = json.loads(content)["paths"]
        except ValueError:
            paths = parse_qs(content)["paths"]
        folder = self.served.repositories[hub_id]
        self._json([_entry(folder, folder / p) for p in paths if (folder / p).exists()])

    def _answer(self, *, body: bool) -> None:
        self.served.requests.append(f"{self.command} {self.path}")
        path = unquote(urlsplit(self.path).path)
        if path.startswith(("/api/datasets/", "/api/models/")):
            hub_id, rest = self._repository(path.split("/", 3)[3])
            if hub_id is not None:
                self._api(hub_id, rest)
        elif "/resolve/" in path:
            # The address of a model's files begins with its owner.
            hub_id, rest = self._repository(path.removeprefix("/datasets").removeprefix("/"))
            if hub_id is not None:
                self._file(hub_id, rest.split("/", 2)[2], body=body)
        else:
            self._json({"error": "not found"}, 404)

    def _repository(self, path: str) -> tuple[str | None, str]:
        owner, _, rest = path.partition("/")
        name, _, rest = rest.partition("/")
        hub_id = f"{owner}/{name}"
        if hub_id not in self.served.repositories:
            self._json({"error": "Repository not found"}, 404, "RepoNotFound")
            return None, rest
        return hub_id, rest

    def _api(self, hub_id: str, rest: str) -> None:
        folder = self.served.repositories[hub_id]
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        if rest.startswith("tree/"):
            below = rest.split("/", 2)[2] if rest.count("/") > 1 else ""
            recursive = "recursive=True" in self.path or "recursive=true" in self.path
            place = folder / below
            if not place.is_dir():
                self._json({"error": "not found"}, 404, "EntryNotFound")
                return
            found = sorted(place.rglob("*") if recursive else place.iterdir())
            self._json([_entry(folder, p) for p in found])
            return
        if rest not in {"", "revision/main", f"revision/{REVISION}"}:
            self._json({"error": "Invalid rev id"}, 404, "RevisionNotFound")
            return
        self._json(
            {
                "id": hub_id,
                "sha": REVISION,
                "private": False,
                "gated": "auto" if hub_id in self.served.gated else False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "cardData": {"license": "cc-by-4.0"},
                "siblings": [
                    {"rfilename": str(p.relative_to(folder)), "size": p.stat().st_size}
                    for p in files
                ],
            }
        )

    def _file(self, hub_id: str, name: str, *, body: bool) -> None:
        allowed = self.headers.get("Authorization") == f"Bearer {self.served.token}"
        if hub_id in self.served.gated and not allowed:
            self._json({"error": "Access is restricted"}, 401, "GatedRepo")
            return
        path = self.served.repositories[hub_id] / name
        if not path.is_file():
            self._json({"error": "Entry not found"}, 404, "EntryNotFound")
            return
        data = path.read_bytes()
        start = 0
        wanted = self.headers.get("Range")
        if wanted and body:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("Accept-Ranges", "bytes")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if not body:
            return
        broken = self.served.break_after
        breaks = fnmatch.fnmatch(name, self.served.break_files) and self.served.break_times > 0
        if broken is not None and breaks:
            self.served.break_times -= 1
            self.wfile.write(data[start : start + broken])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(data[start:])

    def _json(self, value: Any, status: int = 200, code: str | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        if code is not None:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", str(value.get("error")))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    name = str(path.relative_to(folder))
    oid = hashlib.sha1(name.encode()).hexdigest()
    if path.is_dir():
        return {"type": "directory", "oid": oid, "size": 0, "path": name}
    return {"type": "file", "oid": oid, "size": path.stat().st_size, "path": name}
