"""The examples of the schemas, through the SDK's types and back."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from .driver import Driver
from .matching import identical, short


def check_goldens(folder: Path, command: list[str]) -> list[str]:
    """What does not come back as it went in."""
    driver = Driver("goldens", command)
    wrong: list[str] = []
    count = 0
    try:
        for path in sorted(folder.glob("*.json")):
            expected = json.loads(path.read_text())
            for encoding, data in (
                ("json", path.read_bytes()),
                ("cbor", path.with_suffix(".cbor").read_bytes()),
            ):
                count += 1
                request = {
                    "op": "golden",
                    "type": path.name.split(".")[0],
                    "encoding": encoding,
                    "base64": base64.b64encode(data).decode(),
                }
                answer = driver.answer(driver.ask(request), 10)
                found = (answer or {}).get("ok", {}).get("json")
                if not identical(expected, found):
                    wrong.append(f"{path.name} ({encoding}): {short(answer)}")
    finally:
        driver.close()
    return wrong if count else ["there are no examples"]
