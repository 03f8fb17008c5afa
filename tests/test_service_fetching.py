"""Pages from addresses: no trick leads the service into the network that it stands in."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from bench.service import fetching
from bench.service.fetching import fetch, is_allowed, is_public, parse_address
from bench.service.refusals import Refusal
from bench.service.settings import service_settings
from tests.service_fixture import PAGE


class Inside(ThreadingHTTPServer):
    """A server of this machine that must not be reached; it counts the connections that come."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Pages)
        self.connections = 0
        self.hosts: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that left is no error here."""

    def get_request(self) -> Any:
        self.connections += 1
        return super().get_request()


class _Pages(BaseHTTPRequestHandler):
    server: Inside

    def log_message(self, *arguments: object) -> None:
        """Silence."""

    def do_GET(self) -> None:
        self.server.hosts.append(self.headers["host"])
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("location", f"http://127.0.0.1:{self.server.server_address[1]}/page")
            self.end_headers()
            return
        self.send_response(404 if self.path == "/missing" else 200)
        if self.path == "/packed":
            self.send_header("content-encoding", "gzip")
        self.end_headers()
        if self.path == "/slow":
            for _ in range(50):
                self.wfile.write(b"x")
                time.sleep(0.05)
        self.wfile.write(PAGE * (100 if self.path == "/large" else 1))


@pytest.fixture(scope="module")
def inside() -> Iterator[Inside]:
    server = Inside()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


# Each address is asked for with its own host allowed, so that only the checks of addresses stand between.
TRICKS = [
    "http://127.0.0.1:{port}/page",
    "http://localhost:{port}/page",
    "http://LOCALHOST:{port}/page",
    "http://localhost.:{port}/page",
    "http://127.1:{port}/page",
    "http://127.0.1:{port}/page",
    "http://2130706433:{port}/page",
    "http://0x7f000001:{port}/page",
    "http://0x7f.0.0.1:{port}/page",
    "http://0177.0.0.1:{port}/page",
    "http://017700000001:{port}/page",
    "http://0:{port}/page",
    "http://0.0.0.0:{port}/page",
    "http://127.127.127.127:{port}/page",
    "http://[::1]:{port}/page",
    "http://[::]:{port}/page",
    "http://[0:0:0:0:0:0:0:1]:{port}/page",
    "http://[::ffff:127.0.0.1]:{port}/page",
    "http://[::ffff:7f00:1]:{port}/page",
    "http://[::127.0.0.1]:{port}/page",
    "http://[64:ff9b::7f00:1]:{port}/page",
    "http://[64:ff9b:1::7f00:1]:{port}/page",
    "http://[2002:7f00:1::]:{port}/page",
    "http://[2001:0:7f00:1::]:{port}/page",
    "http://[fe80::1%25lo]:{port}/page",
    "http://[fe80::1%lo]:{port}/page",
    "http://[fec0::1]:{port}/page",
    "http://[fd00:ec2::254]/latest/meta-data",
    "http://[ff02::1]:{port}/page",
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/latest/meta-data/",
    "http://100.100.100.200/latest/meta-data/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://10.0.0.1/page",
    "http://172.16.0.1/page",
    "http://192.168.0.1/page",
    "http://100.64.0.1/page",
    "http://198.18.0.1/page",
    "http://192.0.0.192/page",
    "http://192.88.99.1/page",
    "http://224.0.0.1/page",
    "http://240.0.0.1/page",
    "http://255.255.255.255/page",
    "http://user@127.0.0.1:{port}/page",
    "http://allowed.example@127.0.0.1:{port}/page",
    "http://allowed.example:80@127.0.0.1:{port}/page",
    "http://127.0.0.1:{port}\\@allowed.example/page",
    "http://allowed.example\\@127.0.0.1:{port}/page",
    "http://allowed.example%00@127.0.0.1:{port}/page",
    "http://allowed.example#@127.0.0.1:{port}/page",
    "http://allowed.example?@127.0.0.1:{port}/page",
    "http:127.0.0.1:{port}/page",
    "http:/127.0.0.1:{port}/page",
    "http:///127.0.0.1:{port}/page",
    "//127.0.0.1:{port}/page",
    " http://127.0.0.1:{port}/page",
    "http://127.0.0.1:{port}/page\r\nX-Other: 1",
    "http://127.0.0.1\t:{port}/page",
    "http://①②⑦.⓪.⓪.①:{port}/page",
    "http://127。0。0。1:{port}/page",
    "http://ⓛocalhost:{port}/page",
    "http://%31%32%37.0.0.1:{port}/page",
    "http://127.0.0.1:0{port}/page",
    "http://127.0.0.1:{port}/page#fragment",
    "http://rebound.example:{port}/page",
    "http://mixed.example:{port}/page",
    "http://mapped.example:{port}/page",
    "http://empty.example:{port}/page",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_GET",
    "ftp://127.0.0.1:{port}/page",
    "dict://127.0.0.1:{port}/",
    "jar:http://127.0.0.1:{port}/page!/",
    "unix:///var/run/docker.sock",
    "javascript:1",
    "HTTP://127.0.0.1:{port}/page",
]

NAMES = {
    "allowed.example": ["127.0.0.1"],
    "rebound.example": ["127.0.0.1"],
    "mixed.example": ["93.184.216.34", "127.0.0.1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "empty.example": [],
    "metadata.google.internal": ["169.254.169.254"],
}


def pretend_names(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> None:
    real = fetching.resolve

    async def resolve(host: str, port: int) -> list[str]:
        return names[host] if host in names else await real(host, port)

    monkeypatch.setattr(fetching, "resolve", resolve)


def test_no_trick_reaches_a_server_of_this_machine(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(TRICKS) >= 60
    pretend_names(monkeypatch, NAMES)
    monkeypatch.setattr(fetching, "is_allowed", lambda *_: True)
    settings = service_settings(fetch_hosts="any", fetch_http=True, fetch_seconds=3)
    before = inside.connections

    async def attempt(trick: str) -> str | None:
        url = trick.replace("{port}", str(inside.server_address[1]))
        try:
            await fetch(url, settings, "image_url")
        except Refusal as refusal:
            assert "127" not in refusal.message
            return None
        return trick

    async def all_of_them() -> list[str | None]:
        return await asyncio.gather(*map(attempt, TRICKS))

    successes = [trick for trick in asyncio.run(all_of_them()) if trick is not None]
    assert successes == []
    assert inside.connections == before


def fetched(url: str, **settings: Any) -> bytes:
    return asyncio.run(fetch(url, service_settings(**settings), "image_url"))


@pytest.fixture
def outside(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server again, as one of the public Internet with a name of its own."""
    pretend_names(monkeypatch, {"pages.example": ["127.0.0.1"]})
    monkeypatch.setattr(fetching, "is_public", lambda address: address == "127.0.0.1")
    return f"http://pages.example:{inside.server_address[1]}"


