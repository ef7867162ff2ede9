"""paho's client, made ready: all that depends on the MQTT version is here."""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import suppress
from typing import Any, cast

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from .delivery import About
from .options import Options

_FIRST_RETRY = 0.2
_LAST_RETRY = 30.0
_NO_TLS = "WRONG_VERSION_NUMBER"


class Client(mqtt.Client):
    """paho's, which says why it could not connect, and leaves no socket open then."""

    tls: ssl.SSLContext | None = None
    failure: Exception | None = None
    """Why there is no connection."""
    _below: socket.socket | None = None

    def _create_socket(self) -> Any:
        self._below = None
        try:
            return super()._create_socket()
        except Exception as error:
            if self._below is not None:
                self._below.close()
            self.failure = error
            if isinstance(error, OSError):
                raise
            raise OSError(str(error)) from error  # all else would end paho's thread, unheard

    def _create_socket_connection(self) -> socket.socket:
        self._below = super()._create_socket_connection()
        return self._below

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        """As the context says: paho would look at the name even where that does not."""
        assert self.tls is not None
        sock = self.tls.wrap_socket(
            tcp_sock, server_hostname=self.host, do_handshake_on_connect=False
        )
        self._below = sock
        sock.settimeout(self.connect_timeout)
        sock.do_handshake()
        return sock


def in_words(failure: Exception | None) -> str:
    """Why there is no connection."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"TLS: certificate verify failed: {failure.verify_message}"
    if isinstance(failure, ssl.SSLError) and failure.reason == _NO_TLS:
        return "what answers there speaks no TLS: is it mqtt://, or another port?"
    if isinstance(failure, ssl.SSLError):
        return f"TLS: {failure}"
    if isinstance(failure, mqtt.WebsocketConnectionError):
        return f"what answers there speaks no WebSocket: {failure}"
    if failure is None or isinstance(failure, ConnectionRefusedError):
        return "nobody answers there"
    return str(failure) or type(failure).__name__


def is_for_good(failure: Exception | None) -> bool:
    """Whether another try can have no other end."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        return True
    return isinstance(failure, ssl.SSLError) and failure.reason == _NO_TLS


def make(options: Options) -> Client:
    """A client that is not connected yet.

    The first connection begins a new session, so that nothing of an earlier program is left; what
    waits for the agent waits in its mailbox. Later connections resume it (MQTT 5).
    """
    version5 = options.protocol == "5"
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=options.agent,
        clean_session=None if version5 else True,
        protocol=MQTTProtocolVersion.MQTTv5 if version5 else MQTTProtocolVersion.MQTTv311,
        transport="websockets" if options.websocket else "tcp",
        manual_ack=True,
    )
    if options.websocket:
        client.ws_set_options(path=options.path)
    if options.secure and options.tls is not None:
        client.tls = options.tls
        client.tls_set_context(options.tls)  # pyright: ignore[reportUnknownMemberType]
    if options.username is not None:
        client.username_pw_set(options.username, options.password)
    client.on_socket_open = _without_delay
    client.max_inflight_messages_set(1_000)
    # paho's types say int, and its code takes any number of seconds.
    client.reconnect_delay_set(cast(int, _FIRST_RETRY), cast(int, _LAST_RETRY))
    return client


def connect(client: mqtt.Client, options: Options) -> None:
    """Has the client connect, as soon as its thread runs."""
    if options.protocol == "5":
        client.connect_async(
            options.host,
            options.port,
            keepalive=options.keepalive,
            clean_start=mqtt.MQTT_CLEAN_START_FIRST_ONLY,
            properties=_properties(
                PacketTypes.CONNECT,
                SessionExpiryInterval=options.session_expiry,
                ReceiveMaximum=options.window,
            ),
        )
    else:
        client.connect_async(options.host, options.port, keepalive=options.keepalive)


def disconnect(client: mqtt.Client, options: Options) -> None:
    """Ends connection and session in good order."""
    if options.protocol == "5":
        client.disconnect(properties=_properties(PacketTypes.DISCONNECT, SessionExpiryInterval=0))
    else:
        client.disconnect()


def content_type(name: str) -> Properties:
    """The properties of a PUBLISH that says what its payload is."""
    return _properties(PacketTypes.PUBLISH, ContentType=name)


def size(topic: str, payload: bytes, properties: Properties | None) -> int:
    """The bytes of a PUBLISH of MQTT 5 with QoS 1."""
    described = 1 if properties is None else len(cast(Any, properties).pack())
    rest = 2 + len(topic.encode()) + 2 + described + len(payload)
    return 1 + (1 if rest < 1 << 7 else 2 if rest < 1 << 14 else 3 if rest < 1 << 21 else 4) + rest


def max_packet(properties: Properties | None) -> int | None:
    """The Maximum Packet Size of a CONNACK."""
    return cast("int | None", getattr(properties, "MaximumPacketSize", None))


def about(properties: Properties | None) -> About:
    """What a PUBLISH says beside its payload."""
    if properties is None:
        return About()
    correlation = cast("bytes | None", getattr(properties, "CorrelationData", None))
    return About(
        cast("str | None", getattr(properties, "ContentType", None)),
        None if correlation is None else correlation.decode(errors="replace"),
    )


def reason_of(properties: Properties | None) -> str | None:
    """The Reason String of an acknowledgement."""
    return cast("str | None", getattr(properties, "ReasonString", None))


def _properties(kind: int, **values: Any) -> Properties:
    properties = Properties(kind)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


def break_off(client: mqtt.Client) -> None:
    """Breaks the connection. The client makes a new one, and goes on with the session."""
    sock = client.socket()
    if sock is not None:
        with suppress(OSError), _same(sock) as same:
            same.shutdown(socket.SHUT_RDWR)


def _without_delay(client: mqtt.Client, userdata: Any, sock: Any) -> None:
    """paho leaves Nagle's algorithm on, which makes small packets wait for 40 ms."""
    with suppress(OSError), _same(sock) as same:
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _same(sock: Any) -> socket.socket:
    """The TCP connection below, whatever paho has wrapped around it."""
    return socket.socket(fileno=os.dup(sock.fileno()))


def join(client: mqtt.Client) -> None:
    """Waits for the network thread to end, after `disconnect`."""
    with suppress(AttributeError):  # paho looks at its thread twice; it may end in between
        client.loop_stop()
