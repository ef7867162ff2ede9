"""How to connect."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, urlsplit

from .._names import checked

Protocol = Literal["5", "3.1.1"]

_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


@dataclass(frozen=True)
class Options:
    """Everything that a connection needs to know. Times are in seconds."""

    agent: str
    scheme: str
    host: str
    port: int
    path: str
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    protocol: Protocol = "5"
    session_expiry: int = 3_600
    keepalive: int = 30
    window: int = 256
    """How many deliveries may be on their way or in hand, unacknowledged (Receive Maximum)."""
    max_in_flight: int = 900
    """How many publishes may wait for their PUBACK; the gateway takes 1,024."""
    max_offline: int = 1_000
    """How many publishes may wait for a connection."""

    @property
    def websocket(self) -> bool:
        return self.scheme in ("ws", "wss")

    @property
    def secure(self) -> bool:
        return self.scheme in ("mqtts", "wss")

    @classmethod
    def of(
        cls,
        url: str,
        agent: str,
        *,
        username: str | None,
        password: str | None,
        tls: ssl.SSLContext | None,
        protocol: Protocol,
        ephemeral: bool,
        window: int,
        keepalive: float,
    ) -> Options:
        """Reads ``mqtt://user:password@host:port``; also ``mqtts``, ``ws`` and ``wss``."""
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(f"a gateway's URL is such as mqtt://localhost:1883, not {url!r}")
        if protocol not in ("5", "3.1.1"):
            raise ValueError(f"a protocol is '5' or '3.1.1', not {protocol!r}")
        if not 1 <= window <= 65_535:
            raise ValueError(f"a window is 1 to 65535 deliveries, not {window}")
        return cls(
            agent=checked("agent", agent),
            scheme=parts.scheme,
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            path=parts.path or "/mqtt",
            username=username or (unquote(parts.username) if parts.username else None),
            password=password or (unquote(parts.password) if parts.password else None),
            tls=tls or (ssl.create_default_context() if parts.scheme in ("mqtts", "wss") else None),
            protocol=protocol,
            session_expiry=0 if ephemeral else cls.session_expiry,
            window=window,
            keepalive=max(1, round(keepalive)),
        )
