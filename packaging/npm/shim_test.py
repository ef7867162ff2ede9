"""The command `hallward` of @hallward/gateway: nobody may notice that it is not the program itself.

    packaging/npm/shim_test.py FOLDER [NODE…]

FOLDER has the packages installed; each NODE (by default the one on the PATH) is tried, by itself
and through npx.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

DEADLINE = 30.0
"""Seconds that anything may take."""

UP = b"Stop it with Ctrl-C"

COUNTER = f"""
import signal
expected = [signal.SIGINT, signal.SIGTERM]
signal.pthread_sigmask(signal.SIG_BLOCK, expected)
print({UP.decode()!r}, flush=True)
number = None
while number != signal.SIGTERM:
    number = signal.sigwait(expected)
    print(signal.Signals(number).name, flush=True)
"""
"""Says each signal that it gets, and ends with SIGTERM."""


class Shim(unittest.TestCase):
    """One way to start the command."""

    folder: ClassVar[Path]
    environment: ClassVar[dict[str, str]]
    command: ClassVar[list[str]]

    def run_with(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )


class Running:
    """`hallward serve`, in a process group of its own."""

    def __init__(self, test: Shim, *, in_terminal: bool = False) -> None:
        self.data = tempfile.mkdtemp(prefix="hallward-shim-")
        test.addCleanup(shutil.rmtree, self.data)
        command = [*test.command, "serve", "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        command += ["--data", self.data]
        if in_terminal:
            self.pid, self.output = pty.fork()
            if self.pid == 0:
                os.chdir(test.folder)
                os.execvpe(command[0], command, test.environment)
        else:
            self.output, end = os.pipe()
            self.pid = subprocess.Popen(
                command,
                cwd=test.folder,
                env=test.environment,
                stdin=subprocess.DEVNULL,
                stdout=end,
                stderr=end,
                start_new_session=True,
            ).pid
            os.close(end)
        test.addCleanup(os.close, self.output)
        test.addCleanup(self.kill)
        self.is_over = False
        self.said = b""
        self.read_until(UP)

    def kill(self) -> None:
        if not self.is_over:
            os.killpg(self.pid, signal.SIGKILL)

    def read_until(self, wanted: bytes | None) -> None:
        """Reads what it says until that is in it, or to the end."""
        until = time.monotonic() + DEADLINE
        while wanted is None or wanted not in self.said:
            readable, _, _ = select.select([self.output], [], [], until - time.monotonic())
            if not readable:
                raise AssertionError(f"nothing more in {DEADLINE:g} s after {self.said.decode()}")
            try:
                part = os.read(self.output, 65536)
            except OSError:  # The other end of a terminal is gone.
                part = b""
            if not part and wanted is None:
                return
            if not part:
                raise AssertionError(f"ended without {wanted!r}: {self.said.decode()}")
            self.said += part

    def end(self) -> int:
        """Its exit code, or the negative number of the signal, once everybody is gone."""
        self.read_until(None)
        _, status = os.waitpid(self.pid, 0)
        self.is_over = True
        return os.waitstatus_to_exitcode(status)

    def gateway(self) -> int:
        """The process that has the data open."""
        ledger = os.path.realpath(self.data)
        for process in Path("/proc").glob("[0-9]*"):
            try:
                files = [os.readlink(file) for file in (process / "fd").iterdir()]
            except OSError:  # It has ended meanwhile, or is not ours.
                continue
            if any(file.startswith(ledger) for file in files):
                return int(process.name)
        raise AssertionError(f"nobody has {ledger} open")


class AnyWay(Shim):
    """What holds for all of them."""

    def test_ctrl_c_in_a_terminal_drains(self) -> None:
        running = Running(self, in_terminal=True)
        os.write(running.output, b"\x03")
        code = running.end()
        self.assertIn(b"stopped", running.said)
        # npm ends as it was asked to, whatever became of what it ran.
        self.assertEqual(code, -signal.SIGINT if self.command[0] == "npx" else 0)

    def test_exit_code_and_output_are_the_programs(self) -> None:
        self.assertRegex(self.run_with("--version").stdout, r"^hallward \d")
        done = self.run_with("nonsense")
        self.assertEqual(done.returncode, 64)
        self.assertIn("nonsense", done.stderr)


class Directly(AnyWay):
    """What npx does not do: a signal that it gets ends its shell, and the gateway stays."""

    def test_asked_to_end_it_drains_and_ends_with_0(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number.name):
                running = Running(self)
                os.kill(running.pid, number)
                self.assertEqual(running.end(), 0, running.said.decode())
                self.assertIn(b"stopped", running.said)

    def test_ctrl_c_in_a_terminal_is_told_once(self) -> None:
        # A gateway that has nothing to drain is gone before it is told twice.
        with self.counter_in_its_place():
            running = Running(self, in_terminal=True)
            os.write(running.output, b"\x03")
            running.read_until(b"SIGINT")
            os.kill(running.pid, signal.SIGTERM)
            self.assertEqual(running.end(), 0, running.said.decode())
        self.assertEqual(running.said.count(b"SIGINT"), 1, running.said.decode())

    @contextlib.contextmanager
    def counter_in_its_place(self) -> Iterator[None]:
        (program,) = self.folder.glob("node_modules/@hallward/gateway-*/bin/hallward")
        away = self.folder / "away"
        program.rename(away)
        try:
            program.write_text(f"#!{sys.executable}\n{COUNTER}")
            program.chmod(0o755)
            yield
        finally:
            away.replace(program)

    def test_reloads_on_sighup(self) -> None:
        running = Running(self)
        os.kill(running.pid, signal.SIGHUP)
        running.read_until(b"reload")
        os.kill(running.pid, signal.SIGTERM)
        self.assertEqual(running.end(), 0, running.said.decode())

    def test_gateway_that_is_killed_ends_it_alike(self) -> None:
        running = Running(self)
        os.kill(running.gateway(), signal.SIGKILL)
        self.assertEqual(running.end(), -signal.SIGKILL)

    def test_missing_program_is_named(self) -> None:
        packages = self.folder / "node_modules" / "@hallward"
        (there,) = packages.glob("gateway-*")
        away = self.folder / "away"
        there.rename(away)
        try:
            done = self.run_with("--version")
        finally:
            away.rename(there)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"@hallward/{there.name} is missing", done.stderr)
        self.assertEqual(done.stdout, "")


def cases(folder: Path, nodes: list[str]) -> unittest.TestSuite:
    suite = unittest.TestSuite()
    shim = str(folder / "node_modules/.bin/hallward")
    for node in nodes:
        done = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
        path = os.pathsep.join([os.path.dirname(node), os.environ["PATH"]])
        around = {name: value for name, value in os.environ.items() if name != "HALLWARD_BIN"}
        of = {"folder": folder, "environment": {**around, "PATH": path}}
        for base, how, command in (
            (Directly, "", [shim]),
            (AnyWay, " through npx", ["npx", "--no-install", "hallward"]),
        ):
            kind = type(f"Node {done.stdout.strip()}{how}", (base,), {**of, "command": command})
            suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(kind))
    return suite


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    nodes = [str(Path(node).resolve()) for node in sys.argv[2:]] or [str(shutil.which("node"))]
    outcome = unittest.TextTestRunner(verbosity=2).run(cases(folder, nodes))
    sys.exit(not outcome.wasSuccessful())


if __name__ == "__main__":
    main()
