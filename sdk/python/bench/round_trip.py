"""How much this SDK costs beside a client that speaks paho directly, in the same run.

    HALLWARD_BIN=target/release/hallward python bench/round_trip.py

Round trip: dispatch, work, result, one at a time; the worker is the same kind of client.
Throughput: dispatches, each until its reply says that it is on disk, with 64 in flight. The sides
take turns, and the best of their rounds counts. The raw client sets TCP_NODELAY, which paho does
not: without it every round trip takes 40 ms more.
"""

from __future__ import annotations

import asyncio
import json
import queue
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt

import hallward
from hallward.testing import Gateway

ROUNDS = 5
TASKS = 200
DISPATCHES = 2_000
IN_FLIGHT = 64


class Raw:
    """A client as one would write it by hand: paho, JSON, correlation ids."""

    def __init__(self, gateway: Gateway, agent: str, room: str) -> None:
        self.me, self.room = agent, room
        self.replies: queue.Queue[str] = queue.Queue()
        self.results: queue.Queue[dict[str, Any]] = queue.Queue()
        ready = threading.Event()
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=agent, protocol=mqtt.MQTTv5
        )
        self.client.max_inflight_messages_set(1_000)
        self.client.on_message = self.received
        self.client.on_socket_open = lambda _c, _d, sock: sock.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_connect = lambda *_: self.client.subscribe(
            [(f"rooms/{room}/reply/{agent}", 1), (f"rooms/{room}/handoff/result/{agent}", 1)]
        )
        self.client.connect("127.0.0.1", gateway.port)
        self.client.loop_start()
        assert ready.wait(10)

    def received(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        document = json.loads(message.payload)
        if "/reply/" in message.topic:
            self.replies.put(document["correlationId"])
        elif "/result/" in message.topic:
            self.results.put(document)
        else:
            update = {"task": document["task"], "attempt": document["attempt"]}
            for more in (
                {"status": "accepted"},
                {"status": "success", "result": document["payload"]},
            ):
                self.publish("handoff/update", {**update, **more})

    def publish(self, command: str, body: dict[str, Any]) -> None:
        self.client.publish(f"rooms/{self.room}/{command}/{self.me}", json.dumps(body), qos=1)

    def work(self, capability: str) -> None:
        ready = threading.Event()
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.subscribe(f"rooms/{self.room}/handoff/work/{capability}", qos=1)
        assert ready.wait(10)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def raw_round_trips(gateway: Gateway, number: int) -> list[float]:
    room = f"raw-{number}"
    worker, editor = Raw(gateway, "raw-worker", room), Raw(gateway, "raw-editor", room)
    worker.work("echo")
    found: list[float] = []
    for n in range(TASKS):
        began = time.perf_counter()
        id_ = f"t{n}"
        body = {"id": id_, "type": "echo", "payload": {"n": n}, "correlationId": id_}
        editor.publish("handoff/dispatch", body)
        editor.replies.get(timeout=10)
        assert editor.results.get(timeout=10)["result"] == {"n": n}
        found.append(time.perf_counter() - began)
    worker.close()
    editor.close()
    return found


def raw_throughput(gateway: Gateway, number: int) -> float:
    editor = Raw(gateway, "raw-editor", f"raw-many-{number}")
    began = time.perf_counter()
    for n in range(DISPATCHES + IN_FLIGHT):
        if n >= IN_FLIGHT:
            editor.replies.get(timeout=10)
        if n < DISPATCHES:
            body = {"id": f"t{n}", "type": "echo", "payload": {"n": n}, "correlationId": f"t{n}"}
            editor.publish("handoff/dispatch", body)
    took = time.perf_counter() - began
    editor.close()
    return DISPATCHES / took


async def sdk_round_trips(gateway: Gateway, number: int) -> list[float]:
    room_name = f"sdk-{number}"
    worker = hallward.Worker(gateway.url, agent="sdk-worker", room=room_name)

    @worker.task("echo")
    async def echo(task: hallward.Task[Any]) -> Any:
        return task.payload

    ready = asyncio.Event()
    serving = asyncio.create_task(worker.serve(ready=ready))
    await ready.wait()
    found: list[float] = []
    async with hallward.connect(gateway.url, agent="sdk-editor") as me:
        room = await me.join(room_name)
        for n in range(TASKS):
            began = time.perf_counter()
            result = await room.handoff.run("echo", {"n": n})
            assert result.value == {"n": n}
            found.append(time.perf_counter() - began)
    worker.stop()
    await serving
    return found


async def sdk_throughput(gateway: Gateway, number: int) -> float:
    async with hallward.connect(gateway.url, agent="sdk-editor") as me:
        room = await me.join(f"sdk-many-{number}")
        numbers = iter(range(DISPATCHES))

        async def dispatch() -> None:
            for n in numbers:
                await room.handoff.dispatch("echo", {"n": n})

        began = time.perf_counter()
        await asyncio.gather(*(dispatch() for _ in range(IN_FLIGHT)))
        return DISPATCHES / (time.perf_counter() - began)


IDLE = """
import os, sys
def rss():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
import paho.mqtt.client
paho_alone = rss()
import asyncio
before = rss()
if sys.argv[1:]:
    import hallward
    worker = hallward.Worker(sys.argv[1], agent="idle", room="idle")
    @worker.task("draft")
    async def draft(task): ...
    async def main():
        ready = asyncio.Event()
        serving = asyncio.create_task(worker.serve(ready=ready))
        await ready.wait()
        print(paho_alone, before, rss())
        worker.stop()
        await serving
    asyncio.run(main())
"""


def idle_memory(gateway: Gateway) -> tuple[float, float, float]:
    """MiB after importing paho, and asyncio too, and of a worker that waits for tasks."""
    result = subprocess.run(
        [sys.executable, "-c", IDLE, gateway.url], capture_output=True, text=True, check=True
    )
    paho_alone, before, after = result.stdout.split()
    return float(paho_alone), float(before), float(after)


def main() -> int:
    with Gateway() as gateway:
        raw_times: list[float] = []
        sdk_times: list[float] = []
        raw_rates: list[float] = []
        sdk_rates: list[float] = []
        for number in range(ROUNDS):
            raw_times.append(statistics.median(raw_round_trips(gateway, number)))
            sdk_times.append(statistics.median(asyncio.run(sdk_round_trips(gateway, number))))
            raw_rates.append(raw_throughput(gateway, number))
            sdk_rates.append(asyncio.run(sdk_throughput(gateway, number)))
        paho_alone, before, after = idle_memory(gateway)
    raw, sdk = min(raw_times) * 1_000, min(sdk_times) * 1_000
    print(f"round trip, p50        raw {raw:.2f} ms   sdk {sdk:.2f} ms   {sdk / raw:.2f} x")
    fast, ours = max(raw_rates), max(sdk_rates)
    print(
        f"dispatches, {IN_FLIGHT} at once raw {fast:.0f}/s   sdk {ours:.0f}/s   {ours / fast:.2f} x"
    )
    print(
        f"idle worker            {after:.1f} MiB: paho alone {paho_alone:.1f}, "
        f"with asyncio {before - paho_alone:.1f} more, its own {after - before:.1f}"
    )
    print(f"({Path(__file__).name}: {ROUNDS} rounds of {TASKS} and {DISPATCHES})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
