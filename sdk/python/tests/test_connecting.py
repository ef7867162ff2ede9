"""What went wrong while connecting is said, and nothing is left open."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import hallward
from hallward.testing import Gateway, find_gateway


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    command = [find_gateway(), "certs", "dev", "--dir", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@asynccontextmanager
async def server(answer: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Answers the first bytes of everybody with the same, and hangs up. Gives its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as running:
        yield running.sockets[0].getsockname()[1]


async def connecting(url: str, **options: Any) -> str:
    """What a failed `connect` says. Leaves no socket open, or else collecting it would warn."""
    with pytest.raises((hallward.Disconnected, hallward.Timeout)) as failed:
        await hallward.connect(url, agent="a", **{"timeout": "2s", **options})
    gc.collect()
    return f"{type(failed.value).__name__}: {failed.value}"


def tls_of(certificates: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    return context


async def test_certificate_that_nobody_vouches_for_ends_it_at_once(certificates: Path) -> None:
    async with server(b"", tls_of(certificates)) as port:
        said = await connecting(f"mqtts://localhost:{port}", timeout="1h")
    assert said.startswith("Disconnected: ")
    assert "certificate verify failed" in said
    assert f"localhost:{port}" in said


async def test_port_without_tls_ends_it_at_once() -> None:
    async with server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        said = await connecting(f"mqtts://localhost:{port}", timeout="1h")
    assert said.startswith("Disconnected: ")
    assert "TLS" in said


async def test_port_with_tls_is_told_from_nobody(certificates: Path) -> None:
    async with server(b"", tls_of(certificates)) as port:
        said = await connecting(f"mqtt://localhost:{port}")
    assert "nobody" not in said
    assert "mqtts://" in said


async def test_port_without_websocket_says_so(gateway: Gateway) -> None:
    said = await connecting(f"ws://127.0.0.1:{gateway.port}")
    assert "WebSocket" in said


async def test_host_that_is_none_says_so() -> None:
    assert "no-such-host.invalid" in await connecting("mqtt://no-such-host.invalid")


async def test_nobody_is_nobody() -> None:
    assert "nobody answers there" in await connecting("mqtt://127.0.0.1:1", timeout="300ms")


async def test_context_that_checks_no_name_is_taken_as_it_is(certificates: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    settings = {
        "tls.listen": "127.0.0.1:0",
        "tls.certificate": certificates / "server.crt",
        "tls.key": certificates / "server.key",
    }
    with Gateway(settings=settings) as own:
        where = json.loads((own._folder / "ready.json").read_text())
        url = f"mqtts://{where['mqtts']}"
        async with hallward.connect(url, agent="a", tls=context) as me:
            assert me.connected
