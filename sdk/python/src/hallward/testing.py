"""For tests: a real gateway, started and killed at will.

With pytest, put this into ``conftest.py`` and take the fixtures ``gateway`` and ``room``::

    from hallward.testing import gateway, room  # noqa: F401

The gateway's program is looked for, in this order: the ``binary`` that was given, the environment
variable ``HALLWARD_BIN``, the package ``hallward-gateway``, and ``hallward`` on the ``PATH``.
Nothing is ever downloaded.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from ._names import new_id
from .errors import HallwardError

if TYPE_CHECKING:
    from .sync import Room

_START = 30.0
"""Seconds that a gateway may take to start, or to end."""


class GatewayMissing(HallwardError):
    """The gateway's program was not found."""


def find_gateway(binary: str | os.PathLike[str] | None = None) -> str:
    """Where the gateway's program is. Raises `GatewayMissing`, which says what to install."""
    for path, whose in ((binary, "binary"), (os.environ.get("HALLWARD_BIN"), "HALLWARD_BIN")):
        if path:
            if os.access(path, os.X_OK):
                return os.fspath(path)
            raise GatewayMissing(f"{whose} is {os.fspath(path)!r}, which is no program")
    found = _packaged() or shutil.which("hallward")
    if found is None:
        raise GatewayMissing(
            "no gateway: pip install 'hallward[gateway]', or let HALLWARD_BIN name the program"
        )
    return found


def _packaged() -> str | None:
    """The program of the package ``hallward-gateway``, if that is installed."""
    try:
        from hallward_gateway import binary  # pyright: ignore
    except ImportError:
        return None
    return str(cast(Any, binary)())


def _environment() -> dict[str, str]:
    """Ours, without what is ours alone: ``HALLWARD_BIN`` is a wrong setting to the gateway."""
    ours = re.compile("HALLWARD_(?!_)")
    return {name: value for name, value in os.environ.items() if not ours.match(name)}


class Gateway:
    """A gateway over a directory of its own, which is gone when it is closed. Use it with ``with``.

    ``settings`` are keys of the configuration: ``{"rooms.reconnect_grace": "1s"}``. ``environment``
    is added to the program's.
    """

    def __init__(
        self,
        *,
        binary: str | os.PathLike[str] | None = None,
        settings: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._binary = find_gateway(binary)
        self._folder = Path(tempfile.mkdtemp(prefix="hallward-"))
        self._environment = {**_environment(), **(environment or {})}
        for key, value in (settings or {}).items():
            name = "HALLWARD__" + key.upper().replace(".", "__")
            self._environment[name] = str(value).lower() if isinstance(value, bool) else str(value)
        self._process: subprocess.Popen[bytes] | None = None
        self._mqtt = self._http = "127.0.0.1:0"
        self.start()

    @property
    def url(self) -> str:
        """For `hallward.connect`."""
        return f"mqtt://{self._mqtt}"

    @property
    def http(self) -> str:
        """Where ``/readyz`` and ``/metrics`` are."""
        return f"http://{self._http}"

    @property
    def port(self) -> int:
        """Its MQTT port."""
        return int(self._mqtt.rsplit(":", 1)[1])

    @property
    def pid(self) -> int | None:
        """Its process, while it runs."""
        return None if self._process is None else self._process.pid

    @property
    def log(self) -> str:
        """What it logged so far."""
        return (self._folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Starts it, on the ports that it had before. Returns once it answers."""
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
        deadline = time.monotonic() + _START
        while not ready.exists():
            if self._process.poll() is not None:
                raise HallwardError(f"the gateway did not start:\n{self.log}")
            if time.monotonic() > deadline:
                self.kill()
                raise HallwardError(f"the gateway was not ready in {_START:g} s:\n{self.log}")
            time.sleep(0.005)
        found = json.loads(ready.read_text())
        self._mqtt = found["mqtt"]
        self._http = found["http"].removeprefix("http://")

    def kill(self) -> None:
        """``kill -9``: what it had acknowledged must be there after `restart`."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ends it in good order."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Starts it again on the same ports and data; kills it before, if it runs."""
        self.kill()
        self.start()

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            try:
                process.wait(_START)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def close(self) -> None:
        """Ends it, and takes its directory away."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Gateway:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


try:
    import pytest
except ImportError:  # `Gateway` is of use without it
    pass
else:

    @pytest.fixture(scope="session")
    def gateway() -> Iterator[Gateway]:
        """A gateway for all tests of a run."""
        with Gateway() as running:
            yield running

    @pytest.fixture
    def room(gateway: Gateway) -> Iterator[Room]:
        """A room that no other test is in, as the agent ``tester`` sees it (`hallward.sync`)."""
        from . import sync

        agent = f"tester-{new_id()[:8]}"
        with sync.connect(gateway.url, agent=agent, ephemeral=True) as tester:
            yield tester.join(f"room-{new_id()[:8]}")