def allowing(outside: str, **more: Any) -> dict[str, Any]:
    return {"fetch_hosts": outside.removeprefix("http://"), "fetch_http": True, **more}


def test_a_page_is_fetched_by_the_name_from_the_address_that_was_checked(
    inside: Inside, outside: str
) -> None:
    assert fetched(f"{outside}/page?a=b#c", **allowing(outside)) == PAGE
    assert inside.hosts[-1] == outside.removeprefix("http://")


def test_the_name_is_resolved_once(
    inside: Inside, outside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([["127.0.0.1"]])

    async def resolve(host: str, port: int) -> list[str]:
        return next(answers)

    monkeypatch.setattr(fetching, "resolve", resolve)
    # Whoever asks the system for the name would get another address now.
    monkeypatch.setattr(socket, "getaddrinfo", None)
    assert fetched(f"{outside}/page", **allowing(outside)) == PAGE


@pytest.mark.parametrize(
    ("path", "settings", "code"),
    [
        ("/moved", {}, "fetch_failed"),
        ("/missing", {}, "fetch_failed"),
        ("/packed", {}, "fetch_failed"),
        ("/large", {"fetch_bytes": 1024}, "page_too_large"),
        ("/slow", {"fetch_seconds": 0.2}, "fetch_timeout"),
        ("/page", {"fetch_http": False}, "http_not_allowed"),
        ("/page", {"fetch_hosts": "pages.example"}, "host_not_allowed"),
        ("/page", {"fetch_hosts": ""}, "fetching_is_off"),
    ],
)
def test_what_is_not_a_page_within_the_bounds_is_refused(
    outside: str, path: str, settings: dict[str, Any], code: str
) -> None:
    with pytest.raises(Refusal) as caught:
        fetched(outside + path, **allowing(outside, **settings))
    assert caught.value.code == code


def test_an_allowed_host_is_that_host_alone() -> None:
    def allowed(url: str, *hosts: str) -> bool:
        address = parse_address(url)
        return address is not None and is_allowed(address, hosts)

    assert allowed("https://a.example/x", "a.example")
    assert allowed("https://A.EXAMPLE:443/x", "a.example")
    assert not allowed("https://a.example:8443/x", "a.example")
    assert allowed("https://a.example:8443/x", "a.example:8443")
    assert not allowed("https://a.example/x", "a.example:8443")
    assert not allowed("https://a.example.evil/x", "a.example")
    assert not allowed("https://evil-a.example/x", "a.example")
    assert allowed("https://b.a.example/x", "*.a.example")
    assert not allowed("https://a.example/x", "*.a.example")
    assert not allowed("https://evila.example/x", "*.a.example")
    assert allowed("https://[2606:4700::1]/x", "[2606:4700::1]")
    assert not allowed("https://[2606:4700::2]/x", "[2606:4700::1]")


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "2a00:1450::1"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    ["3fff::1", "2001:db8::1", "2001:10::1", "4000::1", "::", "fe80::1%1", "x", "1.1.1.1%1"],
)
def test_special_addresses_are_not(address: str) -> None:
    assert not is_public(address)
