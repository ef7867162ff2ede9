"""What all messages of the wire have in common: reading, writing, and the names of fields.

The classes themselves are in `hallward.messages`, which `tools/generate_messages.py` writes from
the gateway's JSON Schemas. Python says `created_at` where the wire says `createdAt`, by a table: so
what a user put into a payload is never renamed by accident.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn, TypeVar, cast

from .errors import ProtocolError

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: object):
        return lambda decorated: decorated


M = TypeVar("M", bound="Message")


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Message:
    """A message of the wire, with a Python name for each of its fields.

    Immutable. A field that did not come has the default of its class (mostly ``None``); fields
    that this version does not know are ignored.
    """

    _names: ClassVar[Mapping[str, str]] = {}
    """Python name to wire name."""
    _nested: ClassVar[Mapping[str, type[Message]]] = {}
    """Fields that are messages themselves, or lists of them, by their Python names."""

    def __init__(self, **fields: Any) -> None:
        plan = _plan(type(self))
        unknown = fields.keys() - plan.wire.keys()
        missing = plan.required - fields.keys()
        if unknown or missing:
            wrong = f"no field {min(unknown)!r}" if unknown else f"{min(missing)!r} is missing"
            raise TypeError(f"{type(self).__name__}: {wrong}")
        self.__dict__.update(fields)

    @classmethod
    def read(cls: type[M], document: object) -> M:
        """Makes one of what JSON or CBOR was decoded to.

        Raises ``ProtocolError`` if it is no object, or lacks a field that must be there.
        """
        if not isinstance(document, Mapping):
            raise ProtocolError(f"{cls.__name__}: expected an object, got {document!r:.80}")
        given = cast("Mapping[str, Any]", document)
        plan = _plan(cls)
        fields = {name: given[wire] for name, wire in plan.wire.items() if wire in given}
        if missing := plan.required - fields.keys():
            raise ProtocolError(f"{cls.__name__}: {plan.wire[min(missing)]!r} is missing")
        for name in cls._nested.keys() & fields.keys():
            fields[name] = _read(cls._nested[name], fields[name])
        message = cls.__new__(cls)
        message.__dict__.update(fields)
        return message

    def write(self) -> dict[str, Any]:
        """The document for the wire, with the fields that were given and no others."""
        return {
            wire: _written(self.__dict__[name])
            for name, wire in _plan(type(self)).wire.items()
            if name in self.__dict__
        }

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    __hash__ = None  # type: ignore[assignment]  # its values may be lists

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({fields})"


class _Plan(NamedTuple):
    """The fields of a class: all of them with their names on the wire, and those it must have."""

    wire: Mapping[str, str]
    required: frozenset[str]


_PLANS: dict[type[Message], _Plan] = {}


def _plan(kind: type[Message]) -> _Plan:
    """Read from the annotations, once for each class that is used."""
    plan = _PLANS.get(kind)
    if plan is None:
        wire = {
            name: kind._names.get(name, name)  # pyright: ignore[reportPrivateUsage]
            for base in reversed(kind.__mro__)
            for name in inspect.get_annotations(base)
            if not name.startswith("_")
        }
        required = frozenset(name for name in wire if not hasattr(kind, name))
        plan = _PLANS[kind] = _Plan(wire, required)
    return plan


def _read(kind: type[Message], value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, list):
        return [kind.read(item) for item in cast("list[object]", value)]
    return kind.read(value)


def _written(value: Any) -> Any:
    if isinstance(value, Message):
        return value.write()
    if isinstance(value, list):
        return [_written(item) for item in cast("list[object]", value)]
    return value
