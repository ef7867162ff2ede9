#!/usr/bin/env python3
"""How much a backup delays commits: durable writes, one at a time, before and while a backup runs.

    cargo build --release
    target/tools/python/bin/python benches/backup.py target/release/hallward

Needs Linux and paho-mqtt, like `memory.py`, whose gateway and client these are. The database has so many MiB of values; each write sets a
key to 1 KiB and waits for its PUBACK, which is a commit on the disk. What is measured while nothing else happens takes as long as the backup.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import threading
import time

from memory import MIB, Client, Gateway, set_keys, text

SIZE = 16 << 10


def write_until(gateway, name, is_over):
    """Milliseconds that each write waited."""
    acknowledged = threading.Event()
    writer = Client(gateway, name)
    writer.client.on_publish = lambda *_: acknowledged.set()
    waits = []
    while not is_over():
        acknowledged.clear()
        value = '{"value":"' + text(1024, len(waits)) + '"}'
        begun = time.monotonic()
        writer.client.publish(f"rooms/lab/blackboard/set/{name}/paced", value, 1)
        writer.wait(acknowledged)
        waits.append((time.monotonic() - begun) * 1000)
    writer.client.disconnect()
    writer.client.loop_stop()
    return sorted(waits)


def line(when, waits, seconds):
    at = lambda share: f"{waits[min(len(waits) - 1, int(len(waits) * share))]:.2f}"
    print(f"| {when} | {seconds:.1f} | {len(waits) / seconds:.0f} | {at(0.5)} | {at(0.99)} | {at(0.999)} | {waits[-1]:.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="the gateway")
    parser.add_argument("--dir", help="where the data goes; the system's temporary directory by default")
    parser.add_argument("--values", type=int, default=500, help="MiB of values in the database (default: 500)")
    parser.add_argument("--rate", type=int, default=32, help="MiB a second that the backup may copy (default: 32)")
    args = parser.parse_args()
    base = tempfile.mkdtemp(prefix="hallward-backup-", dir=args.dir)
    data, copy = os.path.join(base, "data"), os.path.join(base, "copy")
    gateway = Gateway(args.binary, data)
    gateway.start()
    try:
        set_keys(gateway, args.values, SIZE)
        # Until what was written lies in the database.
        time.sleep(30)
        print("| | Seconds | Writes a second | p50, ms | p99 | p99.9 | Longest |\n|---|--:|--:|--:|--:|--:|--:|", flush=True)
        quiet = args.values / args.rate
        end = time.monotonic() + quiet
        line("before", write_until(gateway, "before", lambda: time.monotonic() > end), quiet)
        command = [args.binary, "backup", copy, "--data", data, "--rate", str(args.rate)]
        begun = time.monotonic()
        backup = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        waits = write_until(gateway, "during", lambda: backup.poll() is not None)
        line("during a backup", waits, time.monotonic() - begun)
        if backup.returncode != 0:
            raise SystemExit(f"the backup ended with {backup.returncode}")
        print(f"The copy has {os.path.getsize(os.path.join(copy, 'hallward.db')) / MIB:.0f} MiB.")
        gateway.stop()
    finally:
        if gateway.process.poll() is None:
            gateway.process.kill()
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
