#!/usr/bin/env python3
"""How much memory and disk a gateway has at a peak, after it, and beside a fresh start with the same contents.

    cargo build --release
    target/tools/python/bin/python benches/memory.py target/release/hallward

Needs Linux and paho-mqtt (`.ci/install` puts it into target/tools). Three scenarios, each on a gateway and a directory of its own:

    values   keys of a blackboard, set and kept: what a byte of value costs
    deleted  keys, all but a few of them deleted: what is given back within a minute
    drained  messages in the queues of persistent sessions, fetched by their readers: likewise

Disk is what the files of the data directory have there (as `du` counts). Own memory is what the process holds (anonymous), resident has its
program besides, which a debug build makes much larger. "Fresh" is the same gateway after a stop, `hallward ledger compact` and a start.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import paho.mqtt.client as paho

MIB = 1 << 20
# What the files of the commit log are set aside in, and what an empty gateway has.
LIMITS = {
    "HALLWARD__BLACKBOARD__MAX_KEYS_PER_ROOM": "1000000",
    "HALLWARD__BLACKBOARD__MAX_BYTES": "4GiB",
    "HALLWARD__BLACKBOARD__MAX_BYTES_PER_ROOM": "4GiB",
    "HALLWARD__MEMORY__MAX_QUEUED": "4GiB",
    "HALLWARD__SESSION__MAX_QUEUED_BYTES": "1GiB",
    "HALLWARD__SESSION__MAX_QUEUED_MESSAGES": "1000000",
    "HALLWARD__LOG__LEVEL": "warn",
}


class Gateway:
    def __init__(self, binary, data):
        self.binary, self.data = binary, data
        self.process = None

    def start(self):
        arguments = ["serve", "--data", self.data, "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        begun = time.monotonic()
        self.process = subprocess.Popen(
            [self.binary, *arguments], stdout=subprocess.PIPE, text=True, env={**os.environ, **LIMITS}
        )
        for line in self.process.stdout:
            words = line.split()
            if words[0] == "mqtt":
                self.port = int(words[1].rsplit(":", 1)[1])
            elif words[0] == "http":
                self.http = words[1]
            elif words[0] == "Stop":
                break
        else:
            sys.exit("the gateway does not start")
        self.took = time.monotonic() - begun

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(120) != 0:
            sys.exit(f"the gateway ended with {self.process.returncode}")
        self.process.stdout.close()

    def compact(self):
        subprocess.run([self.binary, "ledger", "compact", self.data], check=True, stdout=subprocess.DEVNULL)

    def memory(self):
        """What it holds itself, and all that is resident, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return [int(fields[name].split()[0]) * 1024 for name in ("RssAnon", "VmRSS")]

    def disk(self):
        files = (path for path in Path(self.data).rglob("*") if path.is_file())
        return sum(path.stat().st_blocks * 512 for path in files)

    def metric(self, name):
        with urllib.request.urlopen(f"{self.http}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith(name + " ")))


class Client:
    """A client of 3.1.1 that waits for every acknowledgement."""

    def __init__(self, gateway, name, clean=True, on_message=None):
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean, protocol=paho.MQTTv311
        )
        self.client.max_inflight_messages_set(500)
        self.client.max_queued_messages_set(0)
        self.room = threading.Semaphore(1000)
        self.connected = threading.Event()
        self.subscribed = threading.Event()
        self.client.on_connect = lambda *_: self.connected.set()
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_publish = lambda *_: self.room.release()
        if on_message:
            self.client.on_message = on_message
        self.client.connect("127.0.0.1", gateway.port)
        self.client.loop_start()
        self.wait(self.connected)

    def wait(self, event):
        if not event.wait(60):
            sys.exit("the gateway does not answer")

    def subscribe(self, topic):
        self.client.subscribe(topic, 1)
        self.wait(self.subscribed)

    def publish(self, topic, payload):
        self.room.acquire()
        self.client.publish(topic, payload, 1)

    def leave(self):
        """After everything is acknowledged."""
        for _ in range(1000):
            self.room.acquire()
        self.client.disconnect()
        self.client.loop_stop()


