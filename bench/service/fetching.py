"""Fetches a page from an address that a client names, without becoming the client's way into the network.

Only hosts that the operator allows are asked. The name is resolved once, every address that comes back must
belong to the public Internet, and the connection goes to the address that was checked. Nothing is redirected,
and bytes and time are bounded.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Sequence
from typing import NamedTuple

from bench.errors import require_package
from bench.formatting import byte_size
from bench.service.refusals import Refusal
from bench.service.settings import ServiceSettings

# One way to read an address, so that no two programs read it differently: no user name, no backslash,
# no escape in the host, no letters beyond ASCII.
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>/[!-\[\]-~]*)?",
    re.IGNORECASE | re.ASCII,
)
_PORTS = {"http": 80, "https": 443}
MAX_ADDRESS = 4096

_PUBLIC_IPV6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_IPV6 = tuple(
    map(
        ipaddress.IPv6Network,
        (
            # Protocol assignments with Teredo, 6to4, documentation: the last four bytes of some of them
            # are an IPv4 address.
            "2001::/23",
            "2001:db8::/32",
            "2002::/16",
            "3fff::/20",
        ),
    )
)
_RELAYS = ipaddress.IPv4Network("192.88.99.0/24")


class Address(NamedTuple):
    """An ``http`` or ``https`` address in its parts."""

    scheme: str
    host: str
    """In lower case; an IPv6 address without its brackets."""
    port: int
    target: str


def parse_address(url: str) -> Address | None:
    """The parts of ``url``; None if it is written in any other than the plainest way."""
    match = _ADDRESS.fullmatch(url.partition("#")[0]) if len(url) <= MAX_ADDRESS else None
    if match is None:
        return None
    scheme, host = match["scheme"].lower(), match["host"].lower().strip("[]")
    port = int(match["port"]) if match["port"] else _PORTS[scheme]
    if not 0 < port < 65_536 or ".." in host:
        return None
    return Address(scheme, host, port, match["target"] or "/")


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public Internet, and reaches nothing else by a detour."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global and not ip.is_multicast and not ip.is_reserved and ip not in _RELAYS
    # Mapped, NAT64, link-local, site-local and multicast addresses are all outside of 2000::/3.
    return (
        ip.scope_id is None
        and ip in _PUBLIC_IPV6
        and ip.is_global
        and not any(ip in network for network in _NOT_PUBLIC_IPV6)
    )


def is_allowed(address: Address, hosts: Sequence[str]) -> bool:
    """Whether the operator allows ``address``: by its host, by ``*.`` above it, or with a port of its own."""
    standard = address.port == _PORTS[address.scheme]
    for allowed in hosts:
        name, colon, port = allowed.rpartition(":")
        if not colon or not port.isdigit() or allowed.endswith("]"):
            name, port = allowed, ""
        fits = standard if not port else address.port == int(port)
        pattern = name.strip("[]")
        if pattern.startswith("*."):
            fits = fits and address.host.endswith(pattern[1:])
        else:
            fits = fits and address.host == pattern
        if fits:
            return True
    return False


async def resolve(host: str, port: int) -> list[str]:
    """The IP addresses of ``host``."""
    loop = asyncio.get_running_loop()
    rows = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in rows))


async def fetch(url: str, settings: ServiceSettings, field: str) -> bytes:
    """The bytes at ``url``.

    Raises:
        Refusal: fetching is switched off, the address is not allowed or not public, or it does not give a
            file within the bounds.
        EnvironmentProblem: httpx2 is not installed.
    """
    if not settings.fetch_hosts:
        raise _refusal(
            "fetching_is_off", "this service fetches no pages; send them as data", field, 403
        )
    address = parse_address(url)
    if address is None:
        raise _refusal("invalid_address", "the address is not a plain http or https address", field)
    if address.scheme == "http" and not settings.fetch_http:
        raise _refusal("http_not_allowed", "pages are fetched by https only", field, 403)
    if not is_allowed(address, settings.fetch_hosts):
        raise _refusal("host_not_allowed", "pages may not be fetched from this host", field, 403)
    try:
        async with asyncio.timeout(settings.fetch_seconds):
            pinned = await _checked(address, field)
            return await _download(address, pinned, settings.fetch_bytes, field)
    except TimeoutError:
        raise _refusal("fetch_timeout", "fetching the page took too long", field) from None


async def _checked(address: Address, field: str) -> str:
    """The IP address to connect to: the first one, where all are public."""
    try:
        resolved = await resolve(address.host, address.port)
    except (OSError, UnicodeError):
        resolved = []
    if not resolved:
        raise _refusal("host_not_found", "the host of the address is not known", field)
    if not all(map(is_public, resolved)):
        raise _refusal("host_not_allowed", "pages may not be fetched from this host", field, 403)
    return resolved[0]


async def _download(address: Address, ip: str, most: int, field: str) -> bytes:
    require_package("fetching pages", "httpx2", "serve")
    import httpx2

    host = f"[{address.host}]" if ":" in address.host else address.host
    standard = address.port == _PORTS[address.scheme]
    headers = {
        "host": host if standard else f"{host}:{address.port}",
        "accept": "image/*, application/pdf",
        # A body that grows when it is unpacked would pass the bound.
        "accept-encoding": "identity",
        "user-agent": "docvlm-bench",
    }
    pinned = f"[{ip}]" if ":" in ip else ip
    url = httpx2.URL(f"{address.scheme}://{pinned}:{address.port}{address.target}")
    # The certificate must be that of the name, although the connection goes to the number.
    extensions = {"sni_hostname": address.host}
    # Proxies and passwords of the environment are not for addresses that a client names.
    async with httpx2.AsyncClient(trust_env=False, follow_redirects=False, timeout=None) as client:
        try:
            async with client.stream(
                "GET", url, headers=headers, extensions=extensions
            ) as response:
                if response.status_code != 200 or "content-encoding" in response.headers:
                    raise _refusal("fetch_failed", "the host did not give the page", field)
                content = bytearray()
                async for piece in response.aiter_raw():
                    content += piece
                    if len(content) > most:
                        message = f"the page at the address has more than {byte_size(most)}"
                        raise _refusal("page_too_large", message, field, 413)
        except httpx2.HTTPError:
            raise _refusal("fetch_failed", "the host did not give the page", field) from None
    return bytes(content)


def _refusal(code: str, message: str, field: str, status: int = 422) -> Refusal:
    return Refusal(status, code, message, field=field)
