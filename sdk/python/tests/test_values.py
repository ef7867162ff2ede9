"""Durations, types and their schemas, names, errors."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import pytest

import hallward
from hallward._annotations import convert, plain, schema
from hallward._codec import decode, encode
from hallward._durations import milliseconds
from hallward._names import checked_key, new_id
from hallward.errors import Invalid, Malformed, ProtocolError


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        ("250ms", 250),
        ("1.5s", 1_500),
        ("10m", 600_000),
        ("2h", 7_200_000),
        ("7d", 604_800_000),
        (timedelta(seconds=3), 3_000),
        (42, 42),
        (0, 0),
    ],
)
def test_duration_is_read(duration: hallward.Duration, expected: int) -> None:
    assert milliseconds(duration) == expected


@pytest.mark.parametrize("wrong", ["", "ten minutes", "5", "-1s", -1, timedelta(seconds=-1)])
def test_duration_that_is_none_is_refused(wrong: hallward.Duration) -> None:
    with pytest.raises(ValueError, match="a duration is"):
        milliseconds(wrong)


@pytest.mark.parametrize("wrong", [1.5, True, None])
def test_duration_that_could_mean_anything_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError):
        milliseconds(wrong)


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Inner:
    n: int
    tags: list[str] = field(default_factory=list)


@dataclass
class Outer:
    inner: Inner
    maybe: float | None = None
    colour: Colour = Colour.RED
    at: datetime | None = None


class Typed(TypedDict):
    name: str


class Pair(NamedTuple):
    a: int
    b: str = "b"


def test_json_becomes_what_the_annotation_says() -> None:
    document = {"inner": {"n": 1, "tags": ["x"]}, "maybe": 2, "at": "2026-01-02T03:04:05+00:00"}
    expected = Outer(
        Inner(1, ["x"]), 2.0, Colour.RED, datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    )
    assert convert(document, Outer) == expected
    assert decode(encode(expected, "json"))["inner"] == {"n": 1, "tags": ["x"]}
    assert convert({"name": "n"}, Typed) == {"name": "n"}
    assert convert({"a": 1}, Pair) == Pair(1)
    assert convert([1, "x"], tuple[int, str]) == (1, "x")
    assert convert([1, 2], set[int]) == {1, 2}
    assert convert("a", Literal["a", "b"]) == "a"
    assert convert(3.0, int) == 3
    assert convert({"x": [None]}, Any) == {"x": [None]}


@pytest.mark.parametrize(
    ("value", "annotation", "path"),
    [
        ({"inner": {"n": "1"}}, Outer, "/inner/n"),
        ({"inner": {}}, Outer, "/inner/n"),
        ({"inner": {"n": 1, "tags": [1]}}, Outer, "/inner/tags/0"),
        ({}, Typed, "/name"),
        ("c", Literal["a"], None),
        (True, int, None),
        (1.5, int, None),
        ("green", Colour, None),
        ([1], tuple[int, int], None),
    ],
)
def test_json_that_does_not_fit_is_refused_with_its_path(
    value: Any, annotation: Any, path: str | None
) -> None:
    with pytest.raises(Invalid) as refused:
        convert(value, annotation)
    assert refused.value.path == path


def test_pydantic_models_convert_and_describe_themselves() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Model(pydantic.BaseModel):  # type: ignore[name-defined,misc]
        n: int

    assert convert({"n": 1}, Model) == Model(n=1)
    assert plain(Model(n=1)) == {"n": 1}
    assert schema(Model)["properties"]["n"]["type"] == "integer"
    with pytest.raises(Invalid):
        convert({"n": "x"}, Model)


def test_schema_of_types() -> None:
    assert schema(Outer) == {
        "type": "object",
        "properties": {
            "inner": {
                "type": "object",
                "properties": {
                    "n": {"type": "integer"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["n"],
            },
            "maybe": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            "colour": {"enum": ["red"]},
            "at": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
        },
        "required": ["inner"],
    }
    assert schema(Annotated[str, "a name"]) == {"type": "string", "description": "a name"}
    assert schema(dict[str, int]) == {"type": "object", "additionalProperties": {"type": "integer"}}
    assert schema(Any) == {}


@pytest.mark.parametrize("encoding", ["json", "cbor"])
def test_what_json_cannot_say_is_malformed(encoding: Any) -> None:
    wrong = [{"x": object()}] if encoding == "cbor" else [{"x": float("nan")}, {"x": object()}]
    for value in wrong:
        with pytest.raises(Malformed):
            encode(value, encoding)


def test_half_of_a_surrogate_pair_can_be_written() -> None:
    assert decode(encode({"x": "\ud800"}, "json")) == {"x": "\ud800"}


def test_neither_json_nor_cbor_is_a_protocol_error() -> None:
    for payload in (b"{", b"\xff\xff", b""):
        with pytest.raises(ProtocolError):
            decode(payload)


def test_names() -> None:
    assert checked_key("a/b.c/d-e_f") == "a/b.c/d-e_f"
    assert new_id() != new_id()
    for wrong in ("", "a//b", "a b", "a/+", "x" * 65, "a/b/c/d/e/f/g/h/i"):
        with pytest.raises(Malformed):
            checked_key(wrong)


def test_timeout_and_disconnected_are_the_built_in_ones_too() -> None:
    assert issubclass(hallward.Timeout, TimeoutError)
    assert issubclass(hallward.SessionTaken, ConnectionError)
    error = hallward.Conflict("no", code=409, path="ops[1]", command="blackboard/txn")
    assert str(error) == "blackboard/txn: no (ops[1]) [409]"


def test_encoding_that_is_none_is_refused() -> None:
    wrong: Any = "xml"
    with pytest.raises(ValueError, match="xml"):
        hallward.connect("mqtt://localhost", agent="a", encoding=wrong)


@pytest.mark.parametrize("name", [None, 1, b"a"])
def test_name_that_is_no_text_is_malformed(name: Any) -> None:
    with pytest.raises(Malformed):
        hallward.connect("mqtt://localhost", agent=name)
    with pytest.raises(Malformed):
        checked_key(name)


def test_what_cbor_cannot_say_is_malformed() -> None:
    for value in (datetime(2026, 1, 1), "\ud800"):
        with pytest.raises(Malformed):
            encode({"x": value}, "cbor")


@pytest.mark.parametrize("capacity", [0, -1, "2", True, 1.5])
def test_worker_with_no_capacity_is_refused(capacity: Any) -> None:
    with pytest.raises(ValueError, match="capacity"):
        hallward.Worker("mqtt://localhost", agent="w", room="r", capacity=capacity)


async def test_worker_without_handlers_is_refused() -> None:
    worker = hallward.Worker("mqtt://localhost", agent="w", room="r")
    with pytest.raises(ValueError, match="without handlers"):
        await worker.serve()
    with pytest.raises(ValueError, match="offers nothing"):
        worker.task("draft", capabilities=[])(lambda task: None)
    letters: Any = "draft"
    with pytest.raises(TypeError, match="capabilities"):
        worker.task("draft", capabilities=letters)(lambda task: None)