def text(bytes_, number):
    """Looks like what people write: few characters, no two values alike."""
    word = f"{number:08x} what a writer thinks of chapter {number * 7919 % 10007} "
    return (word * (bytes_ // len(word) + 1))[:bytes_]


def length(size, number):
    """From half of the size to one and a half times, evenly spread."""
    return size // 2 + number * 7919 % (size + 1)


def set_keys(gateway, mib, size):
    count = mib * MIB // size
    writer = Client(gateway, "writer")
    for number in range(count):
        value = '{"value":"' + text(length(size, number) - 2, number) + '"}'
        writer.publish(f"rooms/lab/blackboard/set/writer/part/{number}", value)
    writer.leave()
    keys = gateway.metric("hallward_blackboard_keys")
    if keys != count:
        sys.exit(f"expected {count} keys, found {keys}")
    return count


class Figures:
    """Looks at a gateway and prints a line for each look."""

    def __init__(self, gateway, name):
        self.gateway, self.name = gateway, name

    def look(self, when):
        figures = [bytes_ / MIB for bytes_ in (self.gateway.disk(), *self.gateway.memory())]
        self.line(when, [f"{figure:.0f}" for figure in figures])
        return figures

    def line(self, when, cells):
        print("|", " | ".join([self.name, when, *cells]), "|", flush=True)

    def after_a_minute(self):
        begun, looks = time.monotonic(), [5, 15, 30, 60]
        for after in looks:
            time.sleep(max(0.0, begun + after - time.monotonic()))
            figures = self.look(f"{after} s later")
        # A large file takes longer: it is given back in small steps.
        disk = 2 * figures[0]
        while figures[0] < 0.98 * disk and after < 600:
            disk, after = figures[0], after + 30
            time.sleep(max(0.0, begun + after - time.monotonic()))
            figures = self.look(f"{after} s later")
        return figures

    def beside_fresh(self, figures):
        self.gateway.stop()
        self.gateway.compact()
        self.gateway.start()
        # What a start leaves to do is done by then.
        time.sleep(15)
        fresh = self.look("fresh")
        self.line("**times fresh**", [f"**{own / other:.2f}**" for own, other in zip(figures, fresh)])


def values(gateway, args):
    figures = Figures(gateway, f"{args.values} MiB of values of {args.size / 1024:g} KiB")
    empty = figures.look("empty")
    set_keys(gateway, args.values, args.size)
    figures.look("set")
    after = figures.after_a_minute()
    ratios = [(own - before) / args.values for own, before in zip(after, empty)]
    figures.line("**for each byte of value**", [f"**{ratio:.2f}**" for ratio in ratios])
    gateway.stop()
    gateway.start()
    time.sleep(15)
    figures.look(f"started again, in {gateway.took:.1f} s")


def deleted(gateway, args):
    figures = Figures(gateway, f"{args.deleted} MiB of values, 95 % deleted")
    figures.look("empty")
    count = set_keys(gateway, args.deleted, args.size)
    figures.look("set")
    writer = Client(gateway, "writer")
    for number in range(count):
        if number % 20:
            writer.publish(f"rooms/lab/blackboard/delete/writer/part/{number}", "")
    writer.leave()
    figures.look("deleted")
    figures.beside_fresh(figures.after_a_minute())


def drained(gateway, args):
    figures = Figures(gateway, f"{args.drained} MiB in queues, drained")
    figures.look("empty")
    readers = [f"reader-{number}" for number in range(20)]
    for name in readers:
        reader = Client(gateway, name, clean=False)
        reader.subscribe(f"mail/{name}")
        reader.leave()
    count = args.drained * MIB // args.size
    writer = Client(gateway, "writer")
    for number in range(count):
        writer.publish(f"mail/{readers[number % len(readers)]}", text(length(args.size, number), number))
    writer.leave()
    figures.look("queued")
    left, all_here = [count], threading.Event()

    def count_down(*_):
        left[0] -= 1
        if left[0] == 0:
            all_here.set()

    for name in readers:
        before = left[0]
        reader = Client(gateway, name, clean=False, on_message=count_down)
        due = before - len(range(readers.index(name), count, len(readers)))
        while left[0] > due:
            all_here.wait(0.05)
        # paho acknowledges after the callback; what was not is sent again and would be counted again.
        time.sleep(0.2)
        reader.leave()
    figures.look("drained")
    figures.beside_fresh(figures.after_a_minute())


SCENARIOS = {"values": values, "deleted": deleted, "drained": drained}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="the gateway")
    parser.add_argument("scenarios", nargs="*", default=list(SCENARIOS), help="all of them by default")
    parser.add_argument("--dir", help="where the data goes; the system's temporary directory by default")
    parser.add_argument("--size", type=int, default=16 << 10, help="bytes of a value or message on average (default: 16 KiB)")
    parser.add_argument("--values", type=int, default=195, help="MiB of values that are kept")
    parser.add_argument("--deleted", type=int, default=500, help="MiB of values that are deleted")
    parser.add_argument("--drained", type=int, default=300, help="MiB that are queued and fetched")
    args = parser.parse_args()
    print("| What | When | Disk, MiB | Own memory | Resident |\n|---|---|--:|--:|--:|", flush=True)
    for name in args.scenarios:
        data = tempfile.mkdtemp(prefix="hallward-memory-", dir=args.dir)
        gateway = Gateway(args.binary, data)
        gateway.start()
        try:
            SCENARIOS[name](gateway, args)
            gateway.stop()
        finally:
            if gateway.process.poll() is None:
                gateway.process.kill()
            shutil.rmtree(data)


if __name__ == "__main__":
    main()
