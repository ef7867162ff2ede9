"""What a newcomer's tests do with the packages. The argument is where the program must be."""

import os
import subprocess
import sys

import hallward.sync
from hallward.testing import Gateway, find_gateway

expected = os.path.realpath(sys.argv[1])
found = os.path.realpath(find_gateway())
assert found == expected, f"found {found}, expected {expected}"

from hallward_gateway import binary  # noqa: E402  (the SDK says first what to install)

said = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True)
assert said.stdout.startswith("hallward "), said

with Gateway() as gateway, hallward.sync.connect(gateway.url, agent="editor") as me:
    board = me.join("newsroom").blackboard
    board.set("plan", "Tides")
    gateway.kill()
    gateway.restart()
    assert board.fetch("plan").value == "Tides"
print(f"{said.stdout.strip()}, started by the SDK, kept what it had across a kill")
