"""A paho-mqtt client for tests. Every wait is for something that happens, and has a deadline."""

import argparse
import json
import os
import socket
import struct
import threading
import time
import traceback

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

DEADLINE = 20.0
HOST = "127.0.0.1"

arguments = argparse.ArgumentParser()
arguments.add_argument("--port", type=int, required=True)
arguments.add_argument("--version", choices=["3.1.1", "5"], required=True)
OPTIONS = arguments.parse_args()
V5 = OPTIONS.version == "5"
CHANGED = threading.Condition()
"""Guards what all peers have received, and is told of everything that arrives."""


class Failed(Exception):
    """A check that did not hold, in words."""


def same(what, actual, expected):
    if actual != expected:
        raise Failed(f"{what}: expected {expected!r}, got {actual!r}")


def properties(packet, **values):
    """MQTT 5 properties by paho's names; None when there are none."""
    values = {name: value for name, value in values.items() if value is not None}
    if not values:
        return None
    made = Properties(packet)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def until(what, ready):
    """Waits until `ready()` is something else than None, and returns that."""
    deadline = time.monotonic() + DEADLINE
    with CHANGED:
        while (value := ready()) is None:
            if not CHANGED.wait(deadline - time.monotonic()):
                raise Failed(f"no {what} within {DEADLINE:.0f} s")
    return value


def divided(members, topic, count):
    """Waits for `count` messages on `topic` over all members, and takes them: a list of payloads for each member."""

    def ready():
        lists = [[m.payload for m in member.messages if m.topic == topic] for member in members]
        return lists if sum(map(len, lists)) >= count else None

    with CHANGED:
        lists = until(f"{count} messages on {topic}", ready)
        for member in members:
            member.messages = [m for m in member.messages if m.topic != topic]
    return lists


class Peer:
    """One connection. What arrives is kept until a test asks for it."""

    def __init__(self, client_id, clean=True, expiry=None, keep_alive=60, will=None):
        self.id = client_id
        self.connack = None
        self.ended = None
        self.acks = {}
        self.messages = []
        self.keep_alive = keep_alive
        self.clean = clean
        self.expiry = expiry
        self.paho = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if V5 else clean,
            protocol=paho.MQTTv5 if V5 else paho.MQTTv311,
            reconnect_on_failure=False,
        )
        self.paho.on_connect = lambda _c, _u, flags, code, props: self._tell("connack", (code, flags, props))
        # paho calls this again, without the reason, when it then finds the socket closed.
        self.paho.on_disconnect = lambda _c, _u, _flags, code, _props: self._tell("ended", self.ended or code)
        self.paho.on_subscribe = lambda _c, _u, mid, codes, _props: self._ack("sub", mid, codes)
        self.paho.on_unsubscribe = lambda _c, _u, mid, codes, _props: self._ack("unsub", mid, codes)
        self.paho.on_publish = lambda _c, _u, mid, code, _props: self._ack("pub", mid, code)
        self.paho.on_message = self._arrived
        if will:
            topic, payload, qos, retain = will
            self.paho.will_set(topic, payload, qos, retain)

    def _tell(self, what, value):
        with CHANGED:
            setattr(self, what, value)
            CHANGED.notify_all()

    def _ack(self, kind, mid, value):
        with CHANGED:
            self.acks[kind, mid] = value
            CHANGED.notify_all()

    def _arrived(self, _client, _user, message):
        with CHANGED:
            self.messages.append(message)
            CHANGED.notify_all()

    def _until(self, what, ready):
        """Waits until `ready()` is something else than None, and returns that."""
        try:
            return until(what, ready)
        except Failed as error:
            unread = [(message.topic, bytes(message.payload[:120])) for message in self.messages]
            raise Failed(f"{self.id}: {error}; connection ended: {self.ended}; unread: {unread}") from None

    def connect(self):
        """Connects; returns the reason code. See `session_present` and `connack`."""
        arguments = {}
        if V5:
            arguments["clean_start"] = self.clean
            arguments["properties"] = properties(PacketTypes.CONNECT, SessionExpiryInterval=self.expiry)
        self.connack = self.ended = None
        self.paho.connect(HOST, OPTIONS.port, self.keep_alive, **arguments)
        self.paho.loop_start()
        return self._until("CONNACK", lambda: self.connack)[0].value

    @property
    def session_present(self):
        return bool(self.connack[1].session_present)

    def up(self):
        """Connects, and is content with nothing but success."""
        same(f"CONNACK for {self.id}", self.connect(), 0)
        return self

    def subscribe(self, topic_filter, qos=1, identifier=None, **options):
        """Returns the granted QoS or the refusal."""
        if V5:
            props = properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=identifier)
            _, mid = self.paho.subscribe(topic_filter, options=SubscribeOptions(qos=qos, **options), properties=props)
        else:
            _, mid = self.paho.subscribe(topic_filter, qos)
        return self._until(f"SUBACK for {topic_filter}", lambda: self.acks.get(("sub", mid)))[0].value

    def unsubscribe(self, topic_filter):
        _, mid = self.paho.unsubscribe(topic_filter)
        self._until(f"UNSUBACK for {topic_filter}", lambda: self.acks.get(("unsub", mid)))

    def publish(self, topic, payload=b"", qos=1, retain=False, **props):
        """Publishes and waits for the acknowledgement; returns its reason code."""
        if isinstance(payload, (dict, list)):
            payload = json.dumps(payload)
        sent = self.paho.publish(topic, payload, qos, retain, properties=properties(PacketTypes.PUBLISH, **props))
        return self._until(f"acknowledgement of {topic}", lambda: self.acks.get(("pub", sent.mid))).value

    def expect(self, topic):
        """The oldest message on exactly this topic that nobody has asked for yet."""

        def take():
            for index, message in enumerate(self.messages):
                if message.topic == topic:
                    return self.messages.pop(index)
            return None

        return self._until(f"message on {topic}", take)

    def expect_json(self, topic):
        payload = self.expect(topic).payload
        try:
            return json.loads(payload)
        except ValueError as error:
            raise Failed(f"{topic} carried no JSON ({error}): {payload!r}") from error

    def reply(self, room, correlation):
        """The gateway's reply that echoes `correlation`; replies to anything else are left out."""
        while True:
            reply = self.expect_json(f"rooms/{room}/reply/{self.id}")
            if reply.get("correlationId") == correlation:
                return reply

    def before(self, marker):
        """Everything that arrived ahead of the message on `marker`, and forgets it."""
        self.expect(marker)
        with CHANGED:
            earlier, self.messages = self.messages, []
        return earlier

    def lost(self):
        """Waits until the gateway ends the connection; returns the reason code that the client shows."""
        return self._until("end of the connection", lambda: self.ended).value

    def down(self, expiry=None):
        """DISCONNECT, the orderly way."""
        if V5:
            self.paho.disconnect(properties=properties(PacketTypes.DISCONNECT, SessionExpiryInterval=expiry))
        else:
            self.paho.disconnect()
        self._until("end after DISCONNECT", lambda: self.ended)
        self.paho.loop_stop()

    def drop(self):
        """Cuts the connection without a word."""
        self.paho.loop_stop()
        self.paho.socket().close()


