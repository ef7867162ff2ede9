"""What is generated is what the schemas and the asynchronous API say now."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hallward._codec import decode, encode
from hallward.errors import ProtocolError
from hallward.messages import BY_SCHEMA, Assignment, Fence, TaskResult

SDK = Path(__file__).resolve().parent.parent
EXAMPLES = SDK.parent.parent / "schemas/examples"
GOLDENS = sorted(EXAMPLES.glob("*.json"))


@pytest.mark.parametrize("script", ["generate_messages.py", "generate_sync.py"])
def test_generated_modules_are_not_stale(script: str) -> None:
    result = subprocess.run(
        [sys.executable, str(SDK / "tools" / script), "--check"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_there_are_goldens() -> None:
    assert len(GOLDENS) > 100


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_golden_is_read_and_written_back(path: Path) -> None:
    kind = BY_SCHEMA[path.name.split(".")[0]]
    document = json.loads(path.read_text())
    for payload in (path.read_bytes(), path.with_suffix(".cbor").read_bytes()):
        message = kind.read(decode(payload))
        assert message.write() == document
        assert decode(encode(message, "json")) == document
        assert decode(encode(message, "cbor")) == document


def test_field_that_is_missing_is_named() -> None:
    with pytest.raises(ProtocolError, match="'attempt' is missing"):
        Assignment.read({"task": "t"})
    with pytest.raises(ProtocolError, match="expected an object"):
        Assignment.read([])


def test_field_that_nobody_knows_is_ignored() -> None:
    document = json.loads((EXAMPLES / "task-result.json").read_text())
    assert TaskResult.read({**document, "newField": 1}).write() == document


def test_message_is_immutable_and_compares_by_value() -> None:
    one = Fence(lock="press", token=1)
    assert one == Fence.read({"lock": "press", "token": 1}) != Fence(lock="press", token=2)
    assert repr(one) == "Fence(lock='press', token=1)"
    with pytest.raises(AttributeError, match="immutable"):
        one.token = 2  # type: ignore[misc]
    with pytest.raises(TypeError, match="no field 'key'"):
        Fence(lock="press", token=1, key=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'token' is missing"):
        Fence(lock="press")  # type: ignore[call-arg]
