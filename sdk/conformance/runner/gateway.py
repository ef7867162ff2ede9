"""A real gateway, that can be killed, and whose clock can be set."""

from __future__ import annotations

import glob
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

START = 30.0
_FAKETIME = "/usr/lib/*/faketime/libfaketimeMT.so.1"


def faketime() -> str | None:
    """Where libfaketime is, if it is installed."""
    return next(iter(glob.glob(_FAKETIME)), None)


class GatewayGone(Exception):
    """It did not start."""


class Gateway:
    def __init__(self, binary: str, settings: dict[str, Any], clock: bool) -> None:
        self._binary = binary
        self._folder = Path(tempfile.mkdtemp(prefix="hallward-conformance-"))
        self._environment = {
            key: value for key, value in os.environ.items() if not key.startswith("HALLWARD")
        }
        for key, value in settings.items():
            name = "HALLWARD__" + key.upper().replace(".", "__")
            self._environment[name] = str(value).lower() if isinstance(value, bool) else str(value)
        if clock:
            self.step_clock("+0s")
            self._environment |= {
                "LD_PRELOAD": faketime() or "",
                "FAKETIME_TIMESTAMP_FILE": str(self._folder / "clock"),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_DONT_RESET": "1",
            }
        self._mqtt = self._http = "127.0.0.1:0"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        return int(self._mqtt.rsplit(":", 1)[1])

    @property
    def log(self) -> str:
        path = self._folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        ready = self._folder / "ready.json"
        ready.unlink(missing_ok=True)
        arguments = ["serve", "--mqtt", self._mqtt, "--http", self._http]
        arguments += ["--data", str(self._folder / "data"), "--ready-file", str(ready)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise GatewayGone(f"the gateway did not start:\n{self.log}")
            time.sleep(0.005)
        found = json.loads(ready.read_text())
        self._mqtt = found["mqtt"]
        self._http = found["http"].removeprefix("http://")

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(START)
            self._process = None

    def step_clock(self, offset: str) -> None:
        new = self._folder / "next"
        new.write_text(offset)
        new.replace(self._folder / "clock")

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