class Silent:
    """A connection that says CONNECT and then nothing at all; written by hand because paho would ping."""

    def __init__(self, client_id, keep_alive, will_topic=None):
        def text(value):
            return struct.pack("!H", len(value)) + value.encode()

        body = text("MQTT") + bytes([5 if V5 else 4, 0x06 if will_topic else 0x02])
        body += struct.pack("!H", keep_alive) + (b"\0" if V5 else b"") + text(client_id)
        if will_topic:
            body += (b"\0" if V5 else b"") + text(will_topic) + text("silent")
        self.socket = socket.create_connection((HOST, OPTIONS.port), timeout=DEADLINE)
        self.socket.sendall(bytes([0x10, len(body)]) + body)
        same("first byte of CONNACK", self.socket.recv(1), b"\x20")

    def wait_for_end(self):
        """Until the gateway closes the connection."""
        try:
            while self.socket.recv(4096):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError as error:
            raise Failed("a client beyond its keep-alive was not disconnected") from error


def connack_code(connect):
    """The return code that the bytes of a whole CONNECT are answered with."""
    with socket.create_connection((HOST, OPTIONS.port), timeout=DEADLINE) as raw:
        raw.sendall(connect)
        return raw.recv(4)[3]


def pass_time(seconds):
    """Lets at least this many seconds go by, measured by the gateway: the keep-alive of a silent client runs out."""
    Silent("clock", seconds).wait_for_end()


def run(checks):
    """Runs the checks in order, a line each, and stops at the first that fails."""
    for check in checks:
        name = check.__name__.replace("_", " ")
        try:
            check()
        except Exception as error:  # noqa: BLE001: whatever it is, it ends the run with words
            if not isinstance(error, Failed):
                traceback.print_exc()
            print(f"FAILED {name}: {error}", flush=True)
            # Not sys.exit: paho's threads of the unfinished check must not keep the process.
            os._exit(1)
        print(f"ok {name}", flush=True)
